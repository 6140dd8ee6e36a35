//! SIGTERM to the monitor, which a service manager sends to all processes of a service at once: the monitor outlives its hosts.

mod common;

use std::sync::OnceLock;

use common::{Host, Monitor, Running, Sandbox, process};
use rustix::process::Signal;
use serde_json::json;

/// `tests/hosts/page.c`: it has annotations, and crashes when it is told to.
fn annotated() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("page.c", "terminated", &[]))
}

/// An annotated host and its monitor, to which SIGTERM was sent.
fn terminated(sandbox: &Sandbox) -> (Running, u32) {
    let mut host = annotated().start(sandbox, &["filled"]);
    host.wait_for("ready");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    terminate(sandbox, monitor);
    (host, monitor)
}

fn terminate(sandbox: &Sandbox, monitor: u32) {
    process::signal(monitor, Signal::TERM);
    common::wait_until("it to listen no more", || sandbox.monitor_pid() != Some(monitor));
}

fn wait_for_end(monitor: u32) {
    common::wait_until("the monitor to end", || !process::is_alive(monitor));
}

#[test]
fn a_crash_after_it_leaves_the_whole_dump() {
    let sandbox = Sandbox::new();
    let (mut host, monitor) = terminated(&sandbox);
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    wait_for_end(monitor);
    let dump = sandbox.only_dump();
    dump.check_basics(&annotated().path, ended.pid);
    let record = sandbox.only_record();
    assert_eq!(record["annotations"], json!({ "early": "bird", "who": "parent" }));
    assert!(!sandbox.socket().exists(), "another monitor was started");
}

#[test]
fn a_kill_after_it_leaves_the_record() {
    let sandbox = Sandbox::new();
    let (host, monitor) = terminated(&sandbox);
    process::signal(host.pid(), Signal::KILL);
    let ended = host.end();
    wait_for_end(monitor);
    let record = sandbox.only_record();
    assert_eq!((&record["kind"], &record["pid"]), (&json!("death"), &json!(ended.pid)));
    assert_eq!(record["annotations"], json!({ "early": "bird", "who": "parent" }));
}

#[test]
fn a_new_host_gets_another_monitor() {
    let sandbox = Sandbox::new();
    let (mut host, monitor) = terminated(&sandbox);
    let mut second = Host::c().start(&sandbox, &["wait", "segv"]);
    second.wait_for("ready");
    let second_monitor = sandbox.monitor_pid().expect("another monitor");
    assert_ne!(second_monitor, monitor);
    host.go_on();
    let ended = host.end();
    assert_eq!(sandbox.dump_of(ended.pid).signal(), libc::SIGSEGV);
    wait_for_end(monitor);
    assert_eq!(sandbox.monitor_pid(), Some(second_monitor), "the first has left its socket alone");
    second.go_on();
    let ended = second.end();
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
}

#[test]
fn one_that_stays_ends_with_its_last_host() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let mut host = Host::c().start(&sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    terminate(&sandbox, monitor.pid());
    host.go_on();
    let ended = host.end();
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    wait_for_end(monitor.pid());
}

#[test]
fn a_second_one_ends_it_though_hosts_are_left() {
    let sandbox = Sandbox::new();
    let (mut host, monitor) = terminated(&sandbox);
    process::signal(monitor, Signal::TERM);
    wait_for_end(monitor);
    host.go_on();
    let ended = host.end();
    // A monitor that the crash has started writes it.
    sandbox.dump_of(ended.pid).check_basics(&annotated().path, ended.pid);
}
