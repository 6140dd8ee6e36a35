// A Node.js host. Usage: node node_host.js ADDON DUMP_DIR KIND
'use strict';
const { Worker, isMainThread } = require('node:worker_threads');
const [addon, dumpDir, kind] = process.argv.slice(2);
const host = require(addon);

// (module (memory 1) (func (export "load") (param i32) (result i32) local.get 0 i32.load))
const LOAD = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 8, 1, 4, 108, 111, 97, 100,
    0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11,
]);

function caught(times, exception, action) {
    let caught = 0;
    for (let i = 0; i < times; i++) {
        try {
            action();
        } catch (error) {
            caught += error instanceof exception;
        }
    }
    return caught;
}

function storm() {
    const { load } = new WebAssembly.Instance(new WebAssembly.Module(LOAD)).exports;
    const nest = () => nest() + 1;
    const traps = caught(10000, WebAssembly.RuntimeError, () => load(0x7ffffff0));
    const nulls = caught(10000, TypeError, () => null.length);
    const overflows = caught(10, RangeError, nest);
    console.log(`caught ${traps} ${nulls} ${overflows}`);
}

if (isMainThread) host.install(dumpDir);
if (kind === 'worker' && isMainThread) {
    new Worker(__filename, { argv: process.argv.slice(2) });
} else if (kind === 'storm') {
    storm();
    host.report();
} else if (kind === 'throw') {
    throw new Error('nobody catches this');
} else {
    storm();
    host.crash();
}
