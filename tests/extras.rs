//! What a program adds to its dumps: annotations, files, memory, dumps on demand, and a heartbeat.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::OnceLock;

use common::{Dump, Ended, Host, Monitor, Running, Sandbox};
use minidump::{MinidumpCrashpadInfo, MinidumpMemoryList};

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("extras.c", "extras", &[]))
}

/// Starts the host, lets it crash at once, and waits for its end.
fn crash(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    let mut host = host().start(sandbox, arguments);
    host.wait_for("ready");
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    ended
}

fn annotations(dump: &Dump) -> BTreeMap<String, String> {
    dump.dump.get_stream::<MinidumpCrashpadInfo>().expect("a Crashpad stream").simple_annotations
}

fn record(dump: &Dump) -> serde_json::Value {
    let text = std::fs::read_to_string(dump.path.with_extension("json")).expect("a record");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn annotations_are_in_dump_and_record() {
    let sandbox = Sandbox::new();
    crash(&sandbox, &["annotations"]);
    let dump = sandbox.only_dump();
    let expected = [
        ("colour", "green"),
        ("early", "bird"),
        ("empty", ""),
        ("naïve", "ünïcode"),
        ("not", "neither"),
        ("nul\0key", "nul\0value"),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!(annotations(&dump), expected);
    assert_eq!(record(&dump)["annotations"], serde_json::json!(expected));
}

#[test]
fn what_is_over_a_limit_is_refused_with_a_status() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["limits"]);
    let (limit, invalid) = (crash_monitor::CM_ERR_LIMIT, crash_monitor::CM_ERR_INVALID_ARGUMENT);
    for (call, status) in [
        ("key of 256: ", crash_monitor::CM_OK),
        ("key of 257: ", limit),
        ("value of 20480: ", crash_monitor::CM_OK),
        ("value of 20481: ", limit),
        ("too many: ", limit),
        ("empty key: ", invalid),
        ("not UTF-8: ", invalid),
        ("empty key of a length: ", invalid),
        ("not UTF-8 within a length: ", invalid),
        ("absurd length: ", invalid),
        ("no memory: ", invalid),
        ("much memory: ", limit),
        ("unknown memory: ", invalid),
        ("no path: ", invalid),
        ("heartbeat not promised: ", invalid),
    ] {
        assert_eq!(ended.said(call), status.to_string(), "{call}\n{}", ended.output);
    }
    assert!(ended.said("message: ").contains("cm_heartbeat_start"));
}

#[test]
fn an_attached_file_lies_beside_the_dump_and_what_is_none_is_noted() {
    let sandbox = Sandbox::new();
    let log = sandbox.path().join("server.log");
    std::fs::write(&log, "the last words").unwrap();
    crash(&sandbox, &["attach", log.to_str().unwrap()]);
    let dump = sandbox.only_dump();
    let copy = dump.path.with_extension("server.log");
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), "the last words");
    let record = record(&dump);
    assert_eq!(record["attachments"], serde_json::json!([copy.file_name().unwrap().to_str().unwrap()]));
    let failed = record["failed"].to_string();
    assert!(failed.contains("/nonexistent/file") && failed.contains("/dev/zero"), "{failed}");
}

#[test]
fn added_memory_is_in_the_dump_and_removed_memory_is_not() {
    let sandbox = Sandbox::new();
    crash(&sandbox, &["memory"]);
    let dump = sandbox.only_dump();
    let memory: MinidumpMemoryList<'_> = dump.dump.get_stream().expect("memory");
    let holds = |text: &str| memory.iter().any(|range| range.bytes == [text.as_bytes(), &[0]].concat());
    assert!(holds("gold, silver and copper"));
    assert!(!holds("straw, chaff and dust"));
    let failed = record(&dump)["failed"].to_string();
    assert!(failed.contains("memory at 0x10"), "what cannot be read is noted: {failed}");
}

#[test]
fn a_dump_on_demand_leaves_the_process_running() {
    const DUMP_REQUESTED: i32 = -1;
    let sandbox = Sandbox::new();
    let ended = crash(&sandbox, &["dump-now"]);
    assert_eq!(ended.said("status of a long reason "), crash_monitor::CM_ERR_LIMIT.to_string());
    assert_eq!(ended.said("path of a failure "), "as it was", "written on success only");
    let paths: BTreeSet<_> = (0..3).map(|i| PathBuf::from(ended.said(&format!("dump {i} ")))).collect();
    let dumps: Vec<_> = sandbox.dump_files().iter().map(|path| Dump::read(path)).collect();
    assert_eq!(dumps.len(), 4, "three on demand and the crash");
    let (on_demand, crashes): (Vec<_>, Vec<_>) = dumps.iter().partition(|dump| dump.signal() == DUMP_REQUESTED);
    assert_eq!((on_demand.len(), crashes.len()), (3, 1));
    assert_eq!(paths, on_demand.iter().map(|dump| dump.path.clone()).collect(), "the paths that the host was given");
    for dump in on_demand {
        dump.check_basics(&host().path, ended.pid);
        assert_eq!(dump.thread_count(), 2);
        let record = record(dump);
        assert_eq!((&record["kind"], &record["reason"]), (&"request".into(), &"stock-taking".into()));
    }
}

#[test]
fn a_reason_with_a_length_may_hold_nul() {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["dump-now-n"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let first = Dump::read(std::path::Path::new(ended.said("dump ")));
    assert_eq!(record(&first)["reason"], "with\0NUL");
    let mut reasons: Vec<_> = sandbox.records().iter().map(|record| record["reason"].to_string()).collect();
    reasons.sort();
    assert_eq!(reasons, [r#""""#, r#""with\u0000NUL""#]);
}

#[test]
fn a_silent_host_is_dumped_once_for_each_broken_promise_and_lives_on() {
    let sandbox = Sandbox::new();
    let mut host = host().start(&sandbox, &["hang"]);
    for promises in 1..=2 {
        host.wait_for("ready");
        common::wait_until("a dump of the hung host", || sandbox.dump_files().len() >= promises);
        // Three more timeouts bring no further dump. The event that would show one is the next promise's dump.
        host.go_on();
    }
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let records: Vec<_> = sandbox.dump_files().iter().map(|path| record(&Dump::read(path))).collect();
    let kinds: Vec<_> = records.iter().filter_map(|record| record["kind"].as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "hang").count(), 2, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "crash").count(), 1, "{kinds:?}");
}

#[test]
fn a_stopped_monitor_does_not_hold_up_what_a_host_tells_it() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let mut host: Running = host().start(&sandbox, &["stopped"]);
    host.wait_for("ready");
    common::process::signal(monitor.pid(), rustix::process::Signal::STOP);
    host.go_on();
    let ended = host.end();
    common::process::signal(monitor.pid(), rustix::process::Signal::CONT);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.said("status "), crash_monitor::CM_ERR_TIMEOUT.to_string());
    assert!(ended.said("message ").contains("did not take a message within 1000 ms"), "{ended:?}");
}

#[test]
fn a_monitor_that_cannot_be_replaced_is_looked_for_after_ever_longer_pauses() {
    let sandbox = Sandbox::new();
    // The only one there is, as long as it is there.
    let program = sandbox.path().join("crash-monitor");
    std::fs::copy(Monitor::program(), &program).unwrap();
    let mut command = host().command(&sandbox, &["no-monitor"]);
    let mut host = Running::start(command.env("CRASH_MONITOR_PATH", &program));
    host.wait_for("ready");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    std::fs::remove_file(&program).unwrap();
    common::process::signal(monitor, rustix::process::Signal::KILL);
    common::wait_until("the monitor to be gone", || !common::process::is_alive(monitor));
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let pauses: Vec<u32> =
        ended.output.lines().filter_map(|line| line.strip_prefix("pause ")?.split_once(' ')?.1.parse().ok()).collect();
    // 100 ms, 200 ms, 400 ms, of which a little has passed when the next call asks; on a busy machine more than a little.
    assert!(pauses.iter().any(|pause| *pause <= 100), "{pauses:?}");
    assert!(pauses.iter().any(|pause| *pause > 200), "{pauses:?}");
    let attempts = ended.output.matches("failed ").count();
    assert!((3..6).contains(&attempts), "looked for once before each pause: {ended:?}");
}

#[test]
fn a_new_monitor_is_told_everything() {
    let sandbox = Sandbox::new();
    let mut host: Running = host().start(&sandbox, &["reconnect"]);
    host.wait_for("ready");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    let pid = rustix::process::Pid::from_raw(monitor as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    common::wait_until("the monitor to be gone", || sandbox.monitor_pid().is_none());
    host.go_on();
    host.wait_for("ready");
    let second = sandbox.monitor_pid().expect("another monitor");
    assert_ne!(second, monitor);
    host.go_on();
    assert_eq!(host.end().signal(), Some(libc::SIGSEGV));
    let keys: Vec<_> = annotations(&sandbox.only_dump()).into_keys().collect();
    assert_eq!(keys, ["early", "late"]);
}
