//! The calling thread's last error message, and the texts of the status table.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};

use super::cancellation::not_cancelled;
use crate::status::{self, cm_status};

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
    /// Where the last message is one that was known beforehand, that one.
    static LAST_STATIC: Cell<Option<&'static CStr>> = const { Cell::new(None) };
}

/// Keeps a message that was known beforehand. May be called by a signal handler: it needs no memory.
pub(super) fn set_static(message: &'static CStr) {
    let _ = LAST_STATIC.try_with(|last| last.set(Some(message)));
}

/// Keeps `message` for this thread; a NUL in it (from a path, say) becomes a replacement character.
pub(super) fn set(message: &str) {
    let message = CString::new(message.replace('\0', "\u{fffd}")).unwrap_or_default();
    // A thread that is ending may have no storage left; then it cannot read the message either.
    let _ = LAST.try_with(|last| last.replace(message));
    let _ = LAST_STATIC.try_with(|last| last.set(None));
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
        let known = LAST_STATIC.try_with(Cell::get).ok().flatten().map(CStr::as_ptr);
        known.or_else(|| LAST.try_with(|last| last.borrow().as_ptr()).ok()).unwrap_or(c"".as_ptr())
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
