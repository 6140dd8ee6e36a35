//! What a process puts into the page that it shares with its monitor is in its dump and its record, however it ends.

mod common;

use std::sync::OnceLock;

use common::{Dump, Ended, Host, Running, Sandbox, process};
use minidump::{MinidumpCrashpadInfo, MinidumpMemoryList};
use rustix::process::Signal;
use serde_json::{Value, json};

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("page.c", "page", &["-lrt"]))
}

/// Runs a host of this kind until it crashes.
fn crash(sandbox: &Sandbox, kind: &str) -> Ended {
    let mut host = host().start(sandbox, &[kind]);
    host.wait_for("ready");
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    ended
}

fn annotation(dump: &Dump, key: &str) -> Option<String> {
    let info: MinidumpCrashpadInfo = dump.dump.get_stream().expect("annotations");
    info.simple_annotations.get(key).cloned()
}

fn record_of(dump: &Dump) -> Value {
    serde_json::from_slice(&std::fs::read(dump.path.with_extension("json")).unwrap()).unwrap()
}

/// Level and text of the lines in a record's log.
fn log(record: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    record["log"].as_array().expect("a log").iter().map(|line| (text(&line["level"]), text(&line["text"]))).collect()
}

/// Whether the dump has the file and the memory that every host of this kind adds.
fn has_file_and_memory(dump: &Dump) -> bool {
    let memory: MinidumpMemoryList<'_> = dump.dump.get_stream().expect("memory");
    let file = record_of(dump)["attachments"][0].as_str().map(|name| std::fs::read(dump.path.with_file_name(name)));
    memory.iter().any(|range| range.bytes == b"gold, silver and copper\0")
        && file.is_some_and(|copy| copy.is_ok_and(|copy| copy == b"attached"))
}

#[test]
fn log_and_thread_annotations_are_in_dump_and_record() {
    let sandbox = Sandbox::new();
    let ended = crash(&sandbox, "filled");
    let dump = sandbox.only_dump();
    let record = record_of(&dump);
    let expected = [("info", "first"), ("error", "second\0line")].map(|(l, t)| (l.to_owned(), t.to_owned()));
    assert_eq!(log(&record), expected);
    let line = &record["log"][0];
    assert_eq!(line["tid"], ended.pid);
    let times = [&record["started"], &line["time"], &record["happened"]].map(|time| time.as_str().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(record["thread_annotations"], json!({ ended.pid.to_string(): { "request": "parent" } }));
    assert_eq!(annotation(&dump, &format!("thread.{}.request", ended.pid)).as_deref(), Some("parent"));
    let text = annotation(&dump, "log").expect("the log");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with(&format!(" info    {} first", ended.pid)), "{text}");
}

#[test]
fn a_killed_process_leaves_all_of_it_in_its_record() {
    let sandbox = Sandbox::new();
    let mut host = host().start(&sandbox, &["filled"]);
    host.wait_for("ready");
    process::signal(host.pid(), Signal::KILL);
    let ended = host.end();
    sandbox.wait_for_monitors_end();
    let record = sandbox.only_record();
    assert_eq!((&record["kind"], &record["pid"]), (&json!("death"), &json!(ended.pid)));
    assert_eq!(record["annotations"], json!({ "early": "bird", "who": "parent" }));
    assert_eq!(log(&record).len(), 2, "{record}");
    assert_eq!(record["thread_annotations"], json!({ ended.pid.to_string(): { "request": "parent" } }));
}

#[test]
fn a_monitor_that_the_crash_starts_has_all_of_it_too() {
    let sandbox = Sandbox::new();
    let mut host = host().start(&sandbox, &["filled"]);
    host.wait_for("ready");
    let monitor = sandbox.monitor_pid().expect("a monitor");
    process::signal(monitor, Signal::KILL);
    common::wait_until("the monitor to be gone", || !process::is_alive(monitor));
    host.go_on();
    assert_eq!(host.end().signal(), Some(libc::SIGSEGV));
    let record = record_of(&sandbox.only_dump());
    assert_eq!(record["annotations"], json!({ "early": "bird", "who": "parent" }));
    assert_eq!(log(&record).len(), 2, "{record}");
}

#[test]
fn a_signal_handler_may_write_amid_another_write() {
    let sandbox = Sandbox::new();
    crash(&sandbox, "interrupted");
    let record = record_of(&sandbox.only_dump());
    let pair = record["annotations"]["pair"].as_str().unwrap().split_once(' ').unwrap();
    assert_eq!(pair.0, pair.1, "no value is half another's");
    assert_eq!(record["annotations"]["from"], "main");
    assert!(log(&record).iter().any(|(level, text)| level == "warning" && text == "handled"), "{record}");
    for (_, text) in log(&record) {
        let whole = text == "handled" || text.split_once(' ').is_some_and(|(left, right)| left == right);
        assert!(whole, "{text:?}");
    }
    assert_eq!(record["failed"], json!([]), "{record}");
}

#[test]
fn what_another_thread_writes_all_the_time_is_there_too() {
    let sandbox = Sandbox::new();
    crash(&sandbox, "busy");
    let dump = sandbox.only_dump();
    let record = record_of(&dump);
    let value = record["annotations"]["busy"].as_str();
    assert!(value.is_some_and(|value| ["odd", "even"].contains(&value)), "{record}");
    assert_eq!(annotation(&dump, "busy").as_deref(), value);
    let lines = log(&record);
    // One at most is being written.
    assert!(lines.len() >= 511 && lines.iter().all(|(_, text)| text == "busy"), "{}", lines.len());
}

#[test]
fn a_small_log_holds_the_last_lines_and_a_long_line_is_cut() {
    let sandbox = Sandbox::new();
    crash(&sandbox, "small-log");
    let record = sandbox.only_record();
    let lines = log(&record);
    let (last, before) = lines.split_last().expect("lines");
    assert_eq!(last, &("info".to_owned(), "l".repeat(1024)));
    let texts: Vec<_> = before.iter().map(|(_, text)| text.clone()).collect();
    // 4096 bytes are 32 cells, of which the long line has 10.
    let expected: Vec<_> = (1000 - 22..1000).map(|number| format!("line {number}")).collect();
    assert_eq!(texts, expected);
}

#[test]
fn annotations_of_threads_end_with_them_and_make_room() {
    let sandbox = Sandbox::new();
    let ended = crash(&sandbox, "threads");
    let record = sandbox.only_record();
    assert_eq!(record["thread_annotations"], json!({ ended.pid.to_string(): { "number": "main" } }));
}

#[test]
fn neither_of_parent_and_child_changes_the_others() {
    for kind in ["fork", "raw-fork"] {
        let sandbox = Sandbox::new();
        let ended = crash(&sandbox, kind);
        let child: u32 = ended.said("child ").split(' ').next().unwrap().parse().unwrap();
        let of = |pid| record_of(&sandbox.dump_of(pid));
        let texts = |record: &Value| log(record).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        let (parents, childs) = (of(ended.pid), of(child));
        assert_eq!(childs["annotations"], json!({ "early": "bird", "who": "parent", "child": "yes" }), "{kind}");
        assert_eq!(
            parents["annotations"],
            json!({ "early": "bird", "who": "parent afterwards", "parent": "yes" }),
            "{kind}"
        );
        assert!(has_file_and_memory(&sandbox.dump_of(child)), "{kind}: {childs}");
        assert_eq!(texts(&childs), ["first", "second\0line", "child's"], "{kind}");
        assert_eq!(texts(&parents), ["first", "second\0line", "parent's"], "{kind}");
    }
}

#[test]
fn a_daemon_that_has_closed_everything_keeps_all_of_it() {
    let sandbox = Sandbox::new();
    let ended = Running::start(&mut host().command(&sandbox, &["daemon"])).end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let daemon: u32 = ended.said("daemon ").parse().unwrap();
    common::wait_until("the daemon's dump", || !sandbox.dump_files().is_empty());
    let dump = sandbox.dump_of(daemon);
    sandbox.wait_for_monitors_end();
    let record = record_of(&dump);
    assert_eq!(record["annotations"], json!({ "early": "bird", "who": "daemon" }));
    assert_eq!(log(&record).len(), 3, "{record}");
    assert!(has_file_and_memory(&dump), "{record}");
}

#[test]
fn a_killed_daemon_that_has_installed_again_leaves_all_of_it_in_its_record() {
    let sandbox = Sandbox::new();
    let ended = Running::start(&mut host().command(&sandbox, &["installing-daemon"])).end();
    let daemon: u32 = ended.said("daemon ").parse().unwrap();
    sandbox.wait_for_monitors_end();
    let records = sandbox.records();
    let record = records.iter().find(|record| record["pid"] == daemon).unwrap_or_else(|| panic!("{records:?}"));
    assert_eq!(record["kind"], "death");
    assert_eq!(record["annotations"], json!({ "early": "bird", "who": "daemon", "daemon": "yes" }));
    assert_eq!(log(record).len(), 2, "{record}");
}

#[test]
fn a_program_that_has_executed_itself_again_is_a_new_one() {
    let sandbox = Sandbox::new();
    let ended = crash(&sandbox, "executed-again");
    let dump = sandbox.dump_of(ended.pid);
    assert!(has_file_and_memory(&dump));
    assert_eq!(sandbox.only_record()["annotations"], json!({ "early": "bird", "who": "parent" }));

    let sandbox = Sandbox::new();
    let mut host = host().start(&sandbox, &["executed-again"]);
    host.wait_for("ready");
    process::signal(host.pid(), Signal::KILL);
    host.end();
    sandbox.wait_for_monitors_end();
    let record = sandbox.only_record();
    assert_eq!((&record["kind"], log(&record).len()), (&json!("death"), 2), "{record}");
}
