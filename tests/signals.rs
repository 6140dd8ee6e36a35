//! Each signal that ends a program for what it did: the dump says which, where and in which thread, and the process
//! ends as it would have without us.

mod common;

use common::{Host, Sandbox};

/// Crashes a host in the given way and checks all that is the same for every way.
fn crash(kind: &str, signal: i32, code: i32) -> (common::Ended, common::Dump, Sandbox) {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &[kind]);
    assert_eq!(ended.signal(), Some(signal), "how the host ended: {ended:?}");
    let dump = sandbox.only_dump();
    dump.check_basics(&Host::c().path, ended.pid);
    assert_eq!((dump.signal(), dump.code()), (signal, code), "signal and code");
    let name = dump.path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("host-") && name.ends_with(&format!("-{}.dmp", ended.pid)), "{name}");
    sandbox.wait_for_monitors_end();
    (ended, dump, sandbox)
}

/// The crash is in the host's own code.
fn assert_in_host(dump: &common::Dump) {
    assert_eq!(dump.crashing_module(), Host::c().path.canonicalize().unwrap().to_str().unwrap());
}

#[test]
fn sigsegv_with_the_true_address() {
    const SEGV_MAPERR: i32 = 1;
    let (_, dump, _sandbox) = crash("segv", libc::SIGSEGV, SEGV_MAPERR);
    assert_eq!(dump.address(), 0xdead000);
    assert_in_host(&dump);
}

#[test]
fn sigbus_with_the_true_address() {
    const BUS_ADRERR: i32 = 2;
    let (ended, dump, _sandbox) = crash("bus", libc::SIGBUS, BUS_ADRERR);
    let address = ended.said("address 0x");
    assert_eq!(dump.address(), u64::from_str_radix(address, 16).unwrap());
}

#[cfg(target_arch = "x86_64")] // AArch64 divides by zero without a trap.
#[test]
fn sigfpe_at_the_dividing_instruction() {
    const FPE_INTDIV: i32 = 1;
    let (_, dump, _sandbox) = crash("fpe", libc::SIGFPE, FPE_INTDIV);
    assert_eq!(dump.address(), dump.registers().0);
    assert_in_host(&dump);
}

#[test]
fn sigill_at_the_illegal_instruction() {
    /// ILL_ILLOPN on x86-64, ILL_ILLOPC on AArch64.
    const CODE: i32 = if cfg!(target_arch = "x86_64") { 2 } else { 1 };
    let (_, dump, _sandbox) = crash("ill", libc::SIGILL, CODE);
    assert_eq!(dump.address(), dump.registers().0);
    assert_in_host(&dump);
}

#[test]
fn sigabrt_from_abort() {
    let (_, dump, _sandbox) = crash("abort", libc::SIGABRT, libc::SI_TKILL);
    assert!(dump.crashing_module().contains("libc.so"));
}

#[test]
fn sigtrap_still_ends_the_process() {
    // After a trap the next instruction would simply run.
    /// SI_KERNEL on x86-64, TRAP_BRKPT on AArch64.
    const CODE: i32 = if cfg!(target_arch = "x86_64") { 128 } else { 1 };
    let (_, dump, _sandbox) = crash("trap", libc::SIGTRAP, CODE);
    assert_in_host(&dump);
}

#[test]
fn a_sent_signal_has_no_fault_address() {
    let (_, dump, _sandbox) = crash("sent", libc::SIGSEGV, libc::SI_USER);
    assert_eq!(dump.address(), 0);
}

#[test]
fn overflow_of_the_main_stack() {
    const SEGV_MAPERR: i32 = 1;
    let (_, dump, _sandbox) = crash("overflow", libc::SIGSEGV, SEGV_MAPERR);
    assert_in_host(&dump);
    let (_, stack_pointer) = dump.registers();
    let below = stack_pointer.abs_diff(dump.address());
    assert!(below < 4096, "the fault is at the stack pointer: {below} bytes away");
}
