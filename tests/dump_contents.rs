//! What is in a dump, what is not, and how large it gets.

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{Dump, Ended, Host, Sandbox};
use minidump::{MinidumpLinuxMaps, MinidumpMemoryList, MinidumpThreadList, MinidumpThreadNames, Module};

/// However large a host's stacks and heap are.
const DUMP_MAX: u64 = 2 << 20;

/// Runs a host of an odd shape, whose dump is checked for what every dump must have.
fn crash(kind: &str) -> (Ended, Dump, Sandbox) {
    let sandbox = Sandbox::new();
    let mut arguments = kind.split(' ').collect::<Vec<_>>();
    arguments.retain(|argument| !argument.is_empty());
    let mut host = Host::shapes().start(&sandbox, &arguments);
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let dump = sandbox.dump_of(ended.pid);
    dump.check_basics(&Host::shapes().path, ended.crashing_thread());
    let size = dump.path.metadata().unwrap().len();
    assert!(size <= DUMP_MAX, "{size} bytes");
    (ended, dump, sandbox)
}

/// The stack bytes of each thread in the dump.
fn stack_sizes(dump: &Dump) -> Vec<u32> {
    let threads: MinidumpThreadList<'_> = dump.dump.get_stream().expect("a thread list");
    threads.threads.iter().map(|thread| thread.raw.stack.memory.data_size).collect()
}

#[test]
fn a_deep_stack_is_cut() {
    const CRASHING_STACK_MAX: usize = 256 * 1024;
    let (_, dump, _sandbox) = crash("deep-stack");
    // The newest frames, from the stack pointer on, up to the limit: 64 MiB are in use.
    let (_, stack) = dump.crashing_stack();
    assert_eq!(stack.len(), CRASHING_STACK_MAX);
    let filled = stack.iter().filter(|byte| **byte == 0x5a).count();
    assert!(filled > CRASHING_STACK_MAX / 2, "{filled} bytes of the frames' filling");
}

#[test]
fn a_stack_pointer_into_the_heap_does_not_bring_the_heap() {
    let (_, dump, _sandbox) = crash("heap-stack");
    // 511 MiB of the same mapping lie above the stack pointer.
    assert_eq!(dump.crashing_stack().1.len(), 256 * 1024);
    let (_, dump, _sandbox) = crash("heap-stacks");
    assert_eq!(dump.thread_count(), 4);
    assert_eq!(stack_sizes(&dump).iter().filter(|size| **size == 64 * 1024).count(), 3, "{:?}", stack_sizes(&dump));
}

#[test]
fn three_hundred_threads_are_all_there_with_name_registers_and_stack() {
    let (_, dump, _sandbox) = crash("named-threads 300");
    let threads: MinidumpThreadList<'_> = dump.dump.get_stream().unwrap();
    let names: MinidumpThreadNames = dump.dump.get_stream().unwrap();
    assert_eq!(threads.threads.len(), 301);
    let found: BTreeSet<_> = threads
        .threads
        .iter()
        .map(|thread| names.get_name(thread.raw.thread_id).expect("a name").into_owned())
        .collect();
    let expected: BTreeSet<_> =
        (0..300).map(|number| format!("worker-{number:03}")).chain(["shapes".to_owned()]).collect();
    assert_eq!(found, expected);
    assert_eq!(names.get_name(dump.crashing_thread()).unwrap(), "worker-299");
    assert!(threads.threads.iter().all(|thread| thread.raw.thread_context.data_size > 0), "registers of each");
    let sizes = stack_sizes(&dump);
    assert!(sizes.iter().all(|size| *size >= 1024), "{sizes:?}");
}

#[test]
fn modules_have_build_ids_and_the_executable_is_the_first() {
    let sandbox = Sandbox::new();
    Host::c().run(&sandbox, &["segv"]);
    let dump = sandbox.only_dump();
    let modules = dump.modules();
    assert_eq!(Path::new(&*modules[0].code_file()), Host::c().path.canonicalize().unwrap());
    for name in ["libc.so.6", "libcrash_monitor.so", "ld-linux", "linux-gate.so"] {
        assert_eq!(modules.iter().filter(|module| module.code_file().contains(name)).count(), 1, "{name} once");
    }
    for module in &modules {
        let id = module.debug_identifier().unwrap_or_else(|| panic!("no build id: {}", module.code_file()));
        assert!(!id.is_nil(), "{}", module.code_file());
        assert!(module.code_identifier().is_some(), "{}", module.code_file());
    }
}

#[test]
fn a_module_reaches_over_the_gaps_between_its_segments() {
    let host = Host::build("host.c", "gaps", &["-no-pie", "-Wl,-z,max-page-size=0x200000"]);
    let sandbox = Sandbox::new();
    // Not by an address: the heap of such a program may be there (brk(2)).
    let ended = host.run(&sandbox, &["fpe"]);
    let dump = sandbox.only_dump();
    dump.check_basics(&host.path, ended.pid);
    assert_eq!(Path::new(&dump.crashing_module()), host.path.canonicalize().unwrap());
}

#[test]
fn the_code_around_the_crash_is_that_of_the_executable() {
    let sandbox = Sandbox::new();
    Host::c().run(&sandbox, &["segv"]);
    let dump = sandbox.only_dump();
    let (instruction, _) = dump.registers();
    let maps: MinidumpLinuxMaps<'_> = dump.dump.get_stream().expect("the address space");
    let map = &maps.memory_info_at_address(instruction).expect("the code's mapping").map;
    let memory: MinidumpMemoryList<'_> = dump.dump.get_stream().expect("a memory list");
    let code = memory.memory_at_address(instruction).expect("the code itself");
    assert!(
        code.base_address <= instruction - 64 && code.size >= 192,
        "from {:#x}, {} bytes",
        code.base_address,
        code.size
    );
    let mut in_file = vec![0; code.size as usize];
    let offset = map.offset + (code.base_address - map.address.0);
    File::open(&Host::c().path).unwrap().read_exact_at(&mut in_file, offset).unwrap();
    assert_eq!(code.bytes, in_file);
}

#[test]
fn what_debuggers_ask_for_is_there_and_the_environment_is_not() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["segv"]);
    let dump = sandbox.only_dump();
    let text = |kind| String::from_utf8(dump.stream(kind)).expect("text");
    assert!(text(common::LINUX_MAPS).contains(Host::c().path.to_str().unwrap()));
    assert!(text(common::LINUX_PROC_STATUS).contains(&format!("Pid:\t{}\n", ended.pid)));
    assert!(!dump.has_stream(common::LINUX_ENVIRON));
    let soft_errors: Vec<String> = serde_json::from_str(&text(common::MOZ_SOFT_ERRORS)).expect("a JSON array of texts");
    assert_eq!(soft_errors, Vec::<String>::new());
}

#[test]
fn no_signal_is_lost_to_dumps_of_a_living_process() {
    let host = Host::build("queued.c", "queued", &[]);
    let sandbox = Sandbox::new();
    let ended = host.run(&sandbox, &["40"]);
    assert!(ended.status.success(), "{ended:?}");
    let queued = ended.said("queued ").split_once(' ').expect("a number").0;
    assert!(queued.parse::<u32>().unwrap() > 1000, "{ended:?}");
    assert_eq!(ended.said("queued "), format!("{queued} arrived {queued} wrong 0"));
}
