//! The ways in which C++ programs end themselves, with the stack that led there.

mod common;

use std::sync::OnceLock;

use common::{Dump, Ended, Host, Sandbox};

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("terminates.cpp", "terminates", &[]))
}

fn run(kind: &str) -> (Ended, Dump, Sandbox) {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &[kind]);
    let dump = sandbox.only_dump();
    dump.check_basics(&host().path, ended.crashing_thread());
    (ended, dump, sandbox)
}

/// The C++ library calls abort(3) with the frames of the program still on the stack.
fn aborts(kind: &str) -> (Ended, Dump) {
    const MARKER: &[u8] = b"in the crashing thread's stack\0";
    let (ended, dump, _sandbox) = run(kind);
    assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended:?}");
    assert_eq!((dump.signal(), dump.code()), (libc::SIGABRT, libc::SI_TKILL));
    let (_, stack) = dump.crashing_stack();
    assert!(stack.windows(MARKER.len()).any(|window| window == MARKER), "the program's frames are not in the dump");
    (ended, dump)
}

#[test]
fn an_uncaught_exception() {
    aborts("uncaught");
}

#[test]
fn an_uncaught_exception_in_a_thread() {
    let (ended, dump) = aborts("thread-uncaught");
    assert_ne!(dump.crashing_thread(), ended.pid);
    assert_eq!(dump.thread_count(), 2);
}

#[test]
fn std_terminate() {
    aborts("terminate");
}

#[test]
fn an_exception_that_leaves_a_noexcept_function() {
    aborts("noexcept");
}

#[test]
fn a_pure_virtual_call() {
    aborts("pure-virtual");
}

#[test]
fn the_stack_overflow_of_a_std_thread() {
    const SEGV_ACCERR: i32 = 2;
    let (ended, dump, _sandbox) = run("thread-overflow");
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    assert_eq!((dump.signal(), dump.code()), (libc::SIGSEGV, SEGV_ACCERR), "in the guard page");
    assert_ne!(dump.crashing_thread(), ended.pid);
    let (_, stack_pointer) = dump.registers();
    assert!(stack_pointer.abs_diff(dump.address()) < 4096, "the fault is at the stack pointer");
}

#[test]
fn a_crash_in_a_static_objects_destructor() {
    // It runs after main, and after we have told the monitor that the process ends orderly.
    let (ended, dump, _sandbox) = run("at-exit");
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
}
