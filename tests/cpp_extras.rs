//! What the C++ interface offers besides installing: what a program adds to its dumps, asks for, and is told.

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use common::{Ended, Host, Monitor, Running, Sandbox};
use crash_monitor::{CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT};
use minidump::MinidumpCrashpadInfo;
use serde_json::{Value, json};

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("extras.cpp", "extras-cpp", &[]))
}

/// Runs a host of this kind to its monitor's end; gives also its only record.
fn run(sandbox: &Sandbox, kind: &str) -> (Ended, Value) {
    let ended = Running::start(Command::new(&host().path).arg(sandbox.dumps()).arg(kind)).end();
    sandbox.wait_for_monitors_end();
    assert_eq!(ended.said("armed "), "1");
    (ended, sandbox.only_record())
}

/// A file beside the dump directory, `<directory>.<extension>`.
fn beside(sandbox: &Sandbox, extension: &str) -> PathBuf {
    sandbox.dumps().with_extension(extension)
}

#[test]
fn an_uncaught_exceptions_type_and_text_are_annotations() {
    let sandbox = Sandbox::new();
    let (ended, record) = run(&sandbox, "exception");
    assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended:?}");
    let expected = json!({"exception.type": "shop::sold_out", "exception.what": "no more apples", "kind": "exception"});
    assert_eq!(record["annotations"], expected);
    // The terminate handler that was there before comes next, once, and then the abort's callback.
    assert!(ended.output.ends_with("terminated\ncalled\n"), "{ended:?}");
    let dump = sandbox.only_dump();
    dump.check_basics(&host().path, ended.pid);
    let shown = common::run(Command::new(Monitor::program()).arg("show").arg(&dump.path).arg(&dump.path));
    assert_eq!(shown.matches("\nNote     exception.what: no more apples\n").count(), 2, "once a file: {shown}");
}

#[test]
fn one_that_is_no_exception_object_has_a_type_alone_and_terminate_has_neither() {
    for (kind, expected) in
        [("number", json!({"exception.type": "int", "kind": "number"})), ("terminate", json!({"kind": "terminate"}))]
    {
        let sandbox = Sandbox::new();
        let (ended, record) = run(&sandbox, kind);
        assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended:?}");
        assert_eq!(record["annotations"], expected);
    }
}

#[test]
fn a_dump_on_demand_has_everything_and_the_monitor_tells_its_functions() {
    let sandbox = Sandbox::new();
    let (ended, record) = run(&sandbox, "dump");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!((&record["kind"], &record["reason"]), (&json!("request"), &json!("stock-taking")));
    let dump = sandbox.only_dump();
    dump.check_basics(&host().path, ended.pid);
    let bytes = std::fs::read(&dump.path).unwrap();
    let treasure = b"gold, silver and copper\0";
    assert!(bytes.windows(treasure.len()).any(|window| window == treasure), "the memory that was added");
    let log = dump.path.with_extension("dumps.log");
    assert_eq!(record["attachments"], json!([log.file_name().unwrap().to_str().unwrap()]));
    assert!(std::fs::read_to_string(&log).unwrap().contains("connected"), "the monitor's log, attached");

    assert_eq!(ended.said("dumped "), dump.path.to_str().unwrap());
    assert_eq!(record["annotations"], json!({"kind": "dump", "n\0l": "o\0e"}));
    let seen = std::fs::read_to_string(dump.path.with_extension("json.seen")).expect("the report callback was called");
    let (path, record, pid) = (dump.path.display(), dump.path.with_extension("json"), ended.pid);
    let expected = format!(
        "{path}\n{}\n2 extras-cpp {pid} {pid} 0 -1 stock-taking\nkind=dump\nn\u{fffd}l=o\u{fffd}e\n{}\n",
        record.display(),
        log.display()
    );
    assert_eq!(seen, expected);
    let said = std::fs::read_to_string(beside(&sandbox, "said")).expect("the log callback was called");
    let of_host = format!("process {}", ended.pid);
    for line in [format!("3 {of_host} connected"), format!("3 {of_host} asks for a dump: stock-taking")] {
        assert!(said.lines().any(|said| said == line), "{line:?} in {said}");
    }
}

/// What `write_log` and `annotate_threads` have left in a record of either kind.
fn check_log_and_thread_annotations(ended: &Ended, record: &Value) {
    let cut = [format!("x{}{}", "-".repeat(508), ".".repeat(515)), format!("x{}", "ü".repeat(511))];
    let expected = [
        ("error", "text s\0n 7 0xff 3 apples"),
        ("warning", "ended"),
        ("info", ""),
        ("debug", &cut[0]),
        ("debug", &cut[1]),
        ("info", "before "),
        ("info", "thrown"),
    ];
    let lines = record["log"].as_array().expect("a log");
    let (forgotten, lines) = lines.split_at(lines.len().checked_sub(expected.len()).expect("all of them"));
    assert!(!forgotten.is_empty() && forgotten.len() < 32, "the log has the size that was set: {record}");
    assert_eq!(forgotten.last().unwrap()["text"], "forgotten 99");
    for (line, (level, text)) in lines.iter().zip(expected) {
        assert_eq!((&line["level"], &line["text"], &line["tid"]), (&json!(level), &json!(text), &json!(ended.pid)));
    }
    let of_thread = json!({ "request": "GET /", "n\0l": "o\0e", "order": "third" });
    assert_eq!(record["thread_annotations"], json!({ ended.pid.to_string(): of_thread }));
    assert_eq!(ended.said("long value "), CM_ERR_LIMIT.to_string());
}

#[test]
fn the_log_and_thread_annotations_are_in_the_dump_of_a_crash() {
    let sandbox = Sandbox::new();
    let (ended, record) = run(&sandbox, "log");
    assert_eq!((ended.signal(), &record["kind"]), (Some(libc::SIGSEGV), &json!("crash")), "{ended:?}");
    check_log_and_thread_annotations(&ended, &record);
    let dump = sandbox.only_dump();
    dump.check_basics(&host().path, ended.pid);
    let info: MinidumpCrashpadInfo = dump.dump.get_stream().expect("annotations");
    let annotation = |key: &str| info.simple_annotations.get(key).map(String::as_str);
    assert_eq!(annotation(&format!("thread.{}.request", ended.pid)), Some("GET /"));
    assert_eq!(annotation(&format!("thread.{}.order", ended.pid)), Some("third"));
    assert!(annotation("log").expect("the log").ends_with(&format!(" info    {} thrown\n", ended.pid)));
}

#[test]
fn a_killed_process_leaves_them_in_its_record() {
    let sandbox = Sandbox::new();
    let (ended, record) = run(&sandbox, "killed");
    assert_eq!((ended.signal(), &record["kind"]), (Some(libc::SIGKILL), &json!("death")), "{ended:?}");
    check_log_and_thread_annotations(&ended, &record);
}

#[test]
fn what_is_refused_is_thrown() {
    let sandbox = Sandbox::new();
    let (ended, _) = run(&sandbox, "dump");
    for call in ["empty key ", "negative time ", "large log "] {
        assert_eq!(ended.said(call), CM_ERR_INVALID_ARGUMENT.to_string(), "{call}");
    }
}
