//! The `.json` record: what happened, for people and programs that do not read minidumps.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::callbacks::Report;
use super::host_data;
use crate::page::read::Entries;
use crate::sys::clock::utc;

/// Version of the records' layout; raised when a member changes its meaning.
const SCHEMA: u32 = 1;

/// A host as its records describe it. Each part is None where it cannot be known, as when the host is gone.
#[derive(Clone, Default)]
pub(super) struct HostInfo {
    pub executable: Option<String>,
    pub command_line: Option<Vec<String>>,
    pub started: Option<SystemTime>,
}

/// What every record says of its host.
pub(super) struct HostFacts<'a> {
    pub app_name: &'a str,
    pub pid: i32,
    pub info: HostInfo,
    pub happened: SystemTime,
    pub entries: &'a Entries,
}

/// Why there is a dump.
pub(super) enum Reason<'a> {
    /// The address is None for a signal that is about none.
    Crash {
        signal: Value,
        address: Option<u64>,
    },
    Request(&'a str),
    Hang(Duration),
}

/// What a record says of its dump.
pub(super) struct DumpFacts {
    pub file_name: String,
    pub bytes: usize,
    pub threads: usize,
    pub thread_name: Option<String>,
    pub executable_build_id: Option<String>,
    pub abort_message: Option<String>,
    pub stopping: Duration,
    pub reading: Duration,
    /// Until it was written and had its name.
    pub writing: Duration,
    /// What could not be read.
    pub missing: Vec<String>,
}

/// The record of a crash, a hang or a dump on demand; `dump` is the dump, or why there is none.
pub(super) fn of_dump(host: &HostFacts<'_>, tid: i32, reason: &Reason<'_>, dump: Result<&DumpFacts, &str>) -> Value {
    let kind = match reason {
        Reason::Crash { .. } => "crash",
        Reason::Request(_) => "request",
        Reason::Hang(_) => "hang",
    };
    let mut record = common(kind, host);
    record["tid"] = json!(tid);
    match reason {
        Reason::Crash { signal, address } => {
            record["signal"] = signal.clone();
            record["address"] = json!(address.map(|address| format!("{address:#x}")));
        }
        Reason::Request(reason) => record["reason"] = json!(reason),
        Reason::Hang(silence) => record["silent_for_milliseconds"] = json!(silence.as_millis() as u64),
    }
    record["attachments"] = json!([]);
    match dump {
        Ok(dump) => {
            record["thread_name"] = json!(dump.thread_name);
            record["executable"]["build_id"] = json!(dump.executable_build_id);
            record["abort_message"] = json!(dump.abort_message);
            record["dump"] = json!({ "file": dump.file_name, "bytes": dump.bytes, "threads": dump.threads });
            record["milliseconds"] = json!({
                "stop": milliseconds(dump.stopping),
                "read": milliseconds(dump.reading),
                "write": milliseconds(dump.writing),
            });
            record["failed"] = json!(dump.missing);
        }
        Err(reason) => record["failed"] = json!([reason]),
    }
    record
}

/// The same with the names of the attachments, and why some are missing.
pub(super) fn with_attachments(
    mut record: Value,
    names: impl Iterator<Item = String>,
    failures: impl Iterator<Item = String>,
) -> Value {
    record["attachments"] = names.collect();
    if let Some(failed) = record["failed"].as_array_mut() {
        failed.extend(failures.map(Value::from));
    }
    record
}

/// The record of a host that ended without a goodbye; `unreported` is why a crash has no dump, where it was one.
pub(super) fn of_death(host: &HostFacts<'_>, exit: Value, unreported: Option<&str>) -> Value {
    let mut record = common("death", host);
    record["exit"] = exit;
    record["failed"] = unreported.into_iter().collect();
    record
}

/// Adds to what a program is told what the record knows: annotations and copies of files.
pub(super) fn complete(report: &mut Report) {
    let Some(path) = &report.record else { return };
    let record = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(record) = record else { return };
    let directory = path.parent().unwrap_or(Path::new(""));
    let names = record["attachments"].as_array().into_iter().flatten().filter_map(Value::as_str);
    report.attachments = names.map(|name| directory.join(name)).collect();
    let annotations = record["annotations"].as_object().into_iter().flatten();
    report.annotations =
        annotations.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
}

fn common(kind: &str, host: &HostFacts<'_>) -> Value {
    let HostFacts { app_name, pid, info, happened, entries } = host;
    let mut record = json!({
        "schema": SCHEMA,
        "kind": kind,
        "application": app_name,
        "pid": pid,
        "executable": { "path": info.executable },
        "command_line": info.command_line,
        "started": info.started.map(utc),
        "happened": utc(*happened),
        "monitor_version": env!("CARGO_PKG_VERSION"),
    });
    host_data::describe(&mut record, entries);
    record
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
