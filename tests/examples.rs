//! The programs of examples-c do what their first comments say, with the shared and with the static library.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{Dump, Ended, Running, Sandbox, dist, run};
use minidump::Module;
use serde_json::{Value, json};

const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;

/// An example program as `make -C examples-c` builds it; a warning fails the build.
fn example(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples-c");
        // Beside bin, so that the programs with the static library find crash-monitor there.
        let programs = dist().join("examples");
        let flags = "CFLAGS=-g -Wall -Wextra -Wpedantic -Werror";
        run(Command::new("make").arg("-C").arg(source).arg(flags).arg(format!("OUT={}", programs.display())));
        programs
    });
    programs.join(name)
}

/// What all dumps of the examples have in common is checked here; `thread` says whether a thread that is not the first
/// one crashes.
fn crash(name: &str, arguments: &[&str], app_name: &str, in_thread: bool) -> (Ended, Dump, Sandbox) {
    let sandbox = Sandbox::new();
    let program = example(name);
    let ended = Running::start(Command::new(&program).arg(sandbox.dumps()).args(arguments)).end();
    let dump = sandbox.only_dump();
    assert_eq!(dump.signal(), libc::SIGSEGV);
    assert_eq!(dump.thread_count(), if in_thread { 2 } else { 1 });
    assert_eq!(dump.crashing_thread() != ended.pid, in_thread, "the thread that crashed");
    dump.check_basics(&program, dump.crashing_thread());
    assert_eq!(Path::new(&dump.crashing_module()), program.canonicalize().unwrap());
    let file = dump.path.file_name().unwrap().to_str().unwrap();
    assert!(file.starts_with(&format!("{app_name}-")) && file.ends_with(&format!("-{}.dmp", ended.pid)), "{file}");
    sandbox.wait_for_monitors_end();
    (ended, dump, sandbox)
}

fn minimal(name: &str) {
    let (ended, dump, _sandbox) = crash(name, &[], name, false);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    assert_eq!((dump.code(), dump.address()), (SEGV_MAPERR, 0xdead000));
}

fn own_monitor(name: &str) {
    let (ended, dump, _sandbox) = crash(name, &[], name, false);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    assert_eq!((dump.code(), dump.address()), (SEGV_MAPERR, 0x40));
}

fn own_handler(name: &str) {
    let (ended, dump, _sandbox) = crash(name, &[], name, false);
    assert_eq!(ended.status.code(), Some(42));
    assert_eq!(dump.code(), SEGV_ACCERR);
    let executable = &dump.modules()[0];
    let range = executable.base_address()..executable.base_address() + executable.size();
    assert!(range.contains(&dump.address()), "a string literal at {:#x} in {range:#x?}", dump.address());
}

fn server(name: &str) {
    let sandbox = Sandbox::new();
    let program = example(name);
    let ended = Running::start(Command::new(&program).arg(sandbox.dumps()).current_dir(sandbox.path())).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    sandbox.wait_for_monitors_end();
    let records = sandbox.records();
    assert_eq!(records.len(), 2, "{:?}", sandbox.files());
    let of_kind = |kind: &str| records.iter().find(|record| record["kind"] == kind).expect("one of each kind");
    let (request, crash) = (of_kind("request"), of_kind("crash"));
    let of = |record: &Value, request: &str, log: &[(&str, &str)], after: &str| {
        assert_eq!(record["annotations"], json!({"version": "1.4.2"}));
        assert_eq!(record["thread_annotations"], json!({ ended.pid.to_string(): { "request": request } }));
        let lines = record["log"].as_array().expect("a log").iter();
        let lines: Vec<_> =
            lines.map(|line| (line["level"].as_str().unwrap(), line["text"].as_str().unwrap())).collect();
        assert_eq!(lines, log);
        let dump = Dump::read(&sandbox.dumps().join(record["dump"]["file"].as_str().unwrap()));
        dump.check_basics(&program, ended.pid);
        let file: String = log.iter().map(|(_, text)| format!("{text}\n")).chain([after.to_owned()]).collect();
        assert_eq!(std::fs::read_to_string(dump.path.with_extension("server.log")).unwrap(), file);
        dump
    };
    assert_eq!(request["reason"], "a request takes too long");
    let mut log = vec![("info", "serving quick"), ("info", "serving slow")];
    let dumped = format!("dumped to {}", of(request, "slow", &log, "").path.display());
    log.extend([("warning", &dumped[..]), ("info", "serving broken")]);
    let dump = of(crash, "broken", &log, "crashed\n");
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0));
    let bytes = std::fs::read(&dump.path).unwrap();
    // Ten bytes in two requests, the last of which was the slow one.
    let history = [&10_u32.to_ne_bytes()[..], b"slow\0"].concat();
    assert!(bytes.windows(history.len()).any(|window| window == history), "the memory that was added");
}

fn host(name: &str) {
    let (ended, dump, _sandbox) = crash(name, &[], "cpp-host", true);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    // `files` lies behind one int.
    assert_eq!((dump.code(), dump.address()), (SEGV_MAPERR, 4));
}

fn host_overflow(name: &str) {
    let (ended, dump, _sandbox) = crash(name, &["overflow"], "cpp-host", true);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    // A thread's stack ends at a page without access.
    assert_eq!(dump.code(), SEGV_ACCERR);
    let (_, stack_pointer) = dump.registers();
    let distance = stack_pointer.abs_diff(dump.address());
    assert!(distance < 4096, "the fault is {distance} bytes from the stack pointer");
}

/// One test for each linkage of an example.
macro_rules! both_linkages {
    ($($check:ident of $shared:literal and $static:literal;)*) => {
        $(mod $check {
            #[test]
            fn shared() {
                super::$check($shared);
            }

            #[test]
            fn linked_statically() {
                super::$check($static);
            }
        })*
    };
}

both_linkages! {
    minimal of "minimal" and "minimal-static";
    own_monitor of "own_monitor" and "own_monitor-static";
    own_handler of "own_handler" and "own_handler-static";
    server of "server" and "server-static";
    host of "host" and "host-static";
    host_overflow of "host" and "host-static";
}
