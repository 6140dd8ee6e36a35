//! Processes that a host makes: each that crashes leaves a dump under its own pid.

mod common;

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use common::{Ended, Host, Monitor, Running, Sandbox, process};
use rustix::process::Signal;

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("forks.c", "forks", &[]))
}

/// The processes of which there is a record, and what it is of, sorted.
fn records(sandbox: &Sandbox) -> BTreeSet<(u32, String)> {
    sandbox
        .files()
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            (record["pid"].as_u64().unwrap() as u32, record["kind"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// Checks the dump of one process.
fn check_dump(sandbox: &Sandbox, pid: u32, thread: u32, signal: i32) {
    let dump = sandbox.dump_of(pid);
    assert_eq!(dump.signal(), signal, "process {pid}");
    dump.check_basics(&host().path, thread);
}

/// Runs a host that makes processes and then crashes itself, which leaves a dump of it.
fn run(arguments: &[&str]) -> (Ended, Sandbox) {
    let sandbox = Sandbox::new();
    let mut running = host().start(&sandbox, arguments);
    running.go_on();
    let ended = running.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    check_dump(&sandbox, ended.pid, ended.pid, libc::SIGSEGV);
    sandbox.wait_for_monitors_end();
    (ended, sandbox)
}

/// The children that the host has waited for, and how they ended.
fn children(ended: &Ended) -> Vec<(u32, &str)> {
    let lines = ended.output.lines().filter_map(|line| line.strip_prefix("child ")?.split_once(' '));
    lines.map(|(pid, fate)| (pid.parse().unwrap(), fate)).collect()
}

/// A child that ends in the way given, and a parent that crashes afterwards: one dump each.
fn child_and_parent_crash(arguments: &[&str], signal: i32) -> (Ended, u32) {
    let (ended, sandbox) = run(arguments);
    let [(child, fate)] = children(&ended)[..] else { panic!("one child expected: {ended:?}") };
    assert_eq!(fate, format!("signal {signal}"), "{arguments:?}");
    let thread = if arguments[0] == "crash-in-thread" {
        let (pid, tid) = ended.said("ready ").split_once(' ').unwrap();
        assert_eq!(pid, child.to_string());
        tid.parse().unwrap()
    } else {
        child
    };
    check_dump(&sandbox, child, thread, signal);
    assert_eq!(
        records(&sandbox),
        BTreeSet::from([(ended.pid, "crash".to_owned()), (child, "crash".to_owned())]),
        "{arguments:?}"
    );
    (ended, child)
}

#[test]
fn a_child_that_crashes_and_then_its_parent() {
    for (how, signal) in [("segv", libc::SIGSEGV), ("abort", libc::SIGABRT), ("overflow", libc::SIGSEGV)] {
        child_and_parent_crash(&["crash", how], signal);
    }
}

#[test]
fn a_crash_in_a_thread_that_the_child_has_made() {
    for how in ["segv", "overflow"] {
        child_and_parent_crash(&["crash-in-thread", how], libc::SIGSEGV);
    }
}

#[test]
fn a_child_that_has_no_descriptor_left() {
    child_and_parent_crash(&["crash-without-descriptors", "segv"], libc::SIGSEGV);
}

#[test]
fn a_child_that_installs_once_more() {
    child_and_parent_crash(&["install-and-crash", "fpe"], libc::SIGFPE);

    // From then on it is a host itself, whose sudden end is news.
    let (ended, sandbox) = run(&["install-and-vanish"]);
    let [(child, "signal 9")] = children(&ended)[..] else { panic!("{ended:?}") };
    assert_eq!(records(&sandbox), BTreeSet::from([(ended.pid, "crash".to_owned()), (child, "death".to_owned())]));
}

#[test]
fn a_child_that_exits_or_uninstalls_is_no_news_and_leaves_its_parent_armed() {
    for arguments in [["exit", "0"], ["exit", "3"], ["uninstall", ""]] {
        let (ended, sandbox) = run(&arguments);
        assert!(children(&ended)[0].1.starts_with("exit "), "{ended:?}");
        assert_eq!(records(&sandbox), BTreeSet::from([(ended.pid, "crash".to_owned())]), "{arguments:?}");
    }
}

#[test]
fn a_childs_goodbye_is_not_its_parents() {
    let sandbox = Sandbox::new();
    let mut running = host().start(&sandbox, &["exit", "0"]);
    running.wait_for("ready");
    process::signal(running.pid(), Signal::KILL);
    let ended = running.end();
    assert_eq!(ended.signal(), Some(libc::SIGKILL));
    sandbox.wait_for_monitors_end();
    assert_eq!(records(&sandbox), BTreeSet::from([(ended.pid, "death".to_owned())]), "the parent has not said goodbye");
}

#[test]
fn children_forked_while_other_threads_allocate() {
    // Such a child may find the allocator locked for ever, which does not matter to the handler.
    const CHILDREN: usize = 20;
    let (ended, sandbox) = run(&["allocating", &CHILDREN.to_string()]);
    let children = children(&ended);
    assert_eq!(children.len(), CHILDREN, "{ended:?}");
    for (child, fate) in children {
        assert_eq!(fate, "signal 11");
        check_dump(&sandbox, child, child, libc::SIGSEGV);
    }
    assert_eq!(sandbox.dump_files().len(), CHILDREN + 1);
}

#[test]
fn a_child_forked_amid_a_report_does_not_hang() {
    let sandbox = Sandbox::new();
    let mut running = host().start(&sandbox, &["amid-report", "segv"]);
    running.wait_for("installed");
    // So that the report takes as long as we like.
    let stopped = process::Stopped::new(sandbox.monitor_pid().expect("a monitor"));
    running.go_on();
    let child = running.wait_for("child");
    drop(stopped);
    assert!(child.ends_with("signal 11"), "{child}");
    let ended = running.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    check_dump(&sandbox, ended.pid, ended.crashing_thread(), libc::SIGSEGV);
}

#[test]
fn a_child_forked_amid_an_install_of_another_thread_can_install() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    // So that the install takes as long as we like.
    let stopped = process::Stopped::new(monitor.pid());
    let mut running = host().start(&sandbox, &["amid-install"]);
    assert_eq!(running.wait_for("dump-now "), crash_monitor::CM_ERR_NOT_INSTALLED.to_string());
    assert_eq!(running.wait_for("in-time "), crash_monitor::CM_ERR_TIMEOUT.to_string());
    drop(stopped);
    running.go_on();
    let child = running.wait_for("child ");
    let (pid, "signal 11") = child.split_once(' ').unwrap() else { panic!("{child}") };
    check_dump(&sandbox, pid.parse().unwrap(), pid.parse().unwrap(), libc::SIGSEGV);
    // The parent has installed too.
    running.go_on();
    let ended = running.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    check_dump(&sandbox, ended.pid, ended.pid, libc::SIGSEGV);
}

#[test]
fn a_vforked_child_that_crashes_shares_the_memory_and_not_the_fate_of_its_parent() {
    child_and_parent_crash(&["vfork-crash", "segv"], libc::SIGSEGV);
    child_and_parent_crash(&["vfork-crash", "abort"], libc::SIGABRT);
}

#[test]
fn a_child_that_shares_descriptors_leaves_its_parent_the_connection() {
    let sandbox = Sandbox::new();
    let mut running = host().start(&sandbox, &["clone-crash", "segv"]);
    running.wait_for("ready");
    process::signal(running.pid(), Signal::KILL);
    let ended = running.end();
    let [(child, "signal 11")] = children(&ended)[..] else { panic!("{ended:?}") };
    sandbox.wait_for_monitors_end();
    check_dump(&sandbox, child, child, libc::SIGSEGV);
    let both = BTreeSet::from([(ended.pid, "death".to_owned()), (child, "crash".to_owned())]);
    assert_eq!(records(&sandbox), both, "the parent is watched still");
}

#[test]
fn a_vforked_child_that_becomes_another_program_is_none_of_our_business() {
    let (ended, sandbox) = run(&["vfork-exec"]);
    assert_eq!(children(&ended)[0].1, "exit 0");
    assert_eq!(records(&sandbox), BTreeSet::from([(ended.pid, "crash".to_owned())]));
}

#[test]
fn a_thread_that_waits_for_its_vforked_child_does_not_hold_up_the_dump() {
    let (ended, sandbox) = run(&["vfork-wait"]);
    assert!(ended.took < Duration::from_secs(8), "took {:?}, the deadline is 10 s", ended.took);
    assert_eq!(sandbox.dump_of(ended.pid).thread_count(), 2);
}

#[test]
fn a_spawned_program_sees_nothing_of_us() {
    let (ended, sandbox) = run(&["spawn"]);
    let seen: Vec<_> = ended.output.lines().filter(|line| line.starts_with("seen ")).collect();
    // One program started before cm_install and one after it.
    let (before, after) = seen.split_at(seen.len() / 2);
    assert!(before.contains(&"seen descriptor 1"), "{ended:?}");
    assert_eq!(before, after);
    assert!(children(&ended).iter().all(|(_, fate)| *fate == "signal 11"), "{ended:?}");
    assert_eq!(records(&sandbox), BTreeSet::from([(ended.pid, "crash".to_owned())]), "its crash is not ours");
}

#[test]
fn a_daemon_without_descriptors_leaves_its_dump() {
    let sandbox = Sandbox::new();
    let ended = Running::start(&mut host().command(&sandbox, &["daemon", "segv"])).end();
    assert_eq!(ended.status.code(), Some(0), "the daemon's parent has ended: {ended:?}");
    let daemon: u32 = ended.said("daemon ").parse().unwrap();
    common::wait_until("the daemon's dump", || !sandbox.dump_files().is_empty());
    check_dump(&sandbox, daemon, daemon, libc::SIGSEGV);
    sandbox.wait_for_monitors_end();
    assert_eq!(records(&sandbox), BTreeSet::from([(daemon, "crash".to_owned())]));
}

#[test]
fn children_forked_amid_a_call_of_another_thread_can_call_too() {
    const CHILDREN: usize = 20;
    let (ended, sandbox) = run(&["calling", &CHILDREN.to_string()]);
    let ends: Vec<_> = ended.output.lines().filter(|line| line.starts_with("child ")).collect();
    assert_eq!(ends.len(), CHILDREN, "{ended:?}");
    assert!(ends.iter().all(|end| end.ends_with(" exit 0")), "{ends:?}");
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.dump_files().len(), 1, "the parent's");
}
