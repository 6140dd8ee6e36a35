//! Being the monitor.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;

use super::{args, guard};
use crate::error::{Error, Result};
use crate::monitor::{self, callbacks};
use crate::status::{CM_ERR_INVALID_ARGUMENT, CM_NOT_A_MONITOR, CM_OK, cm_status};

/// Serves as the monitor, if this process was started as one. A program that is to be its own monitor calls this
/// first thing in `main`, before it opens files or starts threads:
///
/// ```c
/// int main(void) {
///     cm_status status = cm_run_monitor();
///     if (status != CM_NOT_A_MONITOR) return status == CM_OK ? 0 : 1;
///     cm_install("/var/lib/app/crashes", NULL);
/// ```
///
/// A process is a monitor when its command line holds `--crash-monitor`, before any `--`. Then this call serves until
/// its last host has gone and returns `CM_OK`, or an error: `CM_ERR_COMMAND_LINE`, `CM_ERR_SOCKET`, `CM_ERR_SYSTEM`.
/// In any other process it returns `CM_NOT_A_MONITOR` at once, and `cm_install` knows from then on that this program
/// can be started as a monitor.
/// Threads: the first one, before the program starts threads of its own. Signal handlers: no. Before `cm_install`: yes,
/// that is its place.
#[unsafe(no_mangle)]
pub extern "C" fn cm_run_monitor() -> cm_status {
    let served = guard::guard(monitor::run_from_command_line);
    match served {
        Ok(true) => CM_OK,
        Ok(false) => CM_NOT_A_MONITOR,
        Err(status) => status,
    }
}

/// A function of a program that is its own monitor, called after each report: `dump_path` is the dump's, or NULL where
/// there is none (a death, or a dump that failed), `record_path` the record's, or NULL where that failed; `user_data` what
/// was given with the function. The strings belong to the library. It runs in a process of its own, a fork of the
/// monitor that ends when it returns, at the lowest priority (nice(2), 19): it may take its time (up to ten minutes), upload
/// the files or move them away. On Windows and macOS it is a thread of the monitor.
pub type cm_dump_callback =
    Option<unsafe extern "C" fn(dump_path: *const c_char, record_path: *const c_char, user_data: *mut c_void)>;

/// Sets a function to be called in the monitor after each report; see `cm_dump_callback`. Called before
/// `cm_run_monitor`; in a process that is no monitor it changes nothing.
///
/// `callback`: not NULL. `user_data`: passed on to it, never looked at.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT`, or `CM_ERR_INVALID_ARGUMENT` (one is set already).
/// Threads: any. Signal handlers: no. Before `cm_install`: yes.
///
/// # Safety
/// `callback` may be called with `user_data` in a fork of this process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_dump_callback(callback: cm_dump_callback, user_data: *mut c_void) -> cm_status {
    guard::status(|| {
        let callback = callback.ok_or_else(|| args::null("callback"))?;
        let user_data = UserData(user_data);
        let call = move |dump: Option<&Path>, record: Option<&Path>| {
            let [dump, record] = [dump, record].map(|path| path.map(c_path));
            let pointer = |path: &Option<CString>| path.as_ref().map_or(std::ptr::null(), |path| path.as_ptr());
            // SAFETY: promised by this function's contract; the strings live through the call.
            unsafe { callback(pointer(&dump), pointer(&record), user_data.get()) }
        };
        only_once("dump", callbacks::set_dump_callback(Box::new(call)))
    })
}

/// A function of a program that is its own monitor, called for each line of the log: `level` is 1 for an error, 2 for a
/// warning, 3 for information; `message` is UTF-8 without a line's end and belongs to the library; `user_data` what was
/// given with the function. It is called by the monitor and by the processes that write its dumps.
pub type cm_log_callback = Option<unsafe extern "C" fn(level: u32, message: *const c_char, user_data: *mut c_void)>;

/// Sets a function to be called for each line of the monitor's log, besides its file; see `cm_log_callback`. Called before
/// `cm_run_monitor`; in a process that is no monitor it changes nothing.
///
/// `callback`: not NULL. `user_data`: passed on to it, never looked at.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT`, or `CM_ERR_INVALID_ARGUMENT` (one is set already).
/// Threads: any. Signal handlers: no. Before `cm_install`: yes.
///
/// # Safety
/// `callback` may be called with `user_data` by this process and by forks of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_log_callback(callback: cm_log_callback, user_data: *mut c_void) -> cm_status {
    guard::status(|| {
        let callback = callback.ok_or_else(|| args::null("callback"))?;
        let user_data = UserData(user_data);
        let call = move |level: u32, message: &str| {
            let message = CString::new(message.replace('\0', "\u{fffd}")).unwrap_or_default();
            // SAFETY: promised by this function's contract; the string lives through the call.
            unsafe { callback(level, message.as_ptr(), user_data.get()) }
        };
        only_once("log", callbacks::set_log_callback(Box::new(call)))
    })
}

/// A pointer that only the program looks at.
struct UserData(*mut c_void);

// SAFETY: never read here; that the program's function may have it in any thread is the setters' contract.
unsafe impl Send for UserData {}
// SAFETY: the same.
unsafe impl Sync for UserData {}

impl UserData {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap_or_default()
}

fn only_once(what: &str, set: bool) -> Result<()> {
    if set {
        return Ok(());
    }
    Err(Error::new(
        CM_ERR_INVALID_ARGUMENT,
        format!("a {what} callback is set already: there is one for the process's life"),
    ))
}
