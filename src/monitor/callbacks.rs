//! Functions of a program that is its own monitor: called after each report, and for each line of the log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Why there is a report.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))] // minidumper's server, the monitor there, writes dumps of crashes alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A fatal signal was reported by its handler.
    #[default]
    Crash,
    /// The process asked for a dump.
    Request,
    /// The process broke the promise of its heartbeat.
    Hang,
    /// The process ended without a goodbye.
    Death,
}

/// What the monitor tells the program about a dump or a death.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub kind: Kind,
    /// None where there is no dump: a death, or a dump that failed.
    pub dump: Option<PathBuf>,
    /// None where it could not be written.
    pub record: Option<PathBuf>,
    /// The copies of attached files.
    pub attachments: Vec<PathBuf>,
    pub app_name: String,
    /// 0 where it is not known, as `thread`.
    pub pid: u32,
    pub thread: u32,
    /// The signal of a crash, or that ended the process; 0 for none.
    pub signal: i32,
    /// The status of a process that has exited.
    pub exit_status: Option<i32>,
    /// Of a request.
    pub reason: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

type ReportFunction = dyn Fn(&Report) + Send + Sync;
type LogFunction = dyn Fn(u32, &str) + Send + Sync;

pub(crate) type ReportCallback = Arc<ReportFunction>;
/// Called with the level (1 error, 2 warning, 3 information, 4 debugging) and the line.
pub(crate) type LogCallback = Arc<LogFunction>;

/// A function that can be set and unset. Locked only to copy the pointer: never while the function runs.
struct Slot<T: ?Sized>(Mutex<Option<Arc<T>>>);

impl<T: ?Sized> Slot<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn set(&self, function: Option<Arc<T>>) {
        // Dropped at the end, once the lock is free again.
        let _before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), function);
    }

    fn get(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

static REPORT: Slot<ReportFunction> = Slot::new();
static LOG: Slot<LogFunction> = Slot::new();

/// Sets, replaces or, with None, removes the function for reports.
pub(crate) fn set_report_callback(callback: Option<ReportCallback>) {
    REPORT.set(callback);
}

/// Sets, replaces or, with None, removes the function for the log.
pub(crate) fn set_log_callback(callback: Option<LogCallback>) {
    LOG.set(callback);
}

/// Whether there is a function to be called after a report.
#[cfg(target_os = "linux")]
pub(super) fn is_set() -> bool {
    REPORT.get().is_some()
}

/// Calls the program after a report is on the disk: on Linux in a process of its own.
pub(super) fn report_written(report: &Report) {
    if let Some(callback) = REPORT.get() {
        callback(report);
    }
}

/// The function for the log, if there is one.
pub(super) fn log() -> Option<LogCallback> {
    LOG.get()
}
