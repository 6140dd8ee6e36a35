//! Hosts at their resource limits (setrlimit(2)).

use std::os::unix::process::ExitStatusExt;

use crate::common::{self, Ended, Running, Sandbox, process};
use crate::commoner::Commoner;
use crate::{assert_ended_by, assert_segv_of, crash, host};

/// Runs a host that may have three processes and threads: itself, its monitor, and a thread that takes the spare writer's place.
fn without_spare(sandbox: &Sandbox, commoner: &Commoner, arguments: &[&str]) -> Ended {
    let mut host = Running::start(&mut commoner.command(sandbox, arguments));
    host.wait_for("ready");
    process::end(spare_of(sandbox));
    common::wait_until("the monitor to hear of it", || monitor_log(sandbox).contains("a spare writer, has ended"));
    host.go_on();
    host.end()
}

fn spare_of(sandbox: &Sandbox) -> u32 {
    process::wait_for_spare(sandbox.monitor_pid().expect("a monitor"))
}

fn monitor_log(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.dumps().join("monitor.log")).unwrap()
}

#[test]
fn where_no_further_process_can_be_had_the_spare_writer_writes() {
    if !rustix::process::geteuid().is_root() {
        return common::skip("only root can act as a user who has no other processes");
    }
    let sandbox = Sandbox::new();
    let commoner = Commoner::new(&sandbox, "spare");
    // Itself with a second thread, its monitor, and the spare writer.
    let mut host = Running::start(&mut commoner.command(&sandbox, &["processes", "4"]));
    host.wait_for("ready");
    spare_of(&sandbox);
    host.go_on();
    let ended = host.end();
    assert_ended_by(&ended, libc::SIGSEGV);
    let dump = sandbox.only_dump();
    assert_segv_of(&dump, &commoner.host.path, ended.pid);
    assert_eq!(dump.thread_count(), 2);
    assert!(!monitor_log(&sandbox).contains("cannot start a writer"), "{}", monitor_log(&sandbox));
}

#[test]
fn where_no_process_can_be_had_the_monitor_itself_writes() {
    if !rustix::process::geteuid().is_root() {
        return common::skip("only root can act as a user who has no other processes");
    }
    let sandbox = Sandbox::new();
    let commoner = Commoner::new(&sandbox, "processes");
    let ended = without_spare(&sandbox, &commoner, &["processes", "3"]);
    assert_ended_by(&ended, libc::SIGSEGV);
    let dump = sandbox.only_dump();
    assert_segv_of(&dump, &commoner.host.path, ended.pid);
    assert_eq!(dump.thread_count(), 2);
    let log = monitor_log(&sandbox);
    assert!(
        log.contains("cannot start a writer (Resource temporarily unavailable (os error 11)): writing here"),
        "{log}"
    );
}

#[test]
fn where_the_monitor_itself_writes_nobody_waits_for_a_hosts_end() {
    if !rustix::process::geteuid().is_root() {
        return common::skip("only root can act as a user who has no other processes");
    }
    let sandbox = Sandbox::new();
    let commoner = Commoner::new(&sandbox, "attached");
    let ended = without_spare(&sandbox, &commoner, &["processes-attached", "3"]);
    assert_ended_by(&ended, libc::SIGSEGV);
    // A dumper would wait for three seconds, after its host has been told to go on.
    assert!(ended.took.as_secs() < 3, "{ended:?}");
    let attached = sandbox.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "exe"));
    assert_eq!((sandbox.dump_files().len(), attached.count()), (2, 2), "{:?}", sandbox.files());
}

#[test]
fn where_no_monitor_can_be_started_install_says_why() {
    if !rustix::process::geteuid().is_root() {
        return common::skip("only root can act as a user who has no other processes");
    }
    let sandbox = Sandbox::new();
    let commoner = Commoner::new(&sandbox, "no-processes");
    let ended = Running::start(&mut commoner.command(&sandbox, &["processes", "1"])).end();
    assert_eq!(ended.said("status "), crash_monitor::CM_ERR_MONITOR_START.to_string());
    assert!(ended.said("message ").contains("cannot be started: Resource temporarily unavailable"), "{ended:?}");
}

#[test]
fn a_monitor_has_the_highest_limits_that_it_may_have() {
    let sandbox = Sandbox::new();
    let mut host = host().start(&sandbox, &["soft-limits"]);
    host.wait_for("installed");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    let limits = std::fs::read_to_string(format!("/proc/{monitor}/limits")).unwrap();
    for name in ["Max cpu time", "Max file size", "Max data size", "Max open files", "Max address space"] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let [soft, hard] = line.split_whitespace().take(2).collect::<Vec<_>>()[..] else { panic!("{limits}") };
        assert_eq!(soft, hard, "{name}");
    }
    let stack = limits.lines().find_map(|line| line.strip_prefix("Max stack size")).unwrap();
    assert_ne!(stack.split_whitespace().next(), Some("262144"), "{limits}");
    host.go_on();
    let ended = host.end();
    assert_ended_by(&ended, libc::SIGSEGV);
    let record = sandbox.only_record();
    assert_eq!(record["failed"], serde_json::json!([]));
    assert_segv_of(&sandbox.only_dump(), &self::host().path, ended.crashing_thread());
}

#[test]
fn where_a_hard_limit_leaves_no_room_for_dumps_install_says_so() {
    if !rustix::process::geteuid().is_root() {
        return common::skip("only root can act as a user who owns nothing else");
    }
    for (kind, limit, name) in [("file-size", "0", "RLIMIT_FSIZE"), ("descriptors", "9", "RLIMIT_NOFILE")] {
        let sandbox = Sandbox::new();
        let commoner = Commoner::new(&sandbox, kind);
        let ended = Running::start(&mut commoner.command(&sandbox, &[kind, limit])).end();
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        assert_eq!(ended.said("status "), crash_monitor::CM_ERR_MONITOR_START.to_string());
        assert!(ended.said("message ").contains(&format!("the limit {name} is {limit}, and dumps need ")), "{ended:?}");
        // There is one that was started where it is higher.
        if kind == "file-size" {
            let mut unlimited = commoner.command(&sandbox, &["wait"]);
            let mut unlimited = Running::start(&mut unlimited);
            unlimited.wait_for("waiting");
            let ended = Running::start(&mut commoner.command(&sandbox, &[kind, limit])).end();
            assert_ended_by(&ended, libc::SIGSEGV);
            assert_segv_of(&sandbox.only_dump(), &commoner.host.path, ended.crashing_thread());
        }
    }
}

#[test]
fn a_host_with_all_descriptors_in_use_gets_its_dump() {
    // Its monitor has inherited the limit, and there are few that it can do without.
    crash(&["descriptors", "16"]);
}

/// The connection that it has inherited is its parent's: it needs one of its own, and a monitor that may have more.
#[test]
fn a_forked_child_with_all_descriptors_in_use_gets_its_dump() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["descriptors-forked", "64"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.said("child ended by "), libc::SIGSEGV.to_string());
    assert_ne!(ended.crashing_thread(), ended.pid);
    assert_segv_of(&sandbox.only_dump(), &host().path, ended.crashing_thread());
}

#[test]
fn without_a_descriptor_left_install_says_why() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["no-descriptors", "40"]);
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert_eq!(ended.said("status "), crash_monitor::CM_ERR_SOCKET.to_string());
    assert!(ended.said("message ").contains("Too many open files"), "{ended:?}");
    assert!(!sandbox.socket().exists(), "no monitor was started");
}

#[test]
fn a_host_that_may_write_no_core_file_gets_its_dump() {
    let (ended, ..) = crash(&["no-core"]);
    assert!(!ended.status.core_dumped());
}

#[test]
fn a_main_stack_that_may_not_grow_overflows_into_a_dump() {
    // Less than a dump takes of it (256 KiB), more than exec(2) makes of it (128 KiB, arguments and environment).
    const LIMIT: u64 = 192 * 1024;
    let sandbox = Sandbox::new();
    let ended = Running::start(host().command(&sandbox, &["stack", &LIMIT.to_string()]).env_clear()).end();
    assert_ended_by(&ended, libc::SIGSEGV);
    let dump = sandbox.only_dump();
    dump.check_basics(&host().path, ended.pid);
    let (_, stack_pointer) = dump.registers();
    assert!(stack_pointer.abs_diff(dump.address()) < 4096, "the fault is at the stack pointer");
    let maps = String::from_utf8(dump.stream(common::LINUX_MAPS)).unwrap();
    let mapping = maps.lines().find(|line| line.ends_with("[stack]")).unwrap().split(['-', ' ']);
    let [lowest, end] = mapping.map_while(address).collect::<Vec<_>>()[..] else { panic!("{maps}") };
    assert_eq!(end - lowest, LIMIT, "it has grown as far as it may");
    // At its upper end there are the arguments and the environment, which are not to be in a dump.
    let (start, stack) = dump.crashing_stack();
    assert_eq!(start, lowest.max(stack_pointer), "AArch64 has not lowered it for the store that failed");
    assert_eq!(start + stack.len() as u64, address(&ended.said("arguments ")[2..]).unwrap());
}

fn address(hexadecimal: &str) -> Option<u64> {
    u64::from_str_radix(hexadecimal, 16).ok()
}

#[test]
fn of_five_thousand_threads_the_dump_holds_what_fits_and_the_one_that_crashed() {
    const THREADS: usize = 5000;
    const FIT: usize = 4096;
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["threads", &THREADS.to_string()]);
    if let Some(reason) = ended.output.strip_prefix("failed ") {
        return common::skip(&format!("{THREADS} threads cannot be had: {reason}"));
    }
    assert_ended_by(&ended, libc::SIGSEGV);
    let dump = sandbox.only_dump();
    assert_segv_of(&dump, &host().path, ended.crashing_thread());
    assert_eq!(dump.thread_count(), FIT);
    // With the main thread there is one more.
    let left_out = format!("threads: {} of {} left out", THREADS + 1 - FIT, THREADS + 1);
    assert_eq!(sandbox.only_record()["failed"], serde_json::json!([left_out]));
}
