//! `cm_report`: what the monitor tells the program's own function about a dump or a death.

use std::ffi::{CStr, CString, c_char};
use std::path::Path;

use crate::monitor::callbacks::{Kind, Report};

/// The version of `cm_report` that this header describes; see `cm_report_version`.
pub const CM_REPORT_VERSION: u32 = 1;

/// What `cm_report_kind` returns: a fatal signal, reported by its handler.
pub const CM_REPORT_CRASH: i32 = 1;
/// What `cm_report_kind` returns: a dump that the process asked for with `cm_dump_now`.
pub const CM_REPORT_REQUEST: i32 = 2;
/// What `cm_report_kind` returns: a dump of a process that gave no `cm_heartbeat` in time.
pub const CM_REPORT_HANG: i32 = 3;
/// What `cm_report_kind` returns: the end of a process without a report, by SIGKILL for instance. There is a record and
/// no dump.
pub const CM_REPORT_DEATH: i32 = 4;

/// A report that the monitor has written: a dump and its record, or a record alone. Opaque: the `cm_report_*` functions
/// read it. It exists during the call of a `cm_report_callback`, and so do the strings that these functions return.
///
/// For all of them: where the report is NULL they return NULL or 0. Threads: any, during the call. Signal handlers: no.
pub struct cm_report {
    kind: i32,
    dump: Option<CString>,
    record: Option<CString>,
    attachments: Vec<CString>,
    app_name: CString,
    pid: u32,
    thread: u32,
    signal: i32,
    exit_status: i32,
    reason: Option<CString>,
    annotations: Vec<(CString, CString)>,
}

impl cm_report {
    pub(super) fn new(report: &Report) -> Self {
        let path = |path: &Path| text_of(path.as_os_str().as_encoded_bytes());
        let text = |text: &str| text_of(text.as_bytes());
        Self {
            kind: match report.kind {
                Kind::Crash => CM_REPORT_CRASH,
                Kind::Request => CM_REPORT_REQUEST,
                Kind::Hang => CM_REPORT_HANG,
                Kind::Death => CM_REPORT_DEATH,
            },
            dump: report.dump.as_deref().map(path),
            record: report.record.as_deref().map(path),
            attachments: report.attachments.iter().map(|attachment| path(attachment)).collect(),
            app_name: text(&report.app_name),
            pid: report.pid,
            thread: report.thread,
            signal: report.signal,
            exit_status: report.exit_status.unwrap_or(-1),
            reason: report.reason.as_deref().map(text),
            annotations: report.annotations.iter().map(|(key, value)| (text(key), text(value))).collect(),
        }
    }
}

/// A C string; a NUL within it becomes a replacement character, so that what follows is not lost.
fn text_of(bytes: &[u8]) -> CString {
    let without_nul = || bytes.split(|byte| *byte == 0).collect::<Vec<_>>().join("\u{fffd}".as_bytes());
    CString::new(bytes).or_else(|_| CString::new(without_nul())).unwrap_or_default()
}

fn pointer(string: Option<&CString>) -> *const c_char {
    string.map_or(std::ptr::null(), |string| string.as_ptr())
}

/// What `read` finds in a report; `none` for NULL.
///
/// # Safety
/// `report` is NULL or the report of a call that goes on.
unsafe fn read<T>(report: *const cm_report, none: T, read: impl FnOnce(&cm_report) -> T) -> T {
    // SAFETY: NULL becomes None; else by the caller's promise a live report, which no thread changes.
    unsafe { report.as_ref() }.map_or(none, read)
}

/// Returns the version of the report: 1 in this version of the library. A later library that knows more has a higher
/// number; what an accessor returns never changes its meaning.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_version(report: *const cm_report) -> u32 {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, 0, |_| CM_REPORT_VERSION) }
}

/// Returns what happened: `CM_REPORT_CRASH`, `CM_REPORT_REQUEST`, `CM_REPORT_HANG` or `CM_REPORT_DEATH`. Later versions
/// may add kinds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_kind(report: *const cm_report) -> i32 {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, 0, |report| report.kind) }
}

/// Returns the dump's path, absolute, in the file system's own bytes; NULL where there is no dump: a death, or a dump
/// that could not be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_dump_path(report: *const cm_report) -> *const c_char {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, std::ptr::null(), |report| pointer(report.dump.as_ref())) }
}

/// Returns the record's path, absolute, in the file system's own bytes; NULL where it could not be written, and from a
/// monitor that is minidumper's server, which writes no records.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_record_path(report: *const cm_report) -> *const c_char {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, std::ptr::null(), |report| pointer(report.record.as_ref())) }
}

/// Returns the path of the copy of an attached file, absolute, in the file system's own bytes.
///
/// `index`: 0 for the first one. Returns NULL from the number of copies on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_attachment_path(report: *const cm_report, index: usize) -> *const c_char {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, std::ptr::null(), |report| pointer(report.attachments.get(index))) }
}

/// Returns the application's name, which the files' names begin with (`cm_config_set_app_name`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_app_name(report: *const cm_report) -> *const c_char {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, std::ptr::null(), |report| report.app_name.as_ptr()) }
}

/// Returns the process id; 0 where it is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_pid(report: *const cm_report) -> u32 {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, 0, |report| report.pid) }
}

/// Returns the id of the thread that crashed, or that asked for the dump (gettid(2)); the process id for a hang; 0 for a
/// death, and where it is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_thread_id(report: *const cm_report) -> u32 {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, 0, |report| report.thread) }
}

/// Returns the number of the signal of a crash, or of the signal that ended the process in a death; 0 where there was
/// none, or it is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_signal(report: *const cm_report) -> i32 {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, 0, |report| report.signal) }
}

/// Returns the exit status, 0 to 255, of a process that has exited; -1 where there is none: not a death, an end by a
/// signal, a status that is not known, or NULL instead of a report.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_exit_status(report: *const cm_report) -> i32 {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, -1, |report| report.exit_status) }
}

/// Returns the reason that `cm_dump_now` was given, in UTF-8: the empty string where it gave none, NULL for all other kinds
/// of reports. A NUL in it is U+FFFD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_reason(report: *const cm_report) -> *const c_char {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, std::ptr::null(), |report| pointer(report.reason.as_ref())) }
}

/// Returns the value of an annotation in UTF-8. A NUL byte in a key or a value is U+FFFD here; the record has it as it is.
///
/// `key`: as in `cm_set_annotation`. Returns NULL where there is no such annotation, and where the key is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_annotation(report: *const cm_report, key: *const c_char) -> *const c_char {
    if key.is_null() {
        return std::ptr::null();
    }
    // SAFETY: not NULL, so a NUL-terminated string by the C API's contract.
    let key = unsafe { CStr::from_ptr(key) };
    let find = |report: &cm_report| {
        let mut annotations = report.annotations.iter();
        pointer(annotations.find(|(name, _)| name.as_c_str() == key).map(|(_, value)| value))
    };
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, std::ptr::null(), find) }
}

/// Returns the key of an annotation in UTF-8, to list them all.
///
/// `index`: 0 for the first one, in the order of the keys' bytes. Returns NULL from the number of annotations on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_report_annotation_key(report: *const cm_report, index: usize) -> *const c_char {
    // SAFETY: NULL or live, by the C API's contract.
    unsafe { read(report, std::ptr::null(), |report| pointer(report.annotations.get(index).map(|(key, _)| key))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_within_a_text_does_not_end_it() {
        assert_eq!(text_of(b"one\0two"), c"one\u{fffd}two");
        assert_eq!(text_of(b"one"), c"one");
    }
}
