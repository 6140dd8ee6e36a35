//! Crashes outside the main thread.

mod common;

use common::{Host, Sandbox};

#[test]
fn a_crash_in_a_second_thread_names_that_thread() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["thread", "segv"]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    assert_ne!(ended.crashing_thread(), ended.pid);
    let dump = sandbox.only_dump();
    dump.check_basics(&Host::c().path, ended.crashing_thread());
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
    assert_eq!(dump.thread_count(), 2);
}

#[test]
fn a_thread_without_an_alternate_stack_can_report_all_but_an_overflow() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["bare-thread", "abort"]);
    assert_eq!(ended.signal(), Some(libc::SIGABRT));
    sandbox.only_dump().check_basics(&Host::c().path, ended.crashing_thread());

    // The kernel has nowhere to put the handler's frame: the process ends, which the README says.
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["bare-thread", "overflow"]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.dump_files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn overflow_of_a_thread_that_called_cm_thread_init() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["thread", "overflow"]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    let dump = sandbox.only_dump();
    dump.check_basics(&Host::c().path, ended.crashing_thread());
    let (_, stack_pointer) = dump.registers();
    assert!(stack_pointer.abs_diff(dump.address()) < 4096, "the fault is at the stack pointer");
}

#[test]
fn every_thread_of_a_crowd_is_in_the_dump() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["crowd", "segv"]);
    let dump = sandbox.only_dump();
    dump.check_basics(&Host::c().path, ended.crashing_thread());
    // The main thread, twenty idle ones and the one that crashes.
    assert_eq!(dump.thread_count(), 22);
    assert_eq!(dump.thread_names().len(), 22);
}
