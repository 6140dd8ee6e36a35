//! The calling thread's last error message, and the texts of the status table.

use std::ffi::{CStr, c_char};
use std::ptr;

use super::cancellation::not_cancelled;
use super::thread_text::ThreadText;
use crate::status::{self, cm_status};
use crate::sys::thread_value::ThreadValue;

static LAST: ThreadText = ThreadText::new();
/// Where the last message is one that was known beforehand, that one.
static LAST_STATIC: ThreadValue = ThreadValue::new(None);

/// Keeps a message that was known beforehand. May be called by a signal handler: it needs no memory of its own.
pub(super) fn set_static(message: &'static CStr) {
    // Where the system has no place for it, an earlier message stays.
    let _ = LAST_STATIC.set(message.as_ptr().cast_mut().cast());
}

/// Keeps the message of a call that gives `status` for this thread; a NUL in it (from a path, say) becomes a replacement
/// character. Where there is no memory for it the status's own text stands for it.
pub(super) fn set(status: cm_status, message: &str) {
    match LAST.set(message.replace('\0', "\u{fffd}").as_bytes()) {
        // Where nothing was ever set there is nothing to be set back.
        Some(_) if LAST_STATIC.get().is_null() => {}
        Some(_) => {
            let _ = LAST_STATIC.set(ptr::null_mut());
        }
        None => set_static(status::text(status)),
    }
}

/// Returns the calling thread's last error message: what failed, where, and what would be right. UTF-8, never NULL; the
/// empty string where no call of this thread has failed. A call that succeeds leaves it as it was, but for a `cm_install` that
/// has found crash signals blocked: the message then says so.
///
/// The string is valid until the next `cm_*` call of the same thread that fails, or the thread's end.
/// Threads: any, each has its own. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_last_error() -> *const c_char {
    not_cancelled(|| {
        let known: *const c_char = LAST_STATIC.get().cast_const().cast();
        if known.is_null() { LAST.get().unwrap_or(c"".as_ptr()) } else { known }
    })
}

/// Returns the name and meaning of a status code, such as "CM_ERR_SOCKET: the socket path cannot be used". ASCII, never
/// NULL; for a number that is not a status code, a text that says so.
///
/// The string is static. Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_status_text(status: cm_status) -> *const c_char {
    status::text(status).as_ptr()
}
