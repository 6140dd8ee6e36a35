//! Hosts that crash with the processor in a state that compiled code does not expect: alignment check on, direction flag
//! set, no thread pointer. Each leaves a true dump and ends by its signal.
#![cfg(target_arch = "x86_64")] // AArch64 has no such flags; its thread pointer is no concern of the handler either.

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use common::{Host, Running, Sandbox};

const STATES: [&str; 6] =
    ["plain", "alignment-check", "direction", "thread-pointer-zero", "thread-pointer-foreign", "floats"];

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("machine_state.c", "machine_state", &[]))
}

/// Crashes a host; `before` runs when it is about to. Checks signal, code, address, thread and end.
fn crash(state: &str, how: &str, place: &str, expected: (i32, i32, u64), before: impl FnOnce(&Sandbox)) {
    let sandbox = Sandbox::new();
    let mut running: Running = host().start(&sandbox, &[state, how, place]);
    running.wait_for("ready");
    before(&sandbox);
    running.go_on();
    let ended = running.end();
    assert_eq!(ended.signal(), Some(expected.0), "{state} {how} {place}: {ended:?}");
    assert!(ended.took < Duration::from_secs(8), "{state} {how} {place} took {:?}", ended.took);
    let dump = sandbox.only_dump();
    assert_eq!((dump.signal(), dump.code(), dump.address()), expected, "{state} {how} {place}");
    dump.check_basics(&host().path, ended.crashing_thread());
}

const SEGV: (i32, i32, u64) = (libc::SIGSEGV, 1, 0xdead000);

#[test]
fn a_null_dereference_in_any_state() {
    for state in STATES {
        for place in ["main", "thread"] {
            crash(state, "segv", place, SEGV, |_| {});
        }
    }
}

#[test]
fn a_breakpoint_in_any_state() {
    const SI_KERNEL: i32 = 0x80;
    for state in STATES {
        crash(state, "trap", "main", (libc::SIGTRAP, SI_KERNEL, 0), |_| {});
    }
}

#[test]
fn a_misaligned_access_with_the_alignment_check_on() {
    const BUS_ADRALN: i32 = 1;
    for place in ["main", "thread"] {
        // The kernel gives no address with it.
        crash("alignment-check", "misaligned", place, (libc::SIGBUS, BUS_ADRALN, 0), |_| {});
    }
}

#[test]
fn a_monitor_is_started_in_any_state() {
    for state in STATES {
        crash(state, "segv", "main", SEGV, |sandbox| {
            let monitor = rustix::process::Pid::from_raw(sandbox.monitor_pid().expect("a monitor") as i32).unwrap();
            rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
        });
    }
}
