//! The handler neither allocates nor locks: every way to crash under an allocator that ends the process when it is called
//! on an alternate signal stack.

mod common;

use std::sync::OnceLock;

use common::{Ended, Host, Running, Sandbox};

/// Where and how a host crashes, and the signal that this is.
const CRASHES: [(&str, &str, i32); 11] = [
    ("main", "segv", libc::SIGSEGV),
    ("main", "bus", libc::SIGBUS),
    ("main", "fpe", libc::SIGFPE),
    ("main", "ill", libc::SIGILL),
    ("main", "trap", libc::SIGTRAP),
    ("main", "abort", libc::SIGABRT),
    ("main", "sent", libc::SIGSEGV),
    ("main", "overflow", libc::SIGSEGV),
    ("thread", "segv", libc::SIGSEGV),
    ("thread", "abort", libc::SIGABRT),
    ("thread", "overflow", libc::SIGSEGV),
];

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("crashes.c", "crashes", &[]))
}

/// `tests/hosts/allocator.c`, to be preloaded.
fn allocator() -> &'static Host {
    static ALLOCATOR: OnceLock<Host> = OnceLock::new();
    ALLOCATOR.get_or_init(|| Host::build("allocator.c", "allocator.so", &["-shared", "-fPIC", "-Wl,--as-needed"]))
}

/// Crashes a host under the allocator; `before` runs when it is about to.
fn crash(place: &str, how: &str, before: impl FnOnce(&Sandbox)) -> (Ended, Sandbox) {
    let sandbox = Sandbox::new();
    let mut command = host().command(&sandbox, &[place, how]);
    let mut host = Running::start(command.env("LD_PRELOAD", &allocator().path));
    host.wait_for("ready");
    before(&sandbox);
    host.go_on();
    (host.end(), sandbox)
}

/// Checks a host that has crashed itself, in the thread that said "ready".
fn check(ended: &Ended, sandbox: &Sandbox, how: &str, signal: i32) {
    assert_eq!(ended.signal(), Some(signal), "{how}: {ended:?}");
    let dump = sandbox.only_dump();
    assert_eq!(dump.signal(), signal, "{how}");
    dump.check_basics(&host().path, ended.crashing_thread());
}

#[test]
fn the_allocator_notices_a_handler_that_allocates() {
    let (ended, sandbox) = crash("own-handler", "segv", |_| {});
    assert_eq!((ended.status.code(), ended.said("in handler: ")), (Some(77), "malloc"), "{ended:?}");
    assert_eq!(sandbox.only_dump().signal(), libc::SIGSEGV, "our handler came before it");
}

#[test]
fn no_crash_makes_the_handler_allocate() {
    for (place, how, signal) in CRASHES {
        let (ended, sandbox) = crash(place, how, |_| {});
        check(&ended, &sandbox, how, signal);
    }
}

#[test]
fn nor_does_starting_a_monitor_for_the_crash() {
    for (place, how, signal) in CRASHES {
        let (ended, sandbox) = crash(place, how, |sandbox| {
            let monitor = rustix::process::Pid::from_raw(sandbox.monitor_pid().expect("a monitor") as i32).unwrap();
            rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
        });
        check(&ended, &sandbox, how, signal);
    }
}

#[test]
fn nor_does_connecting_anew_in_a_forked_child() {
    for (place, how, signal) in CRASHES {
        let place = if place == "main" { "child" } else { "child-thread" };
        let (ended, sandbox) = crash(place, how, |_| {});
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let (child, fate) = ended.said("child ").split_once(' ').expect("its pid and its end");
        assert_eq!(fate, format!("signal {signal} exit 0"), "{place} {how}");
        let dump = sandbox.only_dump();
        assert_eq!(dump.signal(), signal, "{place} {how}");
        assert!(dump.path.to_str().unwrap().ends_with(&format!("-{child}.dmp")), "{}", dump.path.display());
        dump.check_basics(&host().path, ended.crashing_thread());
    }
}
