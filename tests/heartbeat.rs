//! A host that cannot give a sign of life, or whose monitor cannot see it, is not hung.

mod common;

use std::sync::OnceLock;

use common::{Host, Running, Sandbox, process, wait_until};
use rustix::process::Signal;

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("heartbeat.c", "heartbeat", &[]))
}

fn start(sandbox: &Sandbox, kind: &str) -> Running {
    let mut host = host().start(sandbox, &[kind]);
    host.wait_for("ready");
    host
}

/// The processes that have been dumped as hung.
fn hung(sandbox: &Sandbox) -> Vec<u64> {
    let records = sandbox.records();
    let hangs = records.iter().filter(|record| record["kind"] == "hang");
    hangs.map(|record| record["pid"].as_u64().expect("a pid")).collect()
}

/// Waits until a host that gives no sign of life from now on is dumped, and ends it.
fn wait_for_a_true_hang(sandbox: &Sandbox) -> u64 {
    let silent = start(sandbox, "silent");
    let pid = u64::from(silent.pid());
    wait_until("a silent host to be dumped", || hung(sandbox).contains(&pid));
    pid
}

#[test]
fn a_stopped_host_is_not_hung() {
    let sandbox = Sandbox::new();
    let mut alive = start(&sandbox, "alive");
    alive.wait_for("beaten");
    process::signal(alive.pid(), Signal::STOP);
    // Of two hosts with the same promise, one after the other: it has been stopped for longer than it has promised.
    let mut silent = vec![wait_for_a_true_hang(&sandbox), wait_for_a_true_hang(&sandbox)];
    process::signal(alive.pid(), Signal::CONT);
    alive.wait_for("beaten");
    silent.push(wait_for_a_true_hang(&sandbox));
    silent.sort();
    let mut hung = hung(&sandbox);
    hung.sort();
    assert_eq!(hung, silent);
}

#[test]
fn a_monitor_that_was_stopped_has_missed_nothing() {
    let sandbox = Sandbox::new();
    let mut alive = start(&sandbox, "alive");
    let stopped = process::Stopped::new(sandbox.monitor_pid().expect("a monitor"));
    // Two seconds of signs of life that nobody has looked at.
    alive.wait_for("beaten");
    alive.wait_for("beaten");
    drop(stopped);
    alive.wait_for("beaten");
    let silent = wait_for_a_true_hang(&sandbox);
    assert_eq!(hung(&sandbox), [silent]);
}
