//! Being the monitor.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use super::{cm_report, guard};
use crate::monitor::callbacks::{self, Report};
use crate::monitor::run_from_command_line;
use crate::status::{CM_NOT_A_MONITOR, CM_OK, cm_status};

/// Serves as the monitor, if this process was started as one. A program that is to be its own monitor calls this
/// first thing in `main`, before it opens files or starts threads:
///
/// ```c
/// int main(void) {
///     cm_status status = cm_run_monitor();
///     if (status != CM_NOT_A_MONITOR) return status == CM_OK ? 0 : 1;
///     status = cm_install("/var/lib/app/crashes", NULL);
/// ```
///
/// A process is a monitor when its command line holds `--crash-monitor`, before any `--`. In any other process this call
/// returns at once, and `cm_install` knows from then on that this program can be started as a monitor.
///
/// Returns `CM_NOT_A_MONITOR` in a process that is not a monitor. In a monitor: `CM_OK` once its last host has gone;
/// `CM_ERR_COMMAND_LINE`, `CM_ERR_SOCKET` or `CM_ERR_SYSTEM` where it cannot serve.
/// Threads: the first one, before the program starts threads of its own. Signal handlers: no. Before `cm_install`: yes,
/// that is its place.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn cm_run_monitor() -> cm_status {
    let served = guard::guard(run_from_command_line);
    match served {
        Ok(true) => CM_OK,
        Ok(false) => CM_NOT_A_MONITOR,
        Err(status) => status,
    }
}

/// A function of a program that is its own monitor, called after each report. It returns normally: no exception, no
/// longjmp(3), no pthread_exit(3).
///
/// It runs in a process of its own, a fork of the monitor that ends when it returns, at the lowest priority (nice(2), 19).
/// It may take up to ten minutes, upload the files or move them away. What it changes in memory is lost. On Windows and
/// macOS, and in a monitor that is minidumper's server, it is called in a thread of the monitor.
///
/// `report`: what was written; it exists during the call. `user_data`: what was given with the function.
pub type cm_report_callback = Option<unsafe extern "C" fn(report: *const cm_report, user_data: *mut c_void)>;

/// Sets the function that the monitor calls after each report; see `cm_report_callback`. Called again, it replaces the
/// function. In a process that is not a monitor it has no effect.
///
/// `callback`: NULL for none. `user_data`: passed on to it, never looked at; valid in forks of this process.
/// Returns `CM_OK`. Threads: any, but not while `cm_run_monitor` serves in another one. Signal handlers: no. Before
/// `cm_install`: yes; before `cm_run_monitor`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_report_callback(callback: cm_report_callback, user_data: *mut c_void) -> cm_status {
    guard::status(|| {
        let user_data = UserData(user_data);
        callbacks::set_report_callback(callback.map(|callback| {
            let call = move |report: &Report| {
                // SAFETY: the program has promised that it may be called; the report lives through the call.
                unsafe { callback(&cm_report::new(report), user_data.get()) }
            };
            Arc::new(call) as callbacks::ReportCallback
        }));
        Ok(())
    })
}

/// A level of a log line: something failed.
pub const CM_LOG_ERROR: u32 = 1;
/// A level of a log line: something needs attention.
pub const CM_LOG_WARNING: u32 = 2;
/// A level of a log line: what happens in the ordinary course.
pub const CM_LOG_INFO: u32 = 3;
/// A level of a log line: details. A monitor logs its own with `--log-level debug` only.
pub const CM_LOG_DEBUG: u32 = 4;

/// A function of a program that is its own monitor, called for each line of the monitor's log. It is called by the
/// monitor, which waits for it, and by the processes that write its dumps. It returns normally: no exception, no
/// longjmp(3), no pthread_exit(3).
///
/// `level`: one of `CM_LOG_ERROR` to `CM_LOG_DEBUG`. `message`: UTF-8 without a line's end; belongs to the library and
/// exists during the call. `user_data`: what was given with the function.
pub type cm_log_callback = Option<unsafe extern "C" fn(level: u32, message: *const c_char, user_data: *mut c_void)>;

/// Sets the function that the monitor calls for each line of its log, besides its file; see `cm_log_callback`. Called
/// again, it replaces the function. In a process that is not a monitor it has no effect.
///
/// `callback`: NULL for none. `user_data`: passed on to it, never looked at; valid in forks of this process.
/// Returns `CM_OK`. Threads: any, but not while `cm_run_monitor` serves in another one. Signal handlers: no. Before
/// `cm_install`: yes; before `cm_run_monitor`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_set_log_callback(callback: cm_log_callback, user_data: *mut c_void) -> cm_status {
    guard::status(|| {
        let user_data = UserData(user_data);
        callbacks::set_log_callback(callback.map(|callback| {
            let call = move |level: u32, message: &str| {
                let message = CString::new(message.replace('\0', "\u{fffd}")).unwrap_or_default();
                // SAFETY: the program has promised that it may be called; the string lives through the call.
                unsafe { callback(level, message.as_ptr(), user_data.get()) }
            };
            Arc::new(call) as callbacks::LogCallback
        }));
        Ok(())
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
