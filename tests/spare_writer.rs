//! The writer that is forked before there is a job for it.

mod common;

use common::{Host, Monitor, Running, Sandbox, process};
use rustix::process::Signal;

/// A host that waits for its crash, and the spare writer that waits for it.
fn host_and_spare(sandbox: &Sandbox, monitor: &Monitor) -> (Running, u32) {
    let mut host = Host::c().start(sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    (host, process::wait_for_spare(monitor.pid()))
}

fn crash(sandbox: &Sandbox, mut host: Running) {
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
}

#[test]
fn it_writes_the_next_dump_and_another_takes_its_place() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, spare) = host_and_spare(&sandbox, &monitor);
    crash(&sandbox, host);
    common::wait_until("it to end, with its work done", || !process::is_alive(spare));
    let (host, next) = host_and_spare(&sandbox, &monitor);
    assert_ne!(next, spare);
    crash(&sandbox, host);
    assert_eq!(monitor.complaints(), Vec::<String>::new());
}

#[test]
fn it_has_no_connection_of_the_monitors_but_its_own() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, spare) = host_and_spare(&sandbox, &monitor);
    let links = std::fs::read_dir(format!("/proc/{spare}/fd")).unwrap().map(|entry| entry.unwrap().path());
    let open: Vec<_> = links.map(|link| std::fs::read_link(link).unwrap().to_string_lossy().into_owned()).collect();
    let count = |kind: &str| open.iter().filter(|file| file.starts_with(kind)).count();
    assert_eq!([count("socket:"), count("anon_inode:"), count("pidfd:"), count("/memfd:")], [1, 0, 0, 0], "{open:?}");
    crash(&sandbox, host);
}

#[test]
fn where_it_was_killed_another_process_writes() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, spare) = host_and_spare(&sandbox, &monitor);
    process::end(spare);
    crash(&sandbox, host);
    common::wait_until("the monitor to hear of it", || !monitor.complaints().is_empty());
    let [complaint] = &monitor.complaints()[..] else { panic!("{:?}", monitor.complaints()) };
    assert!(complaint.contains(&format!("process {spare}, a spare writer, has ended")), "{complaint}");
    assert_eq!(process::spare(monitor.pid()), None, "a new one would be killed too");
    monitor.assert_serves(&sandbox);
}

#[test]
fn one_that_is_stopped_costs_its_host_the_deadline_and_no_more() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let mut host = Host::c().start(&sandbox, &["config", "segv", "1000"]);
    host.wait_for("ready");
    let spare = process::wait_for_spare(monitor.pid());
    process::signal(spare, Signal::STOP);
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    common::wait_until("it to be ended, and the record", || {
        !process::is_alive(spare) && !sandbox.record_files().is_empty()
    });
    let record = sandbox.only_record();
    assert_eq!(record["failed"], serde_json::json!(["the writer was ended by signal 9"]), "{record:#}");
    monitor.assert_serves(&sandbox);
}

#[test]
fn it_ends_with_a_monitor_that_is_killed() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, spare) = host_and_spare(&sandbox, &monitor);
    process::end(monitor.pid());
    common::wait_until("the spare writer to end", || !process::is_alive(spare));
    crash(&sandbox, host);
}
