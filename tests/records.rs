//! The `.json` record beside a dump: what happened, for people and programs that do not read minidumps.

mod common;

use std::process::Command;
use std::time::{Duration, SystemTime};

use common::{Dump, Host, Sandbox, run};
use serde_json::{Value, json};

/// A time of the record, read by date(1). It has to be written as RFC 3339 in UTC.
fn time(record: &Value, name: &str) -> SystemTime {
    let text = record[name].as_str().unwrap_or_else(|| panic!("{name} in {record}"));
    assert!(text.len() == 24 && text.as_bytes()[10] == b'T' && text.ends_with('Z'), "{text}");
    let milliseconds = run(Command::new("date").args(["--utc", "+%s%3N", "--date", text]));
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds.trim().parse().expect("a number"))
}

/// The build id that binutils find in a file.
fn build_id(path: &std::path::Path) -> String {
    let notes = run(Command::new("readelf").arg("-n").arg(path));
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    id.expect("the compiler gives every program one").to_owned()
}

#[test]
fn a_crash_is_described_in_full() {
    let sandbox = Sandbox::new();
    let before = SystemTime::now();
    let mut host = Host::shapes().start(&sandbox, &["named-threads", "2", "a b", "", "ü\"\\"]);
    let (_, tid) = host.wait_for("ready ").split_once(' ').map(|(pid, tid)| (pid.to_owned(), tid.to_owned())).unwrap();
    host.go_on();
    let ended = host.end();
    let after = SystemTime::now();
    let dump = sandbox.dump_of(ended.pid);
    assert_eq!(dump.path.with_extension("json"), sandbox.record_files()[0], "beside the dump, under its name");

    let record = sandbox.only_record();
    let program = Host::shapes().path.to_str().unwrap();
    let dumps = sandbox.dumps();
    let expected = json!({
        "schema": 1,
        "kind": "crash",
        "application": "shapes",
        "pid": ended.pid,
        "tid": tid.parse::<u32>().unwrap(),
        "thread_name": "worker-001",
        "signal": { "number": 11, "name": "SIGSEGV", "code": 1, "code_name": "SEGV_MAPERR", "sender": null },
        "address": "0xdead000",
        "abort_message": null,
        "executable": { "path": program, "build_id": build_id(&Host::shapes().path) },
        "command_line": [program, dumps, "-", "named-threads", "2", "a b", "", "ü\"\\"],
        "monitor_version": env!("CARGO_PKG_VERSION"),
        "dump": {
            "file": dump.path.file_name().unwrap().to_str().unwrap(),
            "bytes": dump.path.metadata().unwrap().len(),
            "threads": 3,
        },
        "failed": [],
        // Checked below.
        "started": record["started"],
        "happened": record["happened"],
        "annotations": {},
        "thread_annotations": {},
        "log": [],
        "attachments": [],
        "milliseconds": record["milliseconds"],
    });
    assert_eq!(record, expected);

    // The kernel counts a process's start in ticks of 10 ms from a boot time of whole seconds.
    let (started, crashed) = (time(&record, "started"), time(&record, "happened"));
    assert!(before - Duration::from_secs(2) <= started && started <= crashed, "{before:?} {started:?} {crashed:?}");
    assert!(before - Duration::from_millis(1) <= crashed && crashed <= after, "{before:?} {crashed:?} {after:?}");
    let steps = ["stop", "read", "write"].map(|step| record["milliseconds"][step].as_f64().expect("a number"));
    assert_eq!(record["milliseconds"].as_object().unwrap().len(), steps.len());
    assert!(steps.iter().all(|step| *step > 0.0), "{steps:?}");
    assert!(steps.iter().sum::<f64>() <= ended.took.as_secs_f64() * 1e3, "{steps:?} of {:?}", ended.took);
}

#[test]
fn signals_and_codes_are_spelled_out() {
    let codes = if cfg!(target_arch = "x86_64") {
        ["FPE_INTDIV", "ILL_ILLOPN", "SI_KERNEL"]
    } else {
        // AArch64 divides by zero without a trap, and the host raises the signal itself.
        ["SI_TKILL", "ILL_ILLOPC", "TRAP_BRKPT"]
    };
    for (kind, name, number, code_name) in [
        ("segv", "SIGSEGV", libc::SIGSEGV, "SEGV_MAPERR"),
        ("bus", "SIGBUS", libc::SIGBUS, "BUS_ADRERR"),
        ("fpe", "SIGFPE", libc::SIGFPE, codes[0]),
        ("ill", "SIGILL", libc::SIGILL, codes[1]),
        ("abort", "SIGABRT", libc::SIGABRT, "SI_TKILL"),
        ("trap", "SIGTRAP", libc::SIGTRAP, codes[2]),
        ("sent", "SIGSEGV", libc::SIGSEGV, "SI_USER"),
    ] {
        let sandbox = Sandbox::new();
        let ended = Host::c().run(&sandbox, &[kind]);
        assert_eq!(ended.signal(), Some(number), "{ended:?}");
        let record = sandbox.only_record();
        let signal = &record["signal"];
        assert_eq!((&signal["name"], &signal["number"]), (&name.into(), &number.into()), "{kind}");
        assert_eq!(signal["code_name"], code_name, "{kind}");
        let dump = sandbox.dump_of(ended.pid);
        assert_eq!(signal["code"], dump.code(), "{kind}");
        let code_name = signal["code_name"].as_str().unwrap();
        let is_sent = ["SI_USER", "SI_TKILL"].contains(&code_name);
        let address = (!is_sent && code_name != "SI_KERNEL").then(|| format!("{:#x}", dump.address()));
        assert_eq!(record["address"], json!(address), "{kind}");
        let uid = rustix::process::getuid().as_raw();
        let sender = is_sent.then(|| json!({ "pid": ended.pid, "uid": uid }));
        assert_eq!(signal["sender"], json!(sender), "{kind}");
    }
}

#[test]
fn bytes_that_are_no_text_cost_nothing_but_themselves() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let mut command = Host::c().command(&sandbox, &["segv"]);
    command.arg(std::ffi::OsStr::from_bytes(b"a\xffb"));
    common::Running::start(&mut command).end();
    assert_eq!(sandbox.only_record()["command_line"][4], "a\u{fffd}b");
}

#[test]
fn what_is_missing_in_a_dump_stands_in_record_and_dump_alike() {
    let sandbox = Sandbox::new();
    let mut host = Host::shapes().start(&sandbox, &["unstoppable", "10000"]);
    host.wait_for("ready");
    host.go_on();
    host.end();
    let record = sandbox.only_record();
    assert_eq!(record["failed"].as_array().map(Vec::len), Some(1), "{record}");
    let dump: Dump = sandbox.only_dump();
    let in_dump: Value = serde_json::from_slice(&dump.stream(common::MOZ_SOFT_ERRORS)).expect("a JSON array");
    assert_eq!(in_dump, record["failed"]);
}
