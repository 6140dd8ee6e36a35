//! Hosts in sandboxes that refuse a system call of the signal path: each ends, soon, and by its own signal where any way is
//! left.

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use common::{Ended, Host, Sandbox};

/// What takes a handler away, and what sends a signal.
const DISPOSITIONS: &[&str] = &["rt_sigaction"];
const SENDING: &[&str] = &["rt_tgsigqueueinfo", "tgkill", "kill"];

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("refused.c", "refused", &[]))
}

fn run(how: &str, end: &str, calls: &[&str]) -> (Ended, Sandbox) {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &[&[how, end], calls].concat());
    assert!(ended.took < Duration::from_secs(8), "{how} {end} {calls:?} took {:?}", ended.took);
    (ended, sandbox)
}

/// All that a program does wrong by an instruction, and the signal that it is.
fn faults() -> Vec<(&'static str, i32)> {
    let mut faults = vec![("segv", libc::SIGSEGV), ("ill", libc::SIGILL), ("trap", libc::SIGTRAP)];
    if cfg!(target_arch = "x86_64") {
        faults.extend([("fpe", libc::SIGFPE), ("bus", libc::SIGBUS)]);
    }
    faults
}

#[test]
fn a_fault_ends_by_its_signal_whatever_is_refused() {
    let all = [DISPOSITIONS, SENDING].concat();
    for calls in [DISPOSITIONS, SENDING, &["rt_tgsigqueueinfo"], &all] {
        for end in ["EPERM", "ENOSYS"] {
            for (how, signal) in faults() {
                let (ended, sandbox) = run(how, end, calls);
                assert_eq!(ended.signal(), Some(signal), "{how} {end} {calls:?}: {ended:?}");
                let dump = sandbox.only_dump();
                assert_eq!(dump.signal(), signal, "{how} {end} {calls:?}");
                dump.check_basics(&host().path, ended.pid);
            }
        }
    }
}

#[test]
fn an_abort_ends_by_its_signal_or_at_least_by_its_exit_status() {
    for end in ["EPERM", "ENOSYS"] {
        for calls in [&["rt_tgsigqueueinfo"][..], &["kill"], &["rt_tgsigqueueinfo", "kill"]] {
            let (ended, sandbox) = run("abort", end, calls);
            assert_eq!(ended.signal(), Some(libc::SIGABRT), "{end} {calls:?}: {ended:?}");
            assert_eq!(sandbox.only_dump().signal(), libc::SIGABRT);
        }
        // No instruction raises it, and the handler cannot be taken away.
        let (ended, sandbox) = run("abort", end, DISPOSITIONS);
        assert_eq!(ended.status.code(), Some(128 + libc::SIGABRT), "{end}: {ended:?}");
        assert_eq!(sandbox.only_dump().signal(), libc::SIGABRT);
    }
}

#[test]
fn any_other_call_of_the_signal_path_may_be_refused() {
    let others = [
        "rt_sigprocmask",
        "clock_gettime",
        "ppoll",
        "sendmsg",
        "recvfrom",
        "prctl",
        "fstat",
        "gettid",
        "socket",
        "futex",
    ];
    for end in ["EPERM", "ENOSYS"] {
        for call in others {
            let (ended, _sandbox) = run("segv", end, &[call]);
            assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{end} {call}: {ended:?}");
        }
        // kill(2) is refused first: of all processes at once, no defect here may make it the target.
        let (ended, _sandbox) = run("segv", end, &["kill", "getpid"]);
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{end} getpid: {ended:?}");
        let (ended, _sandbox) = run("segv", end, &others);
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{end}: {ended:?}");
    }
}

#[test]
fn a_refusal_that_is_a_signal_or_a_kill_ends_the_host_by_that() {
    for end in ["trap", "kill"] {
        for call in ["rt_sigaction", "rt_tgsigqueueinfo", "sendmsg", "ppoll"] {
            let (ended, _sandbox) = run("segv", end, &[call]);
            let signal = ended.signal();
            assert!(signal == Some(libc::SIGSYS) || signal == Some(libc::SIGSEGV), "{end} {call}: {ended:?}");
        }
    }
}
