//! What a program adds to its dumps, and dumps on demand.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use super::{args, guard};
use crate::install;
use crate::status::cm_status;

/// Has the monitor write a dump of this process as it is, which then goes on: any number of times, from any thread. The
/// calling thread is the one that the dump shows first. All threads stop while they are read, some 4 milliseconds for
/// 100 of them; a system call that one waits in may return early with EINTR, as signal(7) lists for stop signals.
///
/// `reason`: up to 1024 bytes of UTF-8 for the record; NULL means none.
/// Returns when the dump is in the dump directory: `CM_OK`; `CM_ERR_INVALID_ARGUMENT` (not UTF-8), `CM_ERR_LIMIT`,
/// `CM_ERR_NOT_INSTALLED`, `CM_ERR_DUMP` (the monitor could not write it), `CM_ERR_TIMEOUT` (not within the deadline of
/// `cm_config_set_deadline_ms`), `CM_ERR_UNSUPPORTED` (the monitor is minidumper's server), or, where the monitor has gone
/// and could not be replaced, an error of `cm_install`.
/// Threads: any. Signal handlers: no.
///
/// # Safety
/// `reason` is NULL or points to a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_dump_now(reason: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NUL-terminated or NULL, by this function's contract.
        let reason = unsafe { args::optional_text("reason", reason)? };
        install::dump_now(reason.unwrap_or_default()).map(drop)
    })
}

/// Sets an annotation: a key and a value that every later dump of this process holds, in the stream that Crashpad
/// writes (shown by minidump-stackwalk and Sentry), and its record too. The same key again replaces the value.
///
/// `key`: 1 to 256 bytes of UTF-8. `value`: up to 20480 bytes of UTF-8; NULL removes the annotation, which need not be
/// there. Both are copied. There can be 64 annotations.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_LIMIT` or `CM_ERR_SYSTEM` (no memory could be
/// mapped), and then nothing has changed. Costs some 0.1 microseconds and no system call.
/// Threads: any. Signal handlers: yes. Before `cm_install`: yes.
///
/// # Safety
/// `key` is NULL or NUL-terminated, `value` too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_annotation(key: *const c_char, value: *const c_char) -> cm_status {
    guard::signal_safe(|| {
        // SAFETY: NUL-terminated or NULL, by this function's contract.
        let (key, value) = unsafe { (args::key(key)?, args::value(value)?) };
        install::set_annotation(key, value)
    })
}

/// Has a file, such as the program's log, copied beside every later dump, as `<dump's name>.<file's name>`: as it is
/// when the dump is written; after a crash also what it gets until the process has ended, for up to 3 seconds, from the
/// handlers that were there before. At most its first 64 MiB; an empty file is left out. Large files are copied on after the
/// process was let go.
///
/// `path`: a path in the file system's own bytes; copied, and made absolute at once. The file need not be there yet. There
/// can be 16 files; the same one twice counts once. An open file without a name on disk, such as one of
/// memfd_create(2), is given as `/proc/self/fd/<descriptor>`, and its copy has the name of what is open there.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_LIMIT` or `CM_ERR_SYSTEM` (no memory could be
/// mapped), and then nothing has changed. Costs some 0.2 microseconds, and a system call for a relative path.
/// Threads: any. Signal handlers: no. Before `cm_install`: yes.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_attach_file(path: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NUL-terminated or NULL, by this function's contract.
        let path = unsafe { args::path("path", path)? };
        install::attach_file(path)
    })
}

/// Puts memory of this process into every later dump, as it is when the dump is written. It is not read now; what cannot
/// be read then is noted in the dump.
///
/// `start`: its address. `length`: 1 to 1048576 bytes. There can be 64 ranges; the same start again replaces the length.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_LIMIT` or `CM_ERR_SYSTEM` (no memory could be
/// mapped), and then nothing has changed. Costs some 0.1 microseconds and no system call.
/// Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_add_memory(start: *const c_void, length: usize) -> cm_status {
    guard::signal_safe(|| install::add_memory(start.addr(), length))
}

/// Leaves out again what `cm_add_memory` was given: call it before the memory is freed or used for something else.
///
/// `start`: the address given there.
/// Returns `CM_OK`, `CM_ERR_INVALID_ARGUMENT` (nothing was added at this address) or `CM_ERR_SYSTEM`.
/// Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_remove_memory(start: *const c_void) -> cm_status {
    guard::signal_safe(|| install::remove_memory(start.addr()))
}

/// Promises a sign of life, `cm_heartbeat`, within `timeout_ms` and again within that time of each. A process that breaks
/// the promise is dumped from outside as hung, once, and lives on; its next sign of life makes a new promise. Time in which
/// the process is stopped (SIGSTOP, a debugger) or the monitor does not run does not count. While the promise holds the
/// monitor wakes up four times within `timeout_ms`.
///
/// `timeout_ms`: at least 10 milliseconds; 0 ends the promise.
/// Returns `CM_OK`; `CM_ERR_NOT_INSTALLED`, `CM_ERR_INVALID_ARGUMENT`, or, where the monitor has gone and could not be
/// replaced, an error of `cm_install`.
/// Threads: any. Signal handlers: no.
#[unsafe(no_mangle)]
pub extern "C" fn cm_heartbeat_start(timeout_ms: u32) -> cm_status {
    guard::status(|| install::start_heartbeat(Duration::from_millis(timeout_ms.into())))
}

/// Gives the sign of life that `cm_heartbeat_start` promised. Costs some 10 nanoseconds and no system call.
///
/// Returns `CM_OK`, `CM_ERR_INVALID_ARGUMENT` (nothing was promised) or `CM_ERR_SYSTEM`.
/// Threads: any. Signal handlers: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_heartbeat() -> cm_status {
    guard::signal_safe(install::heartbeat)
}
