//! What stands between Rust and C: results become statuses, and neither panics nor thread cancellation pass.

#[cfg(all(unix, not(target_os = "android")))]
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::last_error;
use crate::error::{Error, Result, StaticError};
use crate::status::{CM_ERR_INTERNAL, CM_OK, cm_status};

/// Runs `body` and keeps its error, or its panic, for `cm_last_error`.
///
/// `AssertUnwindSafe`: what a panic leaves half done lives behind mutexes, which it poisons.
pub(super) fn guard<T>(body: impl FnOnce() -> Result<T>) -> std::result::Result<T, cm_status> {
    not_cancelled(|| {
        let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            Err(Error::new(CM_ERR_INTERNAL, format!("defect in crash-monitor, please report it: {text}")))
        });
        result.map_err(|error| {
            let status = error.status();
            last_error::set(error.message());
            status
        })
    })
}

/// [`guard`] for the many functions whose only result is a status.
pub(super) fn status(body: impl FnOnce() -> Result<()>) -> cm_status {
    guard(body).map_or_else(|status| status, |()| CM_OK)
}

/// [`status`] for functions that a signal handler may call: they do not panic, have no cancellation point, and neither a
/// success nor an error needs memory.
pub(super) fn signal_safe(body: impl FnOnce() -> std::result::Result<(), StaticError>) -> cm_status {
    match body() {
        Ok(()) => CM_OK,
        Err(error) => {
            last_error::set_static(error.message);
            error.status
        }
    }
}

/// Runs `body` with cancellation of the calling thread disabled. glibc cancels a thread by unwinding its stack as an
/// exception does, and a process whose Rust frames are unwound that way is aborted. `body` must not panic.
///
/// Neither call is a cancellation point (pthreads(7)): a request that is pending then is acted on in the caller's own code.
#[cfg(all(unix, not(target_os = "android")))]
pub(super) fn not_cancelled<T>(body: impl FnOnce() -> T) -> T {
    let before = set_cancel_state(PTHREAD_CANCEL_DISABLE);
    let result = body();
    set_cancel_state(before);
    result
}

/// Windows and Android have no pthread_cancel.
#[cfg(not(all(unix, not(target_os = "android"))))]
pub(super) fn not_cancelled<T>(body: impl FnOnce() -> T) -> T {
    body()
}

/// As in the system's pthread.h; the libc package has neither this nor the function for Linux.
#[cfg(all(unix, not(target_os = "android")))]
const PTHREAD_CANCEL_DISABLE: c_int = if cfg!(target_vendor = "apple") { 0 } else { 1 };

/// Gives the state before.
#[cfg(all(unix, not(target_os = "android")))]
fn set_cancel_state(state: c_int) -> c_int {
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    let mut before = 0;
    // SAFETY: `before` is writable; the function fails for an unknown state alone, and this one is known.
    unsafe { pthread_setcancelstate(state, &mut before) };
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_with_its_text() {
        assert_eq!(status(|| panic!("number {}", 7)), CM_ERR_INTERNAL);
        // SAFETY: the pointer is valid until this thread's next call.
        let message = unsafe { std::ffi::CStr::from_ptr(super::super::cm_last_error()) };
        assert!(message.to_str().unwrap().ends_with("please report it: number 7"));
    }
}
