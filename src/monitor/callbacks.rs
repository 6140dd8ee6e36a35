//! Functions of a program that is its own monitor: called after each dump, and for each line of the log.

use std::path::Path;

use once_cell::sync::OnceCell;

/// Called with the path of the dump, where there is one, and of the record.
pub(crate) type DumpCallback = Box<dyn Fn(Option<&Path>, Option<&Path>) + Send + Sync>;
/// Called with the level (1 error, 2 warning, 3 information) and the line.
pub(crate) type LogCallback = Box<dyn Fn(u32, &str) + Send + Sync>;

/// Set once, before the process serves.
static DUMP: OnceCell<DumpCallback> = OnceCell::new();
static LOG: OnceCell<LogCallback> = OnceCell::new();

/// False where one is set already.
pub(crate) fn set_dump_callback(callback: DumpCallback) -> bool {
    DUMP.set(callback).is_ok()
}

/// False where one is set already.
pub(crate) fn set_log_callback(callback: LogCallback) -> bool {
    LOG.set(callback).is_ok()
}

/// Whether there is a function to be called after a report.
#[cfg(target_os = "linux")]
pub(super) fn is_set() -> bool {
    DUMP.get().is_some()
}

/// After a report is on the disk, in a process of its own.
pub(super) fn written(dump: Option<&Path>, record: Option<&Path>) {
    if let Some(callback) = DUMP.get() {
        callback(dump, record);
    }
}

/// The callback for the log, if there is one.
pub(super) fn log() -> Option<&'static LogCallback> {
    LOG.get()
}
