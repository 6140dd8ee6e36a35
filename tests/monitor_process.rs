//! The monitor as a process: what it inherits of its starter (nothing), and both ways to have one.

mod common;

use std::path::{Path, PathBuf};

use common::{Host, Sandbox, process};

/// A field of /proc/PID/stat, counted as proc(5) does.
fn stat(pid: u32, field: usize) -> u32 {
    process::stat(pid, field).and_then(|number| number.parse().ok()).expect("a number of a living process")
}

fn link(pid: u32, name: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/{name}")).expect("the link")
}

#[test]
fn a_started_monitor_inherits_nothing() {
    let sandbox = Sandbox::new();
    // Something in each place: a variable, a directory, a descriptor without close-on-exec, an ignored signal.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec 9</etc/passwd; trap '' USR1; exec \"$@\"", "sh"]).arg(&Host::c().path);
    command.arg(sandbox.dumps()).args(["-", "wait-exit"]).env("SECRET", "token").current_dir(sandbox.path());
    let mut host = common::Running::start(&mut command);
    host.wait_for("ready");
    let pid = sandbox.monitor_pid().expect("a monitor");

    assert_eq!(stat(pid, 6), pid, "its session is its own");
    assert_ne!(stat(pid, 4), host.pid(), "it is not the host's child");
    assert_eq!(link(pid, "cwd"), Path::new("/"));
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("SECRET"));
    for standard in 0..=2 {
        assert_eq!(link(pid, &format!("fd/{standard}")), Path::new("/dev/null"));
    }
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    // One that is closed meanwhile, such as the connection by which this test asked for the pid, has no link any more.
    let files: Vec<_> = descriptors.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok()).collect();
    assert!(files.contains(&PathBuf::from("/dev/null")), "{files:?}");
    assert!(!files.contains(&PathBuf::from("/etc/passwd")), "{files:?}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the mask");
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let usr1 = 1 << (libc::SIGUSR1 - 1);
    assert_eq!((mask("SigIgn:") & usr1, mask("SigBlk:") & usr1), (0, 0), "default signal actions");

    host.go_on();
    assert_eq!(host.end().status.code(), Some(0));
    sandbox.wait_for_monitors_end();
}

#[test]
fn a_host_without_standard_descriptors_installs_and_crashes() {
    let sandbox = Sandbox::new();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(&Host::c().path);
    command.arg(sandbox.dumps()).args(["-", "segv"]);
    let ended = common::Running::start(&mut command).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);
}

#[test]
fn a_host_that_closed_all_its_descriptors_still_gets_its_dump() {
    let sandbox = Sandbox::new();
    let mut host = Host::c().start(&sandbox, &["close-all", "segv"]);
    host.wait_for("ready");
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    assert_eq!(ended.output.lines().count(), 1, "nothing was written to its new descriptors: {}", ended.output);
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);
}

#[test]
fn a_host_can_be_its_own_monitor() {
    let sandbox = Sandbox::new();
    let mut command = std::process::Command::new(&Host::c().path);
    command.arg("own-monitor").arg(sandbox.dumps()).args(["-", "wait", "segv"]);
    let mut host = common::Running::start(&mut command);
    host.wait_for("ready");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    assert_eq!(link(monitor, "exe"), Host::c().path.canonicalize().unwrap());
    host.go_on();
    let ended = host.end();
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);
    sandbox.wait_for_monitors_end();
}

#[test]
fn a_process_started_as_a_monitor_never_becomes_the_host() {
    for arguments in [&["--crash-monitor"][..], &["--crash-monitor", "--dump-dir", "/d", "--nonsense"]] {
        let ended = common::Running::start(std::process::Command::new(&Host::c().path).args(arguments)).end();
        assert_eq!((ended.status.code(), ended.output.as_str()), (Some(1), ""));
    }
}

#[test]
fn a_child_that_forks_and_crashes_leaves_its_own_dump() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["fork", "segv"]);
    let said: Vec<_> = ended.said("child ").split(' ').collect();
    assert_eq!(said[2], libc::SIGABRT.to_string());
    let child: u32 = said[0].parse().unwrap();
    assert_eq!(sandbox.dump_of(child).signal(), libc::SIGABRT);
    sandbox.dump_of(child).check_basics(&Host::c().path, child);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    assert_eq!(sandbox.dump_of(ended.pid).signal(), libc::SIGSEGV);
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
}

#[test]
fn a_stopped_monitor_costs_the_deadline_and_no_more() {
    let sandbox = Sandbox::new();
    let mut host = Host::c().start(&sandbox, &["config", "segv", "300"]);
    host.wait_for("ready");
    let stopped = process::Stopped::new(sandbox.monitor_pid().expect("a monitor"));
    host.go_on();
    let ended = host.end();
    drop(stopped);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    let took = ended.took.as_millis();
    assert!((300..5000).contains(&took), "the deadline is 300 ms, it took {took} ms");
}

#[test]
fn a_monitor_whose_starter_has_gone_ends_by_itself() {
    let sandbox = Sandbox::new();
    // In C, unlike in Rust, SIGPIPE ends a program that has not seen to it.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = std::process::Command::new(&Host::c().path);
    command.args(["--crash-monitor", "--ready-fd", "1", "--dump-dir"]).arg(sandbox.dumps()).stdout(writer);
    drop(reader);
    let mut monitor = command.spawn().expect("start a monitor");
    // Its copy of the write end goes with it.
    drop(command);
    assert_eq!(monitor.wait().expect("the monitor's end").code(), Some(0));
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}
