//! What a host, or a monitor started by it, may not do.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;

use crate::common::{self, Running, Sandbox, process};
use crate::commoner::Commoner;
use crate::{assert_ended_by, assert_segv_of, crash, host};

/// As a user without rights, whose processes may not look into one that is not dumpable: the handler makes it so for as
/// long as the dump takes.
fn crash_undumpable(kind: &str) {
    let sandbox = Sandbox::new();
    let commoner = Commoner::new(&sandbox, kind);
    let ended = Running::start(commoner.command(&sandbox, &[kind]).current_dir(sandbox.path())).end();
    assert_ended_by(&ended, libc::SIGSEGV);
    assert!(!ended.status.core_dumped(), "it is not dumpable again, so the kernel writes no core file");
    assert_segv_of(&sandbox.only_dump(), &commoner.host.path, ended.pid);
    assert_eq!(sandbox.only_record()["failed"], serde_json::json!([]));
}

#[test]
fn a_host_that_is_not_dumpable_when_it_installs() {
    crash_undumpable("undumpable-before");
}

#[test]
fn a_host_that_makes_itself_not_dumpable_later() {
    crash_undumpable("undumpable-after");
}

#[test]
fn a_setuid_program_follows_nothing_that_its_user_says() {
    if !rustix::process::geteuid().is_root() {
        return common::skip("only root can make a setuid program of another user");
    }
    let sandbox = Sandbox::new();
    let commoner = Commoner::new(&sandbox, "setuid");
    let program = &commoner.host.path;
    chown(program, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(program, PermissionsExt::from_mode(0o4755)).unwrap();

    let mut command = commoner.command(&sandbox, &["wait"]);
    // As the monitor this would end at once, and the library of that directory is none.
    command.env("CRASH_MONITOR_PATH", "/bin/false").env("LD_LIBRARY_PATH", sandbox.path());
    std::fs::write(sandbox.path().join("libcrash_monitor.so.0"), "").unwrap();
    let mut host = Running::start(&mut command);
    host.wait_for("waiting");
    let users = process::status(host.pid(), "Uid").expect("real, effective, saved and file system user");
    if users.split_whitespace().nth(1) != Some("0") {
        return common::skip("the temporary directory is mounted nosuid");
    }
    let monitor = sandbox.monitor_pid().expect("a monitor");
    let own = sandbox.path().join("bin/crash-monitor");
    assert_eq!(std::fs::read_link(format!("/proc/{monitor}/exe")).unwrap(), own.canonicalize().unwrap());
    assert_eq!(std::fs::read(format!("/proc/{monitor}/environ")).unwrap(), b"", "the monitor's environment");

    host.go_on();
    let ended = host.end();
    assert_ended_by(&ended, libc::SIGSEGV);
    let dump = sandbox.only_dump();
    assert_segv_of(&dump, program, ended.pid);
    let metadata = dump.path.metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600), "for root alone");
}

#[test]
fn a_setuid_program_does_not_trust_what_lies_beside_it() {
    if !rustix::process::geteuid().is_root() {
        return common::skip("only root can make a setuid program of another user");
    }
    let sandbox = Sandbox::new();
    let commoner = Commoner::new(&sandbox, "linked");
    let program = &commoner.host.path;
    std::fs::rename(sandbox.path().join("bin/crash-monitor"), program.with_file_name("crash-monitor")).unwrap();
    for (mode, status) in [(0o755, None), (0o4755, Some(crash_monitor::CM_ERR_NO_MONITOR))] {
        std::fs::set_permissions(program, PermissionsExt::from_mode(mode)).unwrap();
        let ended = Running::start(&mut commoner.command(&sandbox, &["plain"])).end();
        let refused = ended.output.lines().find_map(|line| line.strip_prefix("status ")?.parse().ok());
        assert_eq!(refused, status, "{ended:?}");
        sandbox.wait_for_monitors_end();
    }
}

#[test]
fn where_only_ancestors_may_trace_the_monitor_may_too() {
    const SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";
    let Ok(scope) = std::fs::read_to_string(SCOPE) else {
        return common::skip("this kernel has no Yama, which restricts who may trace whom");
    };
    if scope.trim() != "1" {
        return common::skip(&format!("{SCOPE} is {}, this is about 1", scope.trim()));
    }
    let sandbox = Sandbox::new();
    let commoner = Commoner::new(&sandbox, "scope");
    let ended = Running::start(&mut commoner.command(&sandbox, &["plain"])).end();
    assert_ended_by(&ended, libc::SIGSEGV);
    assert_segv_of(&sandbox.only_dump(), &commoner.host.path, ended.pid);
    assert_eq!(sandbox.only_record()["failed"], serde_json::json!([]));
}

#[test]
fn a_sandbox_in_which_ptrace_fails_leaves_a_dump_and_says_what_is_missing() {
    let (ended, dump, sandbox) = crash(&["ptrace-fails"]);
    assert_eq!(dump.thread_count(), 1);
    let reason = format!("thread {}: cannot be stopped: Operation not permitted (os error 1)", ended.pid);
    assert_eq!(sandbox.only_record()["failed"], serde_json::json!([reason]));
}

#[test]
fn a_sandbox_in_which_ptrace_kills_leaves_a_record_that_says_so() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["ptrace-kills"]);
    assert_ended_by(&ended, libc::SIGSEGV);
    assert_eq!(sandbox.dump_files(), Vec::<std::path::PathBuf>::new());
    let record = sandbox.only_record();
    assert_eq!((&record["pid"], &record["signal"]["name"]), (&ended.pid.into(), &"SIGSEGV".into()));
    let reason = format!("the writer was ended by signal {}", libc::SIGSYS);
    assert_eq!(record["failed"], serde_json::json!([reason]));
}
