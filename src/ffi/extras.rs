//! Attached files, dumps on demand, and the start of heartbeats.

use std::ffi::c_char;
use std::ptr::NonNull;
use std::time::Duration;

use super::thread_text::ThreadText;
use super::{args, guard};
use crate::error::Result;
use crate::install;
use crate::status::cm_status;

/// The path of a thread's last dump on demand.
static DUMP: ThreadText = ThreadText::new();

/// Has the monitor write a dump of this process as it is, which then goes on: any number of times, from any thread. The
/// calling thread is the one that the dump shows first. All threads stop while they are read, some 2 milliseconds for
/// 100 of them; a system call that one waits in may return early with EINTR, as signal(7) lists for stop signals.
///
/// `reason`: up to 1024 bytes of UTF-8 for the record; NULL means none.
/// `dump_path`: gets the dump's path, absolute, in the file system's own bytes; written on success only; NULL where the
/// path is not wanted. The string is valid until the next dump on demand by the same thread, or the thread's end; it is empty
/// where there is no memory for it.
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
        let kept = DUMP.set(path.as_os_str().as_encoded_bytes());
        // SAFETY: not NULL, so by the C API's contract the caller's variable.
        unsafe { output.write(kept.unwrap_or(c"".as_ptr())) };
    }
    Ok(())
}

/// Attaches a file, such as the program's log, to every later dump: the monitor copies it beside the dump, as
/// `<dump's name>.<file's name>`, at most its first 64 MiB. The copy has what the file holds when the dump is written;
/// after a crash also what the previous handlers write to it until the process has ended, for up to 3 seconds. Large files
/// are copied to the end after the process has continued. An empty file is left out. Where the process has changed its user by
/// then (setuid(2)), the file is opened with the rights of the new one.
///
/// `path`: a path in the file system's own bytes; copied, and made absolute at once. The file need not exist yet. There
/// can be 16 files; the same one twice counts once. An open file without a name on disk, such as one of
/// memfd_create(2), is given as `/proc/self/fd/<descriptor>`, and its copy has the name of what is open there.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_LIMIT` or `CM_ERR_SYSTEM` (no memory could be
/// mapped), and then nothing has changed. Costs some 0.2 microseconds, and a system call for a relative path.
/// Threads: any. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_attach_file(path: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or NUL-terminated, by the C API's contract.
        let path = unsafe { args::path("path", path)? };
        install::attach_file(path)
    })
}

/// Starts the heartbeat: from now on the process has to call `cm_heartbeat` within each `timeout_ms`. The monitor dumps a
/// process that does not as hung, once; the process continues, and its next `cm_heartbeat` starts the time anew. Time in which
/// the process is stopped (SIGSTOP, a debugger) or the monitor does not run does not count. While the heartbeat is started the
/// monitor wakes up four times within `timeout_ms`.
///
/// `timeout_ms`: at least 10 milliseconds; 0 ends the heartbeat.
/// Returns `CM_OK`; `CM_ERR_NOT_INSTALLED`, `CM_ERR_INVALID_ARGUMENT`, or, where the monitor has gone and could not be
/// replaced, an error of `cm_install`.
/// Threads: any. Signal handlers: no. Before `cm_install`: no.
#[unsafe(no_mangle)]
pub extern "C" fn cm_heartbeat_start(timeout_ms: u32) -> cm_status {
    guard::status(|| install::start_heartbeat(Duration::from_millis(timeout_ms.into())))
}
