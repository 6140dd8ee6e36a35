//! Hosts whose surroundings are not what a program expects.

use std::process::Command;

use crate::common::{Monitor, Running, Sandbox};
use crate::{assert_abort_of, assert_ended_by, assert_segv_of, crash, host};

#[test]
fn a_host_whose_heap_is_corrupt_gets_its_dump() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["corrupt-heap"]);
    assert_ended_by(&ended, libc::SIGABRT);
    assert_abort_of(&sandbox.only_dump(), ended.crashing_thread());
}

#[test]
fn a_host_and_a_monitor_in_whose_memory_nothing_is_zero() {
    const PERTURBED: (&str, &str) = ("MALLOC_PERTURB_", "165");
    let sandbox = Sandbox::new();
    let mut monitor = Command::new(Monitor::program());
    monitor.env(PERTURBED.0, PERTURBED.1);
    let monitor = Monitor::start_by(&sandbox, monitor);
    let ended = Running::start(host().command(&sandbox, &["plain"]).env(PERTURBED.0, PERTURBED.1)).end();
    assert_ended_by(&ended, libc::SIGSEGV);
    assert_segv_of(&sandbox.only_dump(), &host().path, ended.pid);
    assert_eq!(monitor.complaints(), [""; 0]);
}

#[test]
fn a_host_whose_main_thread_has_ended_gets_its_dump() {
    let (ended, dump, sandbox) = crash(&["no-main-thread"]);
    assert_eq!(dump.thread_names(), ["restricted"], "of the other thread");
    let record = sandbox.only_record();
    assert_eq!(record["failed"], serde_json::json!([]));
    assert_eq!(record["executable"]["path"], host().path.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(record["command_line"][3], "no-main-thread");
    assert_ne!(ended.crashing_thread(), ended.pid);
}

#[test]
fn a_host_that_nobody_listens_to_gets_its_dump() {
    let sandbox = Sandbox::new();
    // Whoever writes there is ended by SIGPIPE.
    let ended = host().run(&sandbox, &["unheard"]);
    assert_ended_by(&ended, libc::SIGSEGV);
    assert_segv_of(&sandbox.only_dump(), &host().path, ended.pid);
}
