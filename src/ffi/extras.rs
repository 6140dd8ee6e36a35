//! What a program adds to its dumps, and dumps on demand.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use super::{args, guard};
use crate::error::Result;
use crate::install;
use crate::status::cm_status;

thread_local! {
    /// The path of this thread's last dump on demand.
    static DUMP: RefCell<CString> = RefCell::default();
}

/// Has the monitor write a dump of this process as it is, which then goes on: any number of times, from any thread. The
/// calling thread is the one that the dump shows first. All threads stop while they are read, some 4 milliseconds for
/// 100 of them; a system call that one waits in may return early with EINTR, as signal(7) lists for stop signals.
///
/// `reason`: up to 1024 bytes of UTF-8 for the record; NULL means none.
/// `dump_path`: gets the dump's path, absolute, in the file system's own bytes; written on success only; NULL where the
/// path is not wanted. The string is valid until the next dump on demand by the same thread, or the thread's end.
/// Returns when the dump is in the dump directory: `CM_OK`; `CM_ERR_INVALID_ARGUMENT` (not UTF-8), `CM_ERR_LIMIT`,
/// `CM_ERR_NOT_INSTALLED`, `CM_ERR_DUMP` (the monitor could not write it), `CM_ERR_TIMEOUT` (not within the deadline of
/// `cm_config_set_deadline_ms`), `CM_ERR_UNSUPPORTED` (the monitor is minidumper's server), or, where the monitor has gone
/// and could not be replaced, an error of `cm_install`.
/// Threads: any. Signal handlers: no. Before `cm_install`: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_dump_now(reason: *const c_char, dump_path: *mut *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or NUL-terminated, by the C API's contract.
        let reason = unsafe { args::optional_text("reason", reason)? };
        dump_now(reason, dump_path)
    })
}

/// Does what `cm_dump_now` does, for a reason with a length, which may hold NUL bytes.
///
/// `reason`, `reason_length`: 0 to 1024 bytes of UTF-8; NULL with 0 means none.
/// `dump_path`: as for `cm_dump_now`.
/// Returns what `cm_dump_now` returns; `CM_ERR_NULL_ARGUMENT` for NULL with another length.
/// Threads: any. Signal handlers: no. Before `cm_install`: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_dump_now_n(
    reason: *const c_char,
    reason_length: usize,
    dump_path: *mut *const c_char,
) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or so many bytes, by the C API's contract.
        let reason = unsafe { args::optional_text_n("reason", reason, reason_length)? };
        dump_now(reason, dump_path)
    })
}

fn dump_now(reason: Option<&str>, dump_path: *mut *const c_char) -> Result<()> {
    let path = install::dump_now(reason.unwrap_or_default())?;
    if let Some(output) = NonNull::new(dump_path) {
        let path = CString::new(path.into_os_string().into_encoded_bytes()).unwrap_or_default();
        let kept = DUMP.try_with(|last| {
            last.replace(path);
            last.borrow().as_ptr()
        });
        // SAFETY: not NULL, so by the C API's contract the caller's variable. A thread whose storage is gone, in the
        // destructors at its end, gets an empty path.
        unsafe { output.write(kept.unwrap_or(c"".as_ptr())) };
    }
    Ok(())
}

/// Sets an annotation: a key and a value that every later dump of this process holds, in the stream that Crashpad
/// writes (shown by minidump-stackwalk and Sentry), and its record too. The same key again replaces the value.
///
/// `key`: 1 to 256 bytes of UTF-8. `value`: up to 20480 bytes of UTF-8; NULL removes the annotation, which need not be
/// there. Both are copied. There can be 64 annotations.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT` or `CM_ERR_LIMIT`, and then nothing has changed;
/// `CM_ERR_TIMEOUT` (a stopped monitor had no room for it within a second); or, where the monitor has gone and could not be
/// replaced, an error of `cm_install`: then the annotation is kept and told to the next monitor. Costs a write to a local
/// socket, some 3 microseconds, and a start of a monitor where it has gone.
/// Threads: any. Signal handlers: no. Before `cm_install`: yes, it is told to the monitor then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_annotation(key: *const c_char, value: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or NUL-terminated, by the C API's contract.
        let (key, value) = unsafe { (args::text("key", key)?, args::optional_text("value", value)?) };
        install::set_annotation(key, value)
    })
}

/// Does what `cm_set_annotation` does, for texts with lengths, which may hold NUL bytes and need not end with one.
///
/// `key`, `key_length`: 1 to 256 bytes of UTF-8. `value`, `value_length`: 0 to 20480 bytes of UTF-8; NULL with 0 removes
/// the annotation. Both are copied.
/// Returns what `cm_set_annotation` returns; `CM_ERR_NULL_ARGUMENT` also for a NULL value with another length.
/// Threads: any. Signal handlers: no. Before `cm_install`: yes, it is told to the monitor then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_annotation_n(
    key: *const c_char,
    key_length: usize,
    value: *const c_char,
    value_length: usize,
) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or so many bytes, by the C API's contract.
        let (key, value) =
            unsafe { (args::text_n("key", key, key_length)?, args::optional_text_n("value", value, value_length)?) };
        install::set_annotation(key, value)
    })
}

/// Attaches a file, such as the program's log, to every later dump: the monitor copies it beside the dump, as
/// `<dump's name>.<file's name>`, at most its first 64 MiB. The copy has what the file holds when the dump is written;
/// after a crash also what the previous handlers write to it until the process has ended, for up to 3 seconds. Large files
/// are copied to the end after the process has continued. An empty file is left out.
///
/// `path`: a path in the file system's own bytes; copied, and made absolute at once. The file need not exist yet. There
/// can be 16 files; the same one twice counts once. An open file without a name on disk, such as one of
/// memfd_create(2), is given as `/proc/self/fd/<descriptor>`, and its copy has the name of what is open there.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT` or `CM_ERR_LIMIT`, and then nothing has changed;
/// `CM_ERR_TIMEOUT` (a stopped monitor had no room for it within a second); or, where the monitor has gone and could not be
/// replaced, an error of `cm_install`: then the file is kept and told to the next monitor. Costs some 4 microseconds.
/// Threads: any. Signal handlers: no. Before `cm_install`: yes, it is told to the monitor then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_attach_file(path: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or NUL-terminated, by the C API's contract.
        let path = unsafe { args::path("path", path)? };
        install::attach_file(path)
    })
}

/// Adds a range of memory to every later dump of this process, as it is when the dump is written. It is not read now; what
/// cannot be read then is noted in the dump.
///
/// `start`: its address. `length`: 1 to 1048576 bytes. There can be 64 ranges; the same start again replaces the length.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT` or `CM_ERR_LIMIT`, and then nothing has changed;
/// `CM_ERR_TIMEOUT` (a stopped monitor had no room for it within a second); or, where the monitor has gone and could not be
/// replaced, an error of `cm_install`: then the range is kept and told to the next monitor. Costs some 3 microseconds.
/// Threads: any. Signal handlers: no. Before `cm_install`: yes, it is told to the monitor then.
#[unsafe(no_mangle)]
pub extern "C" fn cm_add_memory(start: *const c_void, length: usize) -> cm_status {
    guard::status(|| install::add_memory(start.addr(), length))
}

/// Removes a range that `cm_add_memory` has added. To be called before the memory is freed or used for something else.
///
/// `start`: the address given there.
/// Returns `CM_OK`, `CM_ERR_INVALID_ARGUMENT` (nothing was added at this address), or an error of `cm_install` as there.
/// Threads: any. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_remove_memory(start: *const c_void) -> cm_status {
    guard::status(|| install::remove_memory(start.addr()))
}

/// Promises that the process calls `cm_heartbeat` within `timeout_ms`, and within that time of each call. The monitor
/// dumps a process that breaks the promise as hung, once; the process goes on, and its next heartbeat renews the promise.
///
/// `timeout_ms`: at least 10 milliseconds; 0 ends the promise.
/// Returns `CM_OK`; `CM_ERR_NOT_INSTALLED`, `CM_ERR_INVALID_ARGUMENT`, or, where the monitor has gone and could not be
/// replaced, an error of `cm_install`.
/// Threads: any. Signal handlers: no. Before `cm_install`: no.
#[unsafe(no_mangle)]
pub extern "C" fn cm_heartbeat_start(timeout_ms: u32) -> cm_status {
    guard::status(|| install::start_heartbeat(Duration::from_millis(timeout_ms.into())))
}

/// Tells the monitor that the process is alive, as `cm_heartbeat_start` has promised. Costs a write to a local socket, some
/// 3 microseconds.
///
/// Returns `CM_OK`; `CM_ERR_NOT_INSTALLED`, `CM_ERR_INVALID_ARGUMENT` (nothing was promised), or, where the monitor has
/// gone and could not be replaced, an error of `cm_install`.
/// Threads: any. Signal handlers: no. Before `cm_install`: no.
#[unsafe(no_mangle)]
pub extern "C" fn cm_heartbeat() -> cm_status {
    guard::status(install::heartbeat)
}
