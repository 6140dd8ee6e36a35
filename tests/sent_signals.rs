//! Crash signals that somebody else sends to a host whose threads run.

#![allow(unsafe_code)] // sigqueue(3), which rustix does not have.

mod common;

use std::sync::OnceLock;

use common::{Host, Sandbox};

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("sent.c", "sent", &[]))
}

#[test]
fn kill_leaves_a_dump_and_ends_the_host() {
    let sandbox = Sandbox::new();
    let mut running = host().start(&sandbox, &["default"]);
    running.wait_for("ready");
    let pid = rustix::process::Pid::from_raw(running.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::SEGV).unwrap();
    let ended = running.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let dump = sandbox.only_dump();
    assert_eq!((dump.signal(), dump.code(), dump.address()), (libc::SIGSEGV, libc::SI_USER, 0));
    assert_eq!(dump.thread_count(), 4);
    dump.check_basics(&host().path, dump.crashing_thread());
    assert_says_who_sent_it(&sandbox);
}

/// Dump and record name this test's process.
fn assert_says_who_sent_it(sandbox: &Sandbox) {
    let (pid, uid) = (std::process::id(), rustix::process::getuid().as_raw());
    let record = sandbox.only_record();
    assert_eq!(record["signal"]["sender"], serde_json::json!({ "pid": pid, "uid": uid }), "{record}");
    assert_eq!(record["address"], serde_json::Value::Null);
    let annotations: minidump::MinidumpCrashpadInfo = sandbox.only_dump().dump.get_stream().expect("annotations");
    let said = annotations.simple_annotations.get("signal_sender");
    assert_eq!(said, Some(&format!("process {pid}, user {uid}")));
}

#[test]
fn the_handler_before_us_gets_who_sent_it_and_the_value() {
    const VALUE: i32 = 987_654;
    let sandbox = Sandbox::new();
    let mut running = host().start(&sandbox, &["handler"]);
    running.wait_for("ready");
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(VALUE as usize) };
    // SAFETY: no memory is passed; the value is only a number.
    assert_eq!(unsafe { libc::sigqueue(running.pid() as i32, libc::SIGSEGV, value) }, 0);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(42), "{ended:?}");
    let me = std::process::id();
    let expected = format!("{} code {} pid {me} value {VALUE}", libc::SIGSEGV, libc::SI_QUEUE);
    assert_eq!(ended.said("handler "), expected);
    let dump = sandbox.only_dump();
    assert_eq!((dump.signal(), dump.code(), dump.address()), (libc::SIGSEGV, libc::SI_QUEUE, 0));
    dump.check_basics(&host().path, dump.crashing_thread());
    assert_says_who_sent_it(&sandbox);
}

#[test]
fn one_that_the_host_ignores_changes_nothing() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["ignored"]);
    assert_eq!((ended.said("errno "), ended.said("armed ")), ("1234", "0"));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.files(), Vec::<std::path::PathBuf>::new());
}
