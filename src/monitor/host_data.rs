//! How the entries of a host's page are shown in dumps and records.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::page::log::Line;
use crate::page::read::Entries;
use crate::sys::clock::utc;

/// A dump has annotations of processes alone, so the log and thread annotations get keys with these names.
const LOG_KEY: &str = "log";
const THREAD_KEY: &str = "thread";

/// The annotations of a dump: those of the process, those of its threads, the log, and what the monitor has `found`, each a key
/// and perhaps a value.
pub(super) fn dump_annotations(entries: &Entries, found: &[(&str, Option<&str>)]) -> BTreeMap<String, String> {
    let mut annotations = entries.annotations.clone();
    for (key, value) in found {
        if let Some(value) = value {
            annotations.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    for of_thread in &entries.thread_annotations {
        let key = format!("{THREAD_KEY}.{}.{}", of_thread.tid, of_thread.key);
        annotations.insert(key, of_thread.value.clone());
    }
    if !entries.log.is_empty() {
        let mut text = String::new();
        for line in &entries.log {
            let _ = writeln!(text, "{} {:7} {} {}", time(line), line.level.name(), line.tid, line.text);
        }
        annotations.insert(LOG_KEY.to_owned(), text);
    }
    annotations
}

/// The same in a record.
pub(super) fn describe(record: &mut Value, entries: &Entries) {
    record["annotations"] = json!(entries.annotations);
    let mut threads: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for of_thread in &entries.thread_annotations {
        threads.entry(of_thread.tid.to_string()).or_default().insert(&of_thread.key, &of_thread.value);
    }
    record["thread_annotations"] = json!(threads);
    record["log"] = entries
        .log
        .iter()
        .map(|line| json!({ "time": time(line), "level": line.level.name(), "tid": line.tid, "text": line.text }))
        .collect();
}

fn time(line: &Line) -> String {
    utc(UNIX_EPOCH + Duration::from_nanos(line.time))
}
