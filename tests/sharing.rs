//! Several hosts and one monitor; monitors that come and go.

mod common;

use std::os::unix::fs::FileTypeExt;

use common::peer;
use common::{Host, Sandbox, process};
use rustix::process::Signal;

#[test]
fn two_hosts_share_a_monitor_which_ends_with_the_last() {
    let sandbox = Sandbox::new();
    let mut first = Host::c().start(&sandbox, &["wait", "segv"]);
    first.wait_for("ready");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    let mut second = Host::c().start(&sandbox, &["wait", "abort"]);
    second.wait_for("ready");
    assert_eq!(sandbox.monitor_pid(), Some(monitor));

    first.go_on();
    let first = first.end();
    assert_eq!(sandbox.dump_of(first.pid).signal(), libc::SIGSEGV);
    assert_eq!(sandbox.monitor_pid(), Some(monitor), "it serves the second");
    second.go_on();
    let second = second.end();
    assert_eq!(sandbox.dump_of(second.pid).signal(), libc::SIGABRT);

    sandbox.wait_for_monitors_end();
    common::wait_until("the monitor's process to end", || !process::is_alive(monitor));
    let left: Vec<_> =
        sandbox.files().iter().filter_map(|path| path.extension()?.to_str().map(str::to_owned)).collect();
    assert_eq!(left, ["dmp", "json", "dmp", "json"], "dumps and records alone are left");
}

#[test]
fn twenty_hosts_that_install_at_once_share_one_monitor() {
    let sandbox = Sandbox::new();
    let mut hosts: Vec<_> = (0..20).map(|_| Host::c().start(&sandbox, &["wait", "segv"])).collect();
    for host in &mut hosts {
        host.wait_for("ready");
    }
    let monitor = sandbox.monitor_pid().expect("a monitor");
    let monitors = std::fs::read_dir("/proc").unwrap().filter(|entry| {
        let Ok(entry) = entry else { return false };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        // Its writers have other names.
        let is_monitor = std::fs::read(entry.path().join("comm")).is_ok_and(|name| name == b"crash-monitor\n");
        is_monitor && line.contains("--crash-monitor") && line.contains(sandbox.dumps().to_str().unwrap())
    });
    assert_eq!(monitors.count(), 1);
    for host in &mut hosts {
        host.go_on();
    }
    for host in hosts {
        let ended = host.end();
        assert_eq!(ended.signal(), Some(libc::SIGSEGV));
        sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    }
    assert_eq!(sandbox.dump_files().len(), 20);
    common::wait_until("the monitor's process to end", || !process::is_alive(monitor));
}

#[test]
fn a_socket_left_by_a_killed_monitor_is_replaced() {
    let sandbox = Sandbox::new();
    let mut first = Host::c().start(&sandbox, &["wait-exit"]);
    first.wait_for("ready");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    process::signal(monitor, Signal::KILL);
    common::wait_until("the monitor to be gone", || !process::is_alive(monitor));
    assert!(sandbox.socket().metadata().unwrap().file_type().is_socket(), "its socket is still there");

    let ended = Host::c().run(&sandbox, &["segv"]);
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    first.go_on();
    assert_eq!(first.end().status.code(), Some(0));
}

#[test]
fn a_killed_monitor_is_started_again_by_the_crash() {
    let sandbox = Sandbox::new();
    let mut host = Host::c().start(&sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    process::signal(sandbox.monitor_pid().expect("a monitor"), Signal::KILL);
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    let dump = sandbox.only_dump();
    dump.check_basics(&Host::c().path, ended.pid);
    assert_eq!(dump.address(), 0xdead000);
}

#[test]
fn with_no_monitor_to_be_had_the_crash_ends_at_once() {
    let sandbox = Sandbox::new();
    let monitor = sandbox.path().join("monitor");
    std::fs::copy(common::dist().join("bin/crash-monitor"), &monitor).unwrap();
    let mut command = Host::c().command(&sandbox, &["wait", "segv"]);
    let mut host = common::Running::start(command.env("CRASH_MONITOR_PATH", &monitor));
    host.wait_for("ready");
    let pid = sandbox.monitor_pid().expect("a monitor");
    std::fs::remove_file(&monitor).unwrap();
    process::signal(pid, Signal::KILL);
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    assert!(ended.took < std::time::Duration::from_secs(3), "took {:?}, the deadline is 10 s", ended.took);
    assert_eq!(sandbox.dump_files().len(), 0);
}

#[test]
fn a_monitor_that_was_just_ending_is_replaced() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dumps()).unwrap();
    // It hangs up on the host, on the monitor that the host starts and that leaves it to this one, on the host again; then
    // it has ended.
    let ending = peer::ending_monitor(&sandbox.socket(), 3);
    let ended = Host::c().run(&sandbox, &["segv"]);
    ending.join().expect("the ending monitor's thread");
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);
}
