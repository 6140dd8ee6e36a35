//! The calling thread's last error message, and the texts of the status table.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};

use crate::status::{self, cm_status};

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
    /// The message of a call that a signal handler may make; where it is the last one, and not the one above.
    static LAST_STATIC: Cell<Option<&'static CStr>> = const { Cell::new(None) };
}

/// Keeps a message that is known beforehand. May be called by a signal handler: it needs no memory.
pub(super) fn set_static(message: &'static CStr) {
    let _ = LAST_STATIC.try_with(|last| last.set(Some(message)));
}

/// Keeps `message` for this thread; a NUL in it (from a path, say) becomes a replacement character.
pub(super) fn set(message: &str) {
    let message = CString::new(message.replace('\0', "\u{fffd}")).unwrap_or_default();
    // A thread that is being torn down has no storage left; then there is nobody to read the message either.
    let _ = LAST.try_with(|last| last.replace(message));
    let _ = LAST_STATIC.try_with(|last| last.set(None));
}

/// The calling thread's last error message: what failed, where, and what would be right. UTF-8, never NULL; the empty
/// string where no call of this thread has failed. A call that succeeds leaves it as it was.
///
/// The string belongs to the library and is valid until the next `cm_*` call of the same thread that fails.
/// Threads: any, each has its own. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_last_error() -> *const c_char {
    let fixed = LAST_STATIC.try_with(Cell::get).ok().flatten();
    fixed.map(CStr::as_ptr).or_else(|| LAST.try_with(|last| last.borrow().as_ptr()).ok()).unwrap_or(c"".as_ptr())
}

/// The name and meaning of a status code, such as `CM_ERR_SOCKET: the socket path cannot be used`. ASCII, never NULL;
/// a text that says so for a code that is none of ours.
///
/// The string is static. Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_status_text(status: cm_status) -> *const c_char {
    status::text(status).as_ptr()
}
