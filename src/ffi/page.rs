//! What a program keeps in the page that it shares with its monitor. A signal handler may call every function here.

use std::ffi::{c_char, c_void};

use super::{args, guard};
use crate::install;
use crate::status::cm_status;

/// Sets an annotation: a key and a value that every later dump of this process holds, in the stream that Crashpad
/// writes (shown by minidump-stackwalk and Sentry), and its record too. The same key again replaces the value.
///
/// `key`: 1 to 256 bytes of UTF-8. `value`: up to 20480 bytes of UTF-8; NULL removes the annotation, which need not be
/// there. Both are copied. There can be 64 annotations.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_LIMIT` or `CM_ERR_SYSTEM` (no memory could be
/// mapped), and then nothing has changed. Costs some 0.1 microseconds and no system call.
/// Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_annotation(key: *const c_char, value: *const c_char) -> cm_status {
    guard::signal_safe(|| {
        // SAFETY: NULL or NUL-terminated, by the C API's contract.
        let (key, value) = unsafe { (args::key(key)?, args::value(value)?) };
        install::set_annotation(key, value)
    })
}

/// Does what `cm_set_annotation` does, for texts with lengths, which may hold NUL bytes and need not end with one.
///
/// `key`, `key_length`: 1 to 256 bytes of UTF-8. `value`, `value_length`: 0 to 20480 bytes of UTF-8; NULL with 0 removes
/// the annotation. Both are copied.
/// Returns what `cm_set_annotation` returns; `CM_ERR_NULL_ARGUMENT` also for a NULL value with another length.
/// Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_annotation_n(
    key: *const c_char,
    key_length: usize,
    value: *const c_char,
    value_length: usize,
) -> cm_status {
    guard::signal_safe(|| {
        // SAFETY: NULL or so many bytes, by the C API's contract.
        let (key, value) = unsafe { (args::key_n(key, key_length)?, args::value_n(value, value_length)?) };
        install::set_annotation(key, value)
    })
}

/// Sets an annotation of the calling thread, such as the request that it serves. Later dumps hold it as the annotation
/// "thread.<thread id>.<key>", and records under "thread_annotations". It ends with the thread; the record of a process that
/// was killed may still list those of threads that had ended. A forked child has none of its parent's.
///
/// `key`: 1 to 64 bytes of UTF-8. `value`: up to 512 bytes of UTF-8; NULL removes the annotation, which need not be there.
/// Both are copied. There can be 256 of all threads together.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_LIMIT` or `CM_ERR_SYSTEM` (no memory could be
/// mapped), and then nothing has changed. Costs some 0.2 microseconds and no system call but for the thread's id.
/// Threads: any, for itself. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_thread_annotation(key: *const c_char, value: *const c_char) -> cm_status {
    guard::signal_safe(|| {
        // SAFETY: NULL or NUL-terminated, by the C API's contract.
        let (key, value) = unsafe { (args::key(key)?, args::value(value)?) };
        install::set_thread_annotation(key, value)
    })
}

/// Does what `cm_set_thread_annotation` does, for texts with lengths, which may hold NUL bytes and need not end with one.
///
/// `key`, `key_length`: 1 to 64 bytes of UTF-8. `value`, `value_length`: 0 to 512 bytes of UTF-8; NULL with 0 removes the
/// annotation. Both are copied.
/// Returns what `cm_set_thread_annotation` returns; `CM_ERR_NULL_ARGUMENT` also for a NULL value with another length.
/// Threads: any, for itself. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_thread_annotation_n(
    key: *const c_char,
    key_length: usize,
    value: *const c_char,
    value_length: usize,
) -> cm_status {
    guard::signal_safe(|| {
        // SAFETY: NULL or so many bytes, by the C API's contract.
        let (key, value) = unsafe { (args::key_n(key, key_length)?, args::value_n(value, value_length)?) };
        install::set_thread_annotation(key, value)
    })
}

/// Adds a line to the process's log (breadcrumbs): a ring of its last lines, 64 KiB by default
/// (`cm_config_set_log_bytes`). Every later dump holds the lines as the annotation "log", and its record with time, level
/// and thread. The record of a process that was killed holds them too.
///
/// `level`: `CM_LOG_ERROR` to `CM_LOG_DEBUG`. `text`, `length`: the line without its end, any bytes, shown as UTF-8; what is
/// over 1024 bytes is cut. `text` may be NULL where `length` is 0.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT` (the level), or `CM_ERR_SYSTEM` (no memory could be
/// mapped). Costs some 0.2 microseconds and no system call but for the thread's id.
/// Threads: any. Signal handlers: yes; where two writers meet in one place of a full ring, one line is dropped.
/// Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_log(level: u32, text: *const c_char, length: usize) -> cm_status {
    guard::signal_safe(|| {
        // SAFETY: NULL or so many bytes, by the C API's contract.
        let text = unsafe { args::log_text(text, length)? };
        install::add_log_line(level, text)
    })
}

/// Adds a range of memory to every later dump of this process, as it is when the dump is written. It is not read now; what
/// cannot be read then is noted in the dump.
///
/// `start`: its address. `length`: 1 to 1048576 bytes. There can be 64 ranges; the same start again replaces the length.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_LIMIT` or `CM_ERR_SYSTEM` (no memory could be
/// mapped), and then nothing has changed. Costs some 0.1 microseconds and no system call.
/// Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_add_memory(start: *const c_void, length: usize) -> cm_status {
    guard::signal_safe(|| install::add_memory(start.addr(), length))
}

/// Removes a range that `cm_add_memory` has added. To be called before the memory is freed or used for something else.
///
/// `start`: the address given there.
/// Returns `CM_OK`, `CM_ERR_INVALID_ARGUMENT` (nothing was added at this address) or `CM_ERR_SYSTEM`.
/// Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_remove_memory(start: *const c_void) -> cm_status {
    guard::signal_safe(|| install::remove_memory(start.addr()))
}

/// Gives a heartbeat, within the time that was given to `cm_heartbeat_start`. Costs some 10 nanoseconds and no system call.
///
/// Returns `CM_OK`, `CM_ERR_INVALID_ARGUMENT` (no heartbeat was started) or `CM_ERR_SYSTEM`.
/// Threads: any. Signal handlers: yes. Before `cm_install`: no.
#[unsafe(no_mangle)]
pub extern "C" fn cm_heartbeat() -> cm_status {
    guard::signal_safe(install::heartbeat)
}
