//! What goes wrong while a dump is written: the host ends by its signal all the same, the reason is in the log, in a
//! record where one can be written, and the monitor serves on.

#![allow(unsafe_code)] // Traces a host.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::process::{self, signal};
use common::{Ended, Host, Monitor, Running, Sandbox};
use minidump::Module;
use rustix::process::Signal;

/// Its default deadline is 10 s; whatever goes wrong, nobody makes it wait for that.
fn assert_ended_by_segv(ended: &Ended) {
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    assert!(ended.took < Duration::from_secs(8), "took {:?}", ended.took);
}

/// Starts a host that a dumper needs two seconds for, since one of its threads cannot be stopped, and has it crash.
/// Gives the host and the dumper that holds it.
fn being_dumped(sandbox: &Sandbox, monitor: &Monitor, deadline_ms: &str) -> (Running, u32) {
    let mut host = Host::shapes().start(sandbox, &["unstoppable", deadline_ms]);
    host.wait_for("ready");
    host.go_on();
    let dumper = monitor.wait_for_dumper_of(host.pid());
    (host, dumper)
}

#[test]
fn a_monitor_that_is_to_end_finishes_the_dump_in_progress() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, _) = being_dumped(&sandbox, &monitor, "10000");
    signal(monitor.pid(), Signal::TERM);
    let ended = host.end();
    assert_ended_by_segv(&ended);
    sandbox.dump_of(ended.pid).check_basics(&Host::shapes().path, ended.pid);
    common::wait_until("the monitor to end", || !process::is_alive(monitor.pid()));
    assert!(!sandbox.socket().exists());
}

#[test]
fn signals_of_a_terminal_do_not_end_a_monitor() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    for number in [Signal::INT, Signal::HUP, Signal::QUIT, Signal::PIPE] {
        signal(monitor.pid(), number);
    }
    monitor.assert_serves(&sandbox);
}

#[test]
fn a_thread_that_cannot_be_stopped_does_not_cost_the_dump() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, _) = being_dumped(&sandbox, &monitor, "10000");
    let ended = host.end();
    assert_ended_by_segv(&ended);
    let dump = sandbox.dump_of(ended.pid);
    dump.check_basics(&Host::shapes().path, ended.pid);
    assert_eq!(dump.thread_count(), 2);
    let record = sandbox.only_record();
    assert_eq!(record["failed"].as_array().map(Vec::len), Some(1), "{record}");
    assert!(record["failed"][0].as_str().unwrap().contains("1 did not stop within 2s"), "{record}");
}

/// A monitor that inherits what `setting`, a line of shell, sets.
fn monitor_after(sandbox: &Sandbox, setting: &str) -> Monitor {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{setting}; exec \"$@\""), "sh"]).arg(Monitor::program());
    Monitor::start_by(sandbox, command)
}

#[test]
fn an_inherited_ignored_sigchld_makes_no_dump_slower() {
    let sandbox = Sandbox::new();
    let mut command = Command::new("env");
    command.args(["--ignore-signal=CHLD", "taskset", "-c", "0"]).arg(Monitor::program());
    let monitor = Monitor::start_by(&sandbox, command);
    for _ in 0..5 {
        // On the monitor's processor: its thread stops only while the writer waits for that.
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(&Host::c().path).arg(sandbox.dumps()).args(["-", "segv"]);
        assert_ended_by_segv(&Running::start(&mut command).end());
    }
    for record in sandbox.records() {
        assert!(record["milliseconds"]["stop"].as_f64().unwrap() < 1000.0, "{record}");
    }
    let ignored = process::status(monitor.pid(), "SigIgn").unwrap();
    let chld = 1 << (libc::SIGCHLD - 1);
    assert_eq!(u64::from_str_radix(&ignored, 16).unwrap() & chld, 0, "{ignored}");
}

#[test]
fn an_inherited_limit_of_file_sizes_costs_no_dump() {
    let sandbox = Sandbox::new();
    let monitor = monitor_after(&sandbox, "ulimit -S -f 4");
    monitor.assert_serves(&sandbox);
}

#[test]
fn a_hard_limit_of_file_sizes_leaves_the_reason() {
    let sandbox = Sandbox::new();
    // 1.25 or 2.5 MiB, by the shell; with less than 1 MiB it would not begin. The dump of so many threads has 4 MiB.
    let _monitor = monitor_after(&sandbox, "ulimit -f 2560");
    let host = Host::build("exit_beside_crash.c", "file_limit", &[]);
    let ended = host.run(&sandbox, &["1000"]);
    assert_ended_by_segv(&ended);
    let failed = &sandbox.only_record()["failed"];
    assert!(failed[0].as_str().unwrap().contains("File too large"), "{failed}");
}

#[test]
fn a_killed_dumper_frees_its_host() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, dumper) = being_dumped(&sandbox, &monitor, "10000");
    signal(dumper, Signal::KILL);
    let ended = host.end();
    assert_ended_by_segv(&ended);
    assert!(ended.took < Duration::from_millis(1900), "took {:?}: it was not freed by the kill", ended.took);
    assert_dump_lost(&sandbox, ended.pid);
    monitor.assert_serves(&sandbox);
    let complaints = monitor.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains("ended by signal 9"), "{complaints:?}");
}

/// The dumper of process `pid` was killed: there is a record that says so, and nothing half done.
fn assert_dump_lost(sandbox: &Sandbox, pid: u32) {
    common::wait_until("the record", || !sandbox.record_files().is_empty());
    let record = sandbox.only_record();
    assert_eq!(
        (&record["kind"], &record["pid"], &record["address"]),
        (&"crash".into(), &pid.into(), &"0xdead000".into())
    );
    assert_eq!(record["executable"]["path"], Host::shapes().path.to_str().unwrap());
    assert_eq!(record["failed"], serde_json::json!(["the writer was ended by signal 9"]));
    assert_eq!((sandbox.dump_files(), sandbox.temporary_files()), (vec![], vec![]));
}

#[test]
fn a_stopped_dumper_costs_the_hosts_deadline_and_no_more() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, dumper) = being_dumped(&sandbox, &monitor, "1000");
    signal(dumper, Signal::STOP);
    let ended = host.end();
    assert_ended_by_segv(&ended);
    common::wait_until("the dumper to be ended", || !process::is_alive(dumper));
    assert_dump_lost(&sandbox, ended.pid);
    monitor.assert_serves(&sandbox);
}

#[test]
fn a_host_killed_while_it_is_dumped_harms_nobody() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, dumper) = being_dumped(&sandbox, &monitor, "10000");
    let pid = host.pid();
    signal(pid, Signal::KILL);
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGKILL));
    common::wait_until("the dumper to end", || !process::is_alive(dumper));
    // How much is left of the process is a matter of moments. Its crash context has come before.
    let record = sandbox.only_record();
    assert_eq!((&record["kind"], &record["pid"]), (&"crash".into(), &pid.into()), "{record}");
    let dump = sandbox.dump_of(pid);
    assert_eq!((dump.address(), dump.crashing_thread()), (0xdead000, pid));
    assert_ne!(dump.registers().0, 0);
    monitor.assert_serves(&sandbox);
    assert_eq!(sandbox.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn a_host_stopped_while_it_is_dumped_ends_once_it_goes_on() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (host, dumper) = being_dumped(&sandbox, &monitor, "10000");
    signal(host.pid(), Signal::STOP);
    common::wait_until("the dumper to end", || !process::is_alive(dumper));
    sandbox.dump_of(host.pid()).check_basics(&Host::shapes().path, host.pid());
    monitor.assert_serves(&sandbox);
    common::wait_until("the host to stop", || process::stat(host.pid(), 3).as_deref() == Some("T"));
    signal(host.pid(), Signal::CONT);
    assert_eq!(host.end().signal(), Some(libc::SIGSEGV));
}

fn ptrace(request: libc::c_uint, pid: u32, data: usize) {
    // SAFETY: only for requests without pointers.
    let done = unsafe { libc::ptrace(request, pid, 0, data) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Passes a traced process's signals on, as a debugger does, until it ends; its end is left to be waited for.
fn pass_signals_on(pid: u32) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};
    let child = Pid::from_raw(pid as i32).unwrap();
    let look = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(child), look).unwrap().expect("a change").trapped() {
        let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().expect("the same change");
        ptrace(libc::PTRACE_CONT, pid, status.stopping_signal().expect("a stop") as usize);
    }
}

#[test]
fn a_host_under_a_debugger_gets_the_best_dump_there_is() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let mut host = Host::c().start(&sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    ptrace(libc::PTRACE_SEIZE, host.pid(), 0);
    host.go_on();
    pass_signals_on(host.pid());
    let ended = host.end();
    assert_ended_by_segv(&ended);
    // Registers and stack of the crash come from its context; only that the thread could not be stopped is missing.
    let dump = sandbox.dump_of(ended.pid);
    dump.check_basics(&Host::c().path, ended.pid);
    assert_eq!(dump.address(), 0xdead000);
    let failed = &sandbox.only_record()["failed"];
    assert!(failed[0].as_str().unwrap().contains(&format!("thread {}: cannot be stopped", ended.pid)), "{failed}");
    monitor.assert_serves(&sandbox);
}

/// A host that has loaded a library of its own, with which `change` does something before the crash.
fn with_changed_module(change: impl FnOnce(&Path)) -> Vec<String> {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let module = sandbox.path().join("plugin.so");
    build_module(&module);
    let mut host = Host::shapes().start(&sandbox, &["dlopen", module.to_str().unwrap()]);
    host.wait_for("ready");
    change(&module);
    host.go_on();
    let ended = host.end();
    assert_ended_by_segv(&ended);
    let dump = sandbox.dump_of(ended.pid);
    dump.check_basics(&Host::shapes().path, ended.pid);
    monitor.assert_serves(&sandbox);
    dump.modules().iter().map(|module| module.code_file().into_owned()).collect()
}

fn build_module(path: &Path) {
    let source = path.with_extension("c");
    std::fs::write(&source, "int plugin(void) { return 1; }\n").unwrap();
    common::run(Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(path).arg(source));
}

#[test]
fn a_module_whose_file_was_deleted_is_listed() {
    assert_plugin_listed(with_changed_module(|module| std::fs::remove_file(module).unwrap()));
}

#[test]
fn a_module_whose_file_was_replaced_is_listed() {
    assert_plugin_listed(with_changed_module(|module| {
        std::fs::remove_file(module).unwrap();
        build_module(module);
    }));
}

#[test]
fn a_module_whose_file_was_truncated_is_listed() {
    assert_plugin_listed(with_changed_module(|module| drop(std::fs::File::create(module).unwrap())));
}

#[test]
fn a_module_whose_file_is_huge_is_listed() {
    assert_plugin_listed(with_changed_module(|module| {
        std::fs::File::options().write(true).open(module).unwrap().set_len(64 << 30).unwrap();
    }));
}

/// What is mapped is the file's own pages, which change with it.
#[test]
fn a_module_whose_headers_are_nonsense_is_listed() {
    assert_plugin_listed(with_changed_module(|module| {
        let file = std::fs::File::options().write(true).open(module).unwrap();
        // Behind the magic number: so many program headers, so far away, as the fields can say.
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 4096 - 4], 4).unwrap();
    }));
}

fn assert_plugin_listed(modules: Vec<String>) {
    assert_eq!(modules.iter().filter(|name| name.contains("plugin.so")).count(), 1, "{modules:?}");
}
