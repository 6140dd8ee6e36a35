//! Hosts that end without a crash report: which of them leave a record, and what it says.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::OnceLock;

use common::{Host, Monitor, Running, Sandbox, process};
use rustix::process::Signal;
use serde_json::Value;

fn endings() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("endings.c", "endings", &[]))
}

/// A host that waits for a line and then ends in the way asked for.
fn start(sandbox: &Sandbox, arguments: &[&str]) -> Running {
    let mut host = endings().start(sandbox, arguments);
    host.wait_for("ready");
    host
}

/// Checks what every record of a death says, and gives what it says of the end.
fn exit_of(record: &Value, host: &Host, pid: u32) -> Value {
    assert_eq!((&record["schema"], &record["kind"]), (&1.into(), &"death".into()), "{record}");
    assert_eq!((&record["pid"], &record["executable"]["path"]), (&pid.into(), &host.path.to_str().into()));
    assert_eq!(record["application"], host.path.file_name().unwrap().to_str().unwrap());
    let (started, ended) = (record["started"].as_str().unwrap(), record["happened"].as_str().unwrap());
    assert!(started <= ended, "{started} to {ended}");
    record["exit"].clone()
}

/// Runs a host to its end, which must leave one record and no dump.
fn exit_in_record(sandbox: &Sandbox, mut host: Running) -> Value {
    host.go_on();
    let ended = host.end();
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.files(), sandbox.record_files(), "nothing but the record");
    exit_of(&sandbox.only_record(), endings(), ended.pid)
}

/// Starts a program whose end the kernel itself attends to, at once: SIGCHLD is ignored (sigaction(2)). Ends after it.
const CARELESS_PARENT: &str = "
import signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
subprocess.Popen(sys.argv[1:]).wait()";

#[test]
fn a_killed_host_leaves_its_signal() {
    let sandbox = Sandbox::new();
    let mut parent = Command::new("python3");
    parent.args(["-c", CARELESS_PARENT]).arg(&endings().path).arg(sandbox.dumps()).args(["-", "return"]);
    let mut parent = Running::start(&mut parent);
    let ids = parent.wait_for("ready ");
    let pid: u32 = ids.split(' ').next().and_then(|pid| pid.parse().ok()).expect("the host's pid");
    process::signal(pid, Signal::KILL);
    assert_eq!(parent.end().status.code(), Some(0));
    // There was no moment at which it was a zombie: its status is to be had from its pidfd alone.
    sandbox.wait_for_monitors_end();
    let exit = exit_of(&sandbox.only_record(), endings(), pid);
    let expected = serde_json::json!({ "signal": { "name": "SIGKILL", "number": 9 }, "core": false });
    assert!(process::is_exit(&exit, &expected), "{exit}");
}

#[test]
fn a_killed_host_that_nobody_has_waited_for_leaves_its_signal_too() {
    let sandbox = Sandbox::new();
    let host = start(&sandbox, &["return"]);
    let pid = host.pid();
    process::signal(pid, Signal::KILL);
    sandbox.wait_for_monitors_end();
    assert_eq!(process::stat(pid, 3).as_deref(), Some("Z"), "a zombie all the while");
    let exit = exit_of(&sandbox.only_record(), endings(), pid);
    assert_eq!(exit["signal"]["name"], "SIGKILL");
    assert_eq!(host.end().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_goodbye_of_before_the_last_install_does_not_count() {
    let sandbox = Sandbox::new();
    let mut host = start(&sandbox, &["again"]);
    let monitor = process::Stopped::new(sandbox.monitor_pid().expect("a monitor"));
    host.go_on();
    host.wait_for("installing");
    common::wait_until("the host to wait for its welcome", || process::stat(host.pid(), 3).as_deref() == Some("S"));
    drop(monitor);
    host.wait_for("ready");
    process::signal(host.pid(), Signal::KILL);
    let pid = host.end().pid;
    sandbox.wait_for_monitors_end();
    assert_eq!(exit_of(&sandbox.only_record(), endings(), pid)["signal"]["name"], "SIGKILL");
}

#[test]
fn an_exit_past_the_exit_handlers_leaves_its_status() {
    let sandbox = Sandbox::new();
    let exit = exit_in_record(&sandbox, start(&sandbox, &["_exit", "7"]));
    assert!(process::is_exit(&exit, &serde_json::json!({ "status": 7 })), "{exit}");
}

#[test]
fn an_orderly_end_leaves_nothing() {
    for (arguments, status) in [
        (&["return", "0"][..], 0),
        (&["return", "3"], 3),
        (&["exit", "0"], 0),
        (&["exit", "3"], 3),
        (&["_exit", "0"], 0),
        (&["uninstall", "1"], 1),
    ] {
        let sandbox = Sandbox::new();
        let mut host = start(&sandbox, arguments);
        host.go_on();
        assert_eq!(host.end().status.code(), Some(status), "{arguments:?}");
        sandbox.wait_for_monitors_end();
        // That it was 0 the kernel has to tell.
        let told = arguments[0] != "_exit" || process::kernel_tells_how_processes_end();
        assert!(sandbox.files().len() <= usize::from(!told), "{arguments:?}: {:?}", sandbox.files());
    }
}

#[test]
fn a_host_that_becomes_another_program_leaves_nothing() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let mut host = start(&sandbox, &["exec"]);
    host.go_on();
    host.wait_for("replaced");
    common::wait_until("the monitor to let it go", || monitor.log().contains("is gone"));
    host.go_on();
    assert_eq!(host.end().status.signal(), Some(libc::SIGKILL));
    // Once the monitor has served another one, it has seen the end of this one, too.
    let killed = start(&sandbox, &["return"]);
    let pid = killed.pid();
    process::signal(pid, Signal::KILL);
    common::wait_until("a record", || !sandbox.record_files().is_empty());
    exit_of(&sandbox.only_record(), endings(), pid);
}

#[test]
fn an_overflow_that_no_handler_can_report_leaves_its_signal() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["bare-thread", "overflow"]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    sandbox.wait_for_monitors_end();
    let exit = exit_of(&sandbox.only_record(), Host::c(), ended.pid);
    let core = exit["core"].clone();
    let expected = serde_json::json!({ "signal": { "name": "SIGSEGV", "number": 11 }, "core": core });
    assert!(process::is_exit(&exit, &expected), "{exit}");
    assert_eq!(sandbox.dump_files().len(), 0);
}

#[test]
fn a_crash_leaves_the_record_of_the_crash_alone() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["segv"]);
    sandbox.wait_for_monitors_end();
    let record = sandbox.only_record();
    assert_eq!((&record["kind"], &record["pid"]), (&"crash".into(), &ended.pid.into()));
}
