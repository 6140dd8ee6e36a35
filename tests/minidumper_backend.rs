//! The monitor with minidumper's server as its backend, as it is on Windows and macOS, here with hosts on Linux.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::process::{self, is_alive};
use common::{Ended, Host, Monitor, Running, Sandbox, wait_until};

/// A monitor that ends with its last host, at the sandbox's socket.
fn run_until_last_host(sandbox: &Sandbox, program: &Path, command: &str) -> Running {
    let mut line = Command::new(program);
    line.args([command, "--backend", "minidumper", "--dump-dir"]).arg(sandbox.dumps());
    let monitor = Running::start(&mut line);
    // Each look is a connection that says nothing, after which the monitor still waits for its first host.
    wait_until("the monitor to listen", || sandbox.monitor_pid() == Some(monitor.pid()));
    monitor
}

fn crash(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    let ended = Host::c().run(sandbox, arguments);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    ended
}

#[test]
fn a_crash_leaves_a_whole_dump_under_the_hosts_name() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let ended = crash(&sandbox, &["segv"]);
    // Visible before the host ends, and nothing half-written beside it.
    let dump = sandbox.dump_of(ended.pid);
    assert_eq!(sandbox.temporary_files(), Vec::<std::path::PathBuf>::new());
    dump.check_basics(&Host::c().path, ended.crashing_thread());
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
    let program = Host::c().path.file_name().unwrap().to_str().unwrap();
    let name = dump.path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&format!("{program}-")), "{name}");
    assert_eq!(dump.path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn dumps_go_where_each_host_wants_them() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let elsewhere = sandbox.path().join("elsewhere");
    let mut command = Command::new(&Host::c().path);
    let ended = Running::start(command.arg(&elsewhere).arg(sandbox.socket()).arg("segv")).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let dumps: Vec<_> = std::fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [dump] = &dumps[..] else { panic!("one dump alone in {dumps:?}") };
    common::Dump::read(dump).check_basics(&Host::c().path, ended.pid);
    assert_eq!(sandbox.dump_files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn hosts_that_crash_at_once_each_get_their_dump() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let mut hosts: Vec<_> = (0..8).map(|_| Host::c().start(&sandbox, &["wait", "segv"])).collect();
    hosts.iter_mut().for_each(|host| _ = host.wait_for("ready"));
    hosts.iter_mut().for_each(Running::go_on);
    for host in hosts {
        let ended = host.end();
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
        sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    }
}

#[test]
fn it_ends_with_its_last_host_and_leaves_nothing_but_dumps() {
    let sandbox = Sandbox::new();
    let monitor = run_until_last_host(&sandbox, &Monitor::program(), "run");
    let ended = crash(&sandbox, &["segv"]);
    assert!(monitor.end().status.success());
    assert_eq!(sandbox.files(), [sandbox.dump_of(ended.pid).path]);
}

#[test]
fn sigterm_ends_it_and_what_a_terminal_sends_does_not() {
    let sandbox = Sandbox::new();
    let monitor = run_until_last_host(&sandbox, &Monitor::program(), "run");
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::HUP, rustix::process::Signal::QUIT] {
        process::signal(monitor.pid(), signal);
    }
    assert!(is_alive(monitor.pid()) && sandbox.monitor_pid() == Some(monitor.pid()));
    process::signal(monitor.pid(), rustix::process::Signal::TERM);
    assert!(monitor.end().status.success());
    assert_eq!(sandbox.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_socket_has_one_monitor_whichever_its_backend() {
    let second = |sandbox: &Sandbox, backend: &str| {
        let mut line = Command::new(Monitor::program());
        line.args(["run", "--backend", backend, "--dump-dir"]).arg(sandbox.dumps());
        line.output().expect("run a second monitor")
    };
    let sandbox = Sandbox::new();
    let monitor = Monitor::start_minidumpers(&sandbox);
    for backend in ["linux", "minidumper"] {
        let output = second(&sandbox, backend);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("another monitor listens"), "{said}");
    }
    monitor.assert_serves(&sandbox);
    drop(monitor);

    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let output = second(&sandbox, "minidumper");
    assert!(String::from_utf8_lossy(&output.stderr).contains("another monitor listens"), "{output:?}");
    monitor.assert_serves(&sandbox);
}

#[test]
fn a_file_at_the_sockets_path_is_left_alone() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dumps()).unwrap();
    std::fs::write(sandbox.socket(), "somebody's").unwrap();
    let mut line = Command::new(Monitor::program());
    line.args(["run", "--backend", "minidumper", "--dump-dir"]).arg(sandbox.dumps());
    let output = line.output().expect("run a monitor");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a socket and is left alone"), "{output:?}");
    assert_eq!(std::fs::read_to_string(sandbox.socket()).unwrap(), "somebody's");
    std::fs::remove_file(sandbox.socket()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_to_costs_one_dump_and_no_more() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start_minidumpers(&sandbox);
    let mut host = Host::c().start(&sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    // Its socket is open already.
    let aside = sandbox.path().join("aside");
    std::fs::rename(sandbox.dumps(), &aside).unwrap();
    std::fs::write(sandbox.dumps(), "in the way").unwrap();
    host.go_on();
    assert_eq!(host.end().signal(), Some(libc::SIGSEGV));
    let complaints = monitor.complaints();
    assert!(complaints[0].contains("cannot make a file in") && complaints[0].contains("dumps"), "{complaints:?}");
    std::fs::remove_file(sandbox.dumps()).unwrap();
    std::fs::rename(&aside, sandbox.dumps()).unwrap();
    monitor.assert_serves(&sandbox);
}

#[test]
fn the_newest_dumps_stay() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let pids: Vec<u32> = (0..3).map(|_| crash(&sandbox, &["keep", "1", "1000000000"]).pid).collect();
    // Old ones are removed after the host has been let go.
    wait_until("the older ones to be removed", || sandbox.dump_files().len() == 1);
    sandbox.dump_of(pids[2]).check_basics(&Host::c().path, pids[2]);
}

#[test]
fn the_programs_own_function_is_called_with_the_dump_and_no_record() {
    let sandbox = Sandbox::new();
    let host = Host::build("callbacks.c", "callbacks_minidumper", &[]);
    let monitor = run_until_last_host(&sandbox, &host.path, "--crash-monitor");
    let mut command = Command::new(&host.path);
    let ended = Running::start(command.arg(sandbox.dumps()).arg("plain")).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    // It waits for the function before it ends.
    assert!(monitor.end().status.success());
    let dump = sandbox.dump_of(ended.pid).path;
    let seen = std::fs::read_to_string(format!("{}.seen", dump.display())).expect("what the function has written");
    assert_eq!(seen, format!("told so\n{}\n-\n", dump.display()));
}
