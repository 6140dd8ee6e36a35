//! The program's log, and what single threads are at.

use std::ffi::{c_char, c_void};

use super::{args, guard};
use crate::install;
use crate::status::cm_status;

/// For `cm_log`: something failed.
pub const CM_LOG_ERROR: i32 = 1;
/// For `cm_log`: something is not as it should be.
pub const CM_LOG_WARNING: i32 = 2;
/// For `cm_log`: something has happened.
pub const CM_LOG_INFO: i32 = 3;
/// For `cm_log`: something that helps to find defects.
pub const CM_LOG_DEBUG: i32 = 4;

/// Adds a line to the log that dumps hold, also called breadcrumbs: a ring with the last lines of the process, 64 KiB by
/// default (`cm_config_set_log_bytes`). They are in every later dump as the annotation "log", and in its record with time,
/// level and thread; also in the record of a process that was killed.
///
/// `level`: `CM_LOG_ERROR` to `CM_LOG_DEBUG`. `text`: the line, any bytes, without a line's end; shown as UTF-8; what is
/// over 1024 bytes is cut. `length`: its length in bytes; 0 for an empty line.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT` (`text` is NULL and `length` is not 0), `CM_ERR_INVALID_ARGUMENT` (the level), or
/// `CM_ERR_SYSTEM` (no memory could be mapped). Costs some 0.1 microseconds and no system call but for the thread's id.
/// Threads: any. Signal handlers: yes; a line that two writers get in each other's way for is dropped. Before
/// `cm_install`: yes.
///
/// # Safety
/// `text` is NULL or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_log(level: i32, text: *const c_char, length: usize) -> cm_status {
    guard::signal_safe(|| {
        // SAFETY: that many bytes or NULL, by this function's contract.
        let text = unsafe { args::bytes(text.cast::<c_void>(), length, c"text is NULL: give a pointer")? };
        install::add_log_line(level, text)
    })
}

/// Sets an annotation of the calling thread: what it is at, such as the request that it serves. Later dumps hold it as the
/// annotation "thread.<thread id>.<key>", records under "thread_annotations". It ends with the thread.
///
/// `key`: 1 to 64 bytes of UTF-8. `value`: up to 512 bytes of UTF-8; NULL removes the annotation, which need not be there.
/// Both are copied. There can be 256 of all threads together.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_LIMIT` or `CM_ERR_SYSTEM` (no memory could be
/// mapped), and then nothing has changed. Costs some 0.2 microseconds and no system call but for the thread's id.
/// Threads: any, for itself. Signal handlers: yes. Before `cm_install`: yes.
///
/// # Safety
/// `key` is NULL or NUL-terminated, `value` too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_thread_annotation(key: *const c_char, value: *const c_char) -> cm_status {
    guard::signal_safe(|| {
        // SAFETY: NUL-terminated or NULL, by this function's contract.
        let (key, value) = unsafe { (args::key(key)?, args::value(value)?) };
        install::set_thread_annotation(key, value)
    })
}
