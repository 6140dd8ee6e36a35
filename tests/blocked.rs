//! Threads that have the crash signals blocked, or had: a fault whose signal is blocked ends the process without a handler.

mod common;

use std::sync::OnceLock;

use common::{Host, Sandbox, process};

const CRASHES: [(&str, i32); 7] = [
    ("segv", libc::SIGSEGV),
    ("bus", libc::SIGBUS),
    ("fpe", libc::SIGFPE),
    ("ill", libc::SIGILL),
    ("trap", libc::SIGTRAP),
    ("abort", libc::SIGABRT),
    ("overflow", libc::SIGSEGV),
];

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("blocked.c", "blocked", &[]))
}

/// Every crash of a thread that had all signals blocked leaves its dump; the other signals stay blocked.
fn assert_dumped(host: &Host, kind: &str) {
    for (how, signal) in CRASHES {
        let sandbox = Sandbox::new();
        let ended = host.run(&sandbox, &[kind, how]);
        assert_eq!(ended.signal(), Some(signal), "{kind} {how}: {ended:?}");
        let blocked = (1..32).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal));
        let blocked = blocked.filter(|signal| CRASHES.iter().all(|(_, crash)| crash != signal));
        let blocked: Vec<_> = blocked.map(|signal| signal.to_string()).collect();
        assert_eq!(ended.said("blocked"), format!("{} .", blocked.join(" ")), "{kind} {how}");
        let dump = sandbox.only_dump();
        dump.check_basics(&host.path, ended.crashing_thread());
        assert_eq!(dump.signal(), signal, "{kind} {how}");
        if how == "segv" {
            assert_eq!(dump.address(), 0xdead000);
        }
    }
}

#[test]
fn install_unblocks_the_crash_signals() {
    assert_dumped(host(), "installs");
}

#[test]
fn a_thread_that_called_cm_thread_init_has_them_unblocked() {
    assert_dumped(host(), "initialises");
}

#[test]
fn the_threads_header_unblocks_them_in_new_threads() {
    let header = common::dist().join("include/crash_monitor_threads.h");
    let host = Host::build("blocked.c", "blocked-threads", &["-include", header.to_str().unwrap()]);
    assert_dumped(&host, "inherits");
}

#[test]
fn install_says_what_was_blocked() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["installs"]);
    let message = ended.said("message ");
    assert!(
        message.starts_with("crash signals [6, 7, 8, 4, 11, 5] were blocked in the thread that called cm_install"),
        "{message}"
    );
    let log = &sandbox.only_record()["log"];
    assert_eq!((&log[0]["level"], &log[0]["text"]), (&"warning".into(), &message.into()), "{log}");

    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["main", "abort"]);
    assert_eq!(ended.said("message"), "", "none was blocked");
    // Which unblocks the signal itself.
    assert_eq!(ended.signal(), Some(libc::SIGABRT));
    assert_eq!(sandbox.only_record()["log"], serde_json::json!([]));
}

#[test]
fn a_signal_that_is_pending_stays_so() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["pending"]);
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    assert!(ended.said("message ").contains("no longer, except for [6], which are pending."), "{ended:?}");
    let blocked = ended.said("blocked");
    assert!(blocked.split(' ').any(|signal| signal == "6") && !blocked.split(' ').any(|signal| signal == "11"));
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.dump_files().len(), 0);
}

/// What the record of a host says that a blocked signal has ended while nobody waited for it.
fn said_of_death(kind: &str) -> String {
    let sandbox = Sandbox::new();
    let mut host = host().start(&sandbox, &[kind, "segv"]);
    host.wait_for("ready");
    sandbox.wait_for_monitors_end();
    assert_eq!(process::stat(host.pid(), 3).as_deref(), Some("Z"), "a zombie all the while");
    assert_eq!(host.end().signal(), Some(libc::SIGSEGV));
    assert_eq!(sandbox.dump_files().len(), 0);
    let record = sandbox.only_record();
    assert_eq!((&record["kind"], &record["exit"]["signal"]["name"]), (&"death".into(), &"SIGSEGV".into()));
    let [said] = &record["failed"].as_array().unwrap()[..] else { panic!("{record}") };
    let said = said.as_str().unwrap();
    assert!(said.starts_with("the crash was not reported: the signal was blocked, or "), "{said}");
    said.to_owned()
}

#[test]
fn the_record_of_a_crash_that_no_handler_saw_says_that_the_signal_was_blocked() {
    let said = said_of_death("main");
    assert!(said.ends_with("The main thread had SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP blocked."), "{said}");
}

#[test]
fn of_another_thread_the_record_says_that_nothing_is_known() {
    let said = said_of_death("thread");
    assert!(said.ends_with("what other threads had is not known."), "{said}");
}
