//! The `.json` record: what happened, for people and programs that do not read minidumps.

use std::time::{Duration, SystemTime};

use minidump_writer::crash_context::CrashContext;
use serde_json::{Value, json};

use super::attachments::Attachments;
use super::dump::FinishedDump;
use super::dumper::{Cause, Job};
use super::process_info::ProcessInfo;
use super::signal_names;
use crate::sys::clock::utc;

/// Version of the records' layout; raised when a member changes its meaning.
const SCHEMA: u32 = 1;

/// The dump that a record goes with.
pub(super) struct Dumped<'a> {
    pub file_name: String,
    pub dump: &'a FinishedDump,
    /// Until it was on disk and visible.
    pub writing: Duration,
}

/// What a record is about, besides the dump.
pub(super) struct Report<'a> {
    pub job: &'a Job,
    pub tid: i32,
    pub cause: &'a Cause,
    pub info: ProcessInfo,
    pub happened: SystemTime,
}

/// The record of a crash, a hang or a dump on demand; `dump` is the dump, or why there is none.
pub(super) fn report(report: &Report<'_>, dump: Result<Dumped<'_>, &str>) -> Value {
    let Report { job, tid, cause, info, happened } = report;
    let kind = match cause {
        Cause::Crash(_) => "crash",
        Cause::Request(_) => "request",
        Cause::Hang(_) => "hang",
    };
    let mut record = common(kind, &job.description.app_name, job.pid, info);
    record["tid"] = json!(tid);
    match cause {
        Cause::Crash(context) => describe_crash(&mut record, context),
        Cause::Request(reason) => record["reason"] = json!(reason),
        Cause::Hang(silence) => record["silent_for_milliseconds"] = json!(silence.as_millis() as u64),
    }
    record["happened"] = json!(utc(*happened));
    record["annotations"] = json!(job.extras.annotations);
    record["attachments"] = json!([]);
    match dump {
        Ok(Dumped { file_name, dump, writing }) => {
            record["thread_name"] = json!(dump.thread_name);
            record["executable"]["build_id"] = json!(dump.executable_build_id);
            record["dump"] = json!({ "file": file_name, "bytes": dump.bytes.len(), "threads": dump.threads });
            record["milliseconds"] = json!({
                "stop": milliseconds(dump.stopping),
                "read": milliseconds(dump.reading),
                "write": milliseconds(writing),
            });
            record["failed"] = json!(dump.missing);
        }
        Err(reason) => record["failed"] = json!([reason]),
    }
    record
}

/// The same with what lies beside the dump, and what could not be put there.
pub(super) fn with_attachments(mut record: Value, attachments: &Attachments) -> Value {
    record["attachments"] = attachments.names().collect();
    if let Some(failed) = record["failed"].as_array_mut() {
        failed.extend(attachments.failures().map(Value::from));
    }
    record
}

fn describe_crash(record: &mut Value, context: &CrashContext) {
    let (signal, code) = (context.siginfo.ssi_signo as i32, context.siginfo.ssi_code);
    record["signal"] = json!({
        "number": signal,
        "name": signal_names::signal(signal),
        "code": code,
        "code_name": signal_names::code(signal, code),
    });
    record["address"] = json!(format!("{:#x}", context.siginfo.ssi_addr));
}

/// The record of a host that ended without a word. `status` is its wait status (wait(2)), where that is known.
pub(super) fn death(job: &Job, info: &ProcessInfo, status: Option<i32>) -> Value {
    let mut record = common("death", &job.description.app_name, job.pid, info);
    record["happened"] = json!(utc(SystemTime::now()));
    record["annotations"] = json!(job.extras.annotations);
    record["exit"] = match status {
        None => json!("unknown"),
        Some(status) if libc::WIFSIGNALED(status) => {
            let signal = libc::WTERMSIG(status);
            json!({ "signal": { "number": signal, "name": signal_names::signal(signal) }, "core": libc::WCOREDUMP(status) })
        }
        Some(status) => json!({ "status": libc::WEXITSTATUS(status) }),
    };
    record
}

fn common(kind: &str, app_name: &str, pid: i32, info: &ProcessInfo) -> Value {
    json!({
        "schema": SCHEMA,
        "kind": kind,
        "application": app_name,
        "pid": pid,
        "executable": { "path": info.executable },
        "command_line": info.command_line,
        "started": info.started().map(utc),
        "monitor_version": env!("CARGO_PKG_VERSION"),
    })
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
