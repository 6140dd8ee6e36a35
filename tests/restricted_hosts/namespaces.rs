//! Hosts in name spaces of their own, as in a container.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::common::{self, Dump, Host, Monitor, Running, Sandbox, process};
use crate::{assert_abort_of, assert_ended_by, assert_segv_of, host};

/// A new process name space, with the /proc that belongs to it.
const PROCESSES: [&str; 3] = ["--pid", "--fork", "--mount-proc"];

/// unshare(1) with these options, before the command to run; None, said aloud, where it is forbidden.
fn unshare(options: &[&str]) -> Option<Command> {
    let mut command = Command::new("unshare");
    command.args(options);
    let output = Command::new("unshare").args(options).arg("true").output().expect("unshare(1)");
    if !output.status.success() {
        common::skip(&format!("needs a name space: {}", String::from_utf8_lossy(&output.stderr).trim()));
        return None;
    }
    Some(command)
}

/// `tests/hosts/page.c`.
fn page_host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("page.c", "page", &["-lrt"]))
}

/// Adds a host's command line.
fn with_host<'a>(command: &'a mut Command, sandbox: &Sandbox, kind: &str) -> &'a mut Command {
    let host = host().command(sandbox, &[kind]);
    command.arg(host.get_program()).args(host.get_args())
}

#[test]
fn a_host_and_its_monitor_in_a_process_name_space() {
    let sandbox = Sandbox::new();
    let Some(mut command) = unshare(&PROCESSES) else { return };
    // The shell is process 1. When it ends the kernel ends the others.
    command.args(["sh", "-c", "\"$@\"; echo status $?", "sh"]);
    let ended = Running::start(with_host(&mut command, &sandbox, "plain")).end();
    assert_eq!(ended.said("status "), (128 + libc::SIGSEGV).to_string());
    let thread = ended.crashing_thread();
    assert!((2..100).contains(&thread), "an id of the name space: {thread}");
    assert_segv_of(&sandbox.only_dump(), &host().path, thread);
}

#[test]
fn where_there_is_no_proc_install_says_so() {
    let sandbox = Sandbox::new();
    let Some(mut command) = unshare(&["--mount"]) else { return };
    command.args(["sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"]);
    let ended = Running::start(with_host(&mut command, &sandbox, "plain")).end();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert_eq!(ended.said("status "), crash_monitor::CM_ERR_MONITOR_START.to_string());
    assert!(ended.said("message ").contains("/proc is not mounted"), "{ended:?}");
}

#[test]
fn a_crash_of_a_name_spaces_first_process_ends_it() {
    let sandbox = Sandbox::new();
    let Some(mut command) = unshare(&PROCESSES) else { return };
    let ended = Running::start(with_host(&mut command, &sandbox, "plain")).end();
    assert_ended_by(&ended, libc::SIGSEGV);
    assert_eq!(ended.said("ready "), "1 1");
    assert_segv_of(&sandbox.only_dump(), &host().path, 1);
}

/// Signals that such a process sends itself, abort(3)'s among them, do not end it.
#[test]
fn abort_in_a_name_spaces_first_process_ends_it() {
    let sandbox = Sandbox::new();
    let Some(mut command) = unshare(&PROCESSES) else { return };
    let ended = Running::start(with_host(&mut command, &sandbox, "corrupt-heap")).end();
    // The kernel spares it SIGABRT; then glibc's abort runs into an instruction that is forbidden (hlt on x86-64) or a
    // breakpoint (AArch64). That is how it ends and not why: of that there is no second dump.
    assert_ended_by(&ended, if cfg!(target_arch = "x86_64") { libc::SIGSEGV } else { libc::SIGTRAP });
    assert_abort_of(&sandbox.only_dump(), 1);
    assert_eq!(sandbox.only_record()["signal"]["name"], "SIGABRT");
}

/// One that is to be ended by its own breakpoint instruction, as GLib's fatal messages do it.
#[test]
fn a_breakpoint_in_a_name_spaces_first_process_ends_it() {
    let sandbox = Sandbox::new();
    let Some(mut command) = unshare(&PROCESSES) else { return };
    let host = Host::c().command(&sandbox, &["trap"]);
    let ended = Running::start(command.arg(host.get_program()).args(host.get_args())).end();
    assert_ended_by(&ended, libc::SIGTRAP);
    let dump = sandbox.only_dump();
    dump.check_basics(&Host::c().path, 1);
    assert_eq!(dump.signal(), libc::SIGTRAP);
    assert_eq!(Path::new(&dump.crashing_module()), Host::c().path.canonicalize().unwrap());
}

#[test]
fn a_signal_that_a_name_spaces_first_process_is_spared_leaves_no_dump() {
    let sandbox = Sandbox::new();
    let Some(mut command) = unshare(&PROCESSES) else { return };
    let host = Host::c().command(&sandbox, &["sent"]);
    let ended = Running::start(command.arg(host.get_program()).args(host.get_args())).end();
    assert_eq!(ended.status.code(), Some(4), "survived: {ended:?}");
    assert_eq!(sandbox.dump_files(), Vec::<PathBuf>::new());
}

#[test]
fn a_host_whose_only_place_to_write_is_its_dump_directory() {
    let sandbox = Sandbox::new();
    let Some(mut command) = unshare(&["--mount"]) else { return };
    std::fs::create_dir(sandbox.dumps()).unwrap();
    let script = "mount -t tmpfs -o mode=0700 none \"$1\" && mount -o remount,bind,ro / && shift && \
                  if touch /probe 2> /dev/null; then exit 9; fi; \"$@\"; echo status $?; read go_on";
    command.args(["sh", "-c", script, "sh"]).arg(sandbox.dumps());
    let mut shell = Running::start(with_host(&mut command, &sandbox, "plain"));
    let thread = shell.wait_for("ready ").split(' ').next().unwrap().parse().unwrap();
    assert_eq!(shell.wait_for("status "), (128 + libc::SIGSEGV).to_string());

    // The directory as the shell sees it.
    let dumps = PathBuf::from(format!("/proc/{}/root{}", shell.pid(), sandbox.dumps().display()));
    let files = std::fs::read_dir(&dumps).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "dmp")).collect();
    let [file] = &files[..] else { panic!("one dump expected: {files:?}") };
    assert_segv_of(&Dump::read(file), &host().path, thread);
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "it is in the file system of the host alone");

    shell.go_on();
    assert_eq!(shell.end().status.code(), Some(0));
}

/// Its monitor knows it by other ids than it does itself; in dumps and records are the monitor's.
fn crash_with_monitor_outside(options: &[&str]) {
    let sandbox = Sandbox::new();
    let Some(mut command) = unshare(options) else { return };
    let monitor = Monitor::start(&sandbox);
    let page = page_host();
    let host = page.command(&sandbox, &["thread"]);
    let mut running = Running::start(command.arg(host.get_program()).args(host.get_args()));
    assert!(running.wait_for("ready ").starts_with("1 "), "its own id");
    let [main] = process::children(running.pid())[..] else { panic!("unshare(1) has one child") };
    let threads = std::fs::read_dir(format!("/proc/{main}/task")).unwrap();
    let threads = threads.map(|thread| thread.unwrap().file_name().to_str().unwrap().parse::<u32>().unwrap());
    let [thread] = threads.filter(|thread| *thread != main).collect::<Vec<_>>()[..] else { panic!("two threads") };
    let alive = sandbox.only_dump();
    assert_eq!((alive.crashing_thread(), alive.thread_count()), (thread, 2));
    std::fs::remove_file(&alive.path).unwrap();
    std::fs::remove_file(alive.path.with_extension("json")).unwrap();

    running.go_on();
    assert_ended_by(&running.end(), libc::SIGSEGV);
    let dump = sandbox.dump_of(main);
    assert_segv_of(&dump, &page.path, thread);
    assert_eq!(dump.thread_count(), 2);
    let record = sandbox.only_record();
    assert_eq!((&record["pid"], &record["failed"]), (&json!(main), &json!([])));
    let annotations = json!({ main.to_string(): { "request": "main" }, thread.to_string(): { "request": "thread" } });
    assert_eq!(record["thread_annotations"], annotations);
    assert_eq!(record["log"][0]["tid"], thread);
    assert_eq!(monitor.complaints(), [""; 0]);
}

#[test]
fn a_host_in_a_process_name_space_and_its_monitor_outside() {
    crash_with_monitor_outside(&PROCESSES);
}

#[test]
fn a_host_in_name_spaces_of_all_kinds_and_its_monitor_outside() {
    let others = ["--user", "--map-root-user", "--mount", "--uts", "--ipc", "--net", "--cgroup"];
    crash_with_monitor_outside(&[&others[..], &PROCESSES].concat());
}

/// The kernel tells such a monitor nothing of a host, so it could dump nothing.
#[test]
fn a_monitor_in_a_process_name_space_refuses_hosts_outside() {
    let sandbox = Sandbox::new();
    let (Some(mut monitor), Some(mut sibling)) = (unshare(&PROCESSES), unshare(&PROCESSES)) else { return };
    monitor.arg("--kill-child").arg(Monitor::program());
    let monitor = Monitor::start_by(&sandbox, monitor);
    let outside = host().command(&sandbox, &["plain"]);
    let in_sibling = with_host(&mut sibling, &sandbox, "plain");
    for mut command in [outside, std::mem::replace(in_sibling, Command::new("true"))] {
        let ended = Running::start(&mut command).end();
        assert_eq!(ended.said("status "), crash_monitor::CM_ERR_SOCKET.to_string());
        let message = ended.said("message ");
        assert!(message.contains("another process name space (pid_namespaces(7))"), "{message}");
    }
    assert_eq!(sandbox.record_files(), Vec::<PathBuf>::new());
    let complaints = monitor.complaints();
    assert!(complaints.iter().all(|complaint| complaint.contains("a process name space")), "{complaints:?}");
}
