//! Handlers that are installed after `cm_install`: `cm_is_armed` reports them, a further `cm_install` puts ours in front again,
//! and each handler is still called in its order. `tests/hosts/late_handler.c` takes the steps of each test.

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use common::{Ended, Host, Sandbox};

/// What a handler says of the crash: SIGSEGV, SEGV_MAPERR, the address.
const CRASH: &str = "11 1 0xdead000";

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("late_handler.c", "late_handler", &[]))
}

fn run(steps: &[&str]) -> (Ended, Sandbox) {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, steps);
    assert!(ended.took < Duration::from_secs(5), "took {:?}", ended.took);
    (ended, sandbox)
}

/// The one dump, which shows the crash itself and not a signal that a handler has raised again.
fn check_dump(ended: &Ended, sandbox: &Sandbox) {
    let dump = sandbox.only_dump();
    assert_eq!((dump.signal(), dump.code(), dump.address()), (libc::SIGSEGV, 1, 0xdead000));
    dump.check_basics(&host().path, ended.pid);
}

/// The lines that the host said.
fn said(ended: &Ended) -> Vec<&str> {
    ended.output.lines().map(str::trim).collect()
}

const NOT_ARMED: &str =
    "armed -11 other code has replaced the handlers of signals [11]: cm_install puts ours in front again";

#[test]
fn a_handler_that_replaces_ours_is_noticed_and_gets_its_turn_after_the_dump() {
    let (ended, sandbox) = run(&["exits", "install", "armed", "late", "armed", "install", "armed", "segv"]);
    assert_eq!(said(&ended), ["armed 0", NOT_ARMED, "armed 0", &format!("late {CRASH}")]);
    assert_eq!(ended.status.code(), Some(42), "{ended:?}");
    check_dump(&ended, &sandbox);
}

#[test]
fn one_that_passes_its_signals_on_does_no_harm() {
    let (ended, sandbox) = run(&["chains", "install", "late", "segv"]);
    // Once for the crash, and once when it comes again after the report.
    assert_eq!(said(&ended), [format!("late {CRASH}"), format!("late {CRASH}")]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    check_dump(&ended, &sandbox);
}

#[test]
fn nor_does_it_to_a_handler_that_was_there_before_us() {
    let (ended, sandbox) = run(&["chains", "early", "install", "late", "segv"]);
    assert_eq!(said(&ended).last(), Some(&&*format!("early {CRASH}")));
    assert_eq!(ended.status.code(), Some(43), "{ended:?}");
    check_dump(&ended, &sandbox);
}

#[test]
fn one_that_passes_on_gets_its_turn_once_when_ours_is_in_front_again() {
    for steps in [
        &["chains", "install", "late", "install", "segv"][..],
        &["chains", "previous-first", "install", "late", "install", "segv"],
    ] {
        let (ended, sandbox) = run(steps);
        assert_eq!(said(&ended), [format!("late {CRASH}")], "{steps:?}");
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{steps:?}: {ended:?}");
        check_dump(&ended, &sandbox);
    }
}

#[test]
fn one_that_raises_the_signal_again_does_so_once() {
    let (ended, sandbox) = run(&["raises", "install", "late", "install", "segv"]);
    assert_eq!(said(&ended), [format!("late {CRASH}")]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    check_dump(&ended, &sandbox);
}

#[test]
fn all_the_handlers_have_their_turn_in_the_order_they_would_have_had_without_us() {
    for does in ["chains", "raises"] {
        let (ended, sandbox) = run(&[does, "early", "install", "late", "install", "segv"]);
        let last = ended.output.lines().last().unwrap_or_default();
        assert_eq!(said(&ended)[0], format!("late {CRASH}"), "{does}");
        assert!(last.starts_with("early 11 "), "{does}: {ended:?}");
        assert_eq!(ended.status.code(), Some(43), "{does}: {ended:?}");
        check_dump(&ended, &sandbox);
    }
}

#[test]
fn uninstall_leaves_a_handler_that_somebody_set_over_ours() {
    let (ended, sandbox) = run(&["exits", "install", "late", "uninstall", "segv"]);
    assert_eq!((said(&ended), ended.status.code()), (vec![&*format!("late {CRASH}")], Some(42)), "{ended:?}");
    assert_eq!(sandbox.dump_files().len(), 0);
    // That of another signal is put back.
    let (ended, sandbox) = run(&["exits", "install", "late", "uninstall", "abort"]);
    assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended:?}");
    assert_eq!(sandbox.dump_files().len(), 0);
}

#[test]
fn after_uninstall_one_that_still_passes_on_to_ours_reaches_what_was_before_it() {
    for does in ["chains", "raises"] {
        for steps in
            [&["install", "late", "uninstall", "segv"][..], &["install", "late", "install", "uninstall", "segv"]]
        {
            let (ended, sandbox) = run(&[&[does], steps].concat());
            assert_eq!(said(&ended), [format!("late {CRASH}")], "{does}, {steps:?}");
            assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{does}, {steps:?}: {ended:?}");
            assert_eq!(sandbox.dump_files().len(), 0);

            let (ended, sandbox) = run(&[&[does, "early"], steps].concat());
            assert_eq!(ended.status.code(), Some(43), "{does}, {steps:?}: {ended:?}");
            assert_eq!(sandbox.dump_files().len(), 0);
        }
    }
}

#[test]
fn one_that_is_set_over_ours_stays_when_we_come_and_go() {
    let (ended, sandbox) =
        run(&["raises", "install", "late", "uninstall", "install", "armed", "uninstall", "install", "segv"]);
    assert_eq!(said(&ended), ["armed 0", &format!("late {CRASH}")]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    check_dump(&ended, &sandbox);
}

#[test]
fn a_host_whose_handler_survives_the_crash_can_arm_itself_again() {
    let crash = ["install", "armed", "segv"];
    let (ended, sandbox) = run(&[&["jumps", "late"], &crash[..], &crash, &["install", "abort"]].concat());
    assert_eq!(said(&ended), ["armed 0", &format!("late {CRASH}"), "armed 0", &format!("late {CRASH}")]);
    assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended:?}");
    let dumps = sandbox.dump_files();
    let mut signals: Vec<_> = dumps.iter().map(|path| common::Dump::read(path).signal()).collect();
    signals.sort();
    assert_eq!(signals, [libc::SIGABRT, libc::SIGSEGV, libc::SIGSEGV]);
}

#[test]
fn the_same_install_again_connects_to_a_new_monitor_where_the_old_one_was_killed() {
    let sandbox = Sandbox::new();
    let mut running = host().start(&sandbox, &["exits", "install", "wait", "install", "wait", "segv"]);
    running.wait_for("ready");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    let pid = rustix::process::Pid::from_raw(monitor as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    common::wait_until("the monitor's socket to be dead", || sandbox.monitor_pid().is_none());
    running.go_on();
    running.wait_for("ready");
    let new = sandbox.monitor_pid().expect("a new monitor");
    assert_ne!(new, monitor);
    running.go_on();
    let ended = running.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    check_dump(&ended, &sandbox);
}
