//! The `crash-monitor` executable's command line: what it prints, and how it ends.

mod common;

use std::process::{Command, Output, Stdio};

use common::{Host, Running, Sandbox, dist, wait_until};

fn crash_monitor(arguments: &[&str]) -> Output {
    Command::new(dist().join("bin/crash-monitor")).args(arguments).output().expect("run crash-monitor")
}

#[test]
fn help_is_an_answer() {
    for (arguments, words) in [
        (&["--help"][..], &["crash-monitor show FILE.dmp", "crash-monitor run --dump-dir DIR", "cm_install"][..]),
        (&["-h"], &["Example:"]),
        (&["show", "--help"], &["--all-threads", "Example:"]),
        (
            &["run", "--help"],
            &["--dump-dir", "--socket", "--stay", "--log-file", "--log-level", "--backend", "Example:"],
        ),
        (&["run", "--stay", "-h"], &["--dump-dir"]),
        (&["--version"], &[env!("CARGO_PKG_VERSION")]),
    ] {
        let output = crash_monitor(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {}", output.status);
        for word in words {
            assert!(text.contains(word), "{arguments:?}: {word:?} is missing in\n{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 80), "{arguments:?}: a line is too long in\n{text}");
    }
}

#[test]
fn a_wrong_command_line_is_explained() {
    for (arguments, explanation) in [
        (&[][..], "Usage: crash-monitor show"),
        (&["dump"], "`dump`"),
        (&["--colour"], "--colour"),
        (&["show"], "a dump file is missing"),
        (&["show", "--colour", "x.dmp"], "--colour"),
        (&["run"], "--dump-dir is missing"),
        (&["run", "--dump-dir", "/tmp", "--colour"], "--colour"),
        (&["--crash-monitor"], "--dump-dir is missing"),
    ] {
        let output = crash_monitor(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(errors.starts_with("crash-monitor: ") && errors.contains(explanation), "{arguments:?}: {errors}");
        assert!(errors.contains("--help"), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_monitor_that_cannot_listen_fails() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    let output = crash_monitor(&["run", "--dump-dir", file.to_str().unwrap()]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("crash-monitor: cannot listen at"), "{errors}");
}

#[test]
fn a_monitor_run_by_hand_serves_hosts_until_it_is_told_to_end() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dumps()).unwrap();
    let mut command = Command::new(dist().join("bin/crash-monitor"));
    command.args(["run", "--stay", "--dump-dir"]).arg(sandbox.dumps()).stderr(Stdio::null());
    let monitor = Running::start(&mut command);
    wait_until("the monitor to listen", || sandbox.monitor_pid() == Some(monitor.pid()));

    let ended = Host::c().run(&sandbox, &["segv"]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);
    assert_eq!(sandbox.monitor_pid(), Some(monitor.pid()), "it stays");

    let pid = rustix::process::Pid::from_raw(monitor.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let monitor = monitor.end();
    assert!(monitor.status.success(), "{:?}", monitor.status);
    sandbox.wait_for_monitors_end();
}

#[test]
fn run_makes_its_dump_directory_and_logs_as_much_as_asked_for() {
    let sandbox = common::Sandbox::new();
    let dumps = sandbox.dumps();
    let quiet = sandbox.path().join("quiet.log");
    let mut monitor = std::process::Command::new(common::dist().join("bin/crash-monitor"));
    monitor.args(["run", "--log-level", "warn", "--log-file"]).arg(&quiet).arg("--dump-dir").arg(&dumps);
    let mut monitor = monitor.spawn().expect("start the monitor");
    common::wait_until("the monitor to listen", || sandbox.monitor_pid().is_some());
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&dumps.metadata().unwrap()) & 0o777, 0o700);
    // The connection that asked for its pid was its first and last host.
    assert!(monitor.wait().expect("wait for the monitor").success());
    assert_eq!(std::fs::read_to_string(&quiet).unwrap(), "", "nothing happened that deserves a warning");
}
