//! What stands between Rust and C: results become statuses, and neither panics nor thread cancellation pass.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cancellation::not_cancelled;
use super::last_error;
use crate::error::{Error, Result, StaticError};
use crate::status::{CM_ERR_INTERNAL, CM_ERR_SYSTEM, CM_OK, cm_status};
#[cfg(all(target_os = "linux", feature = "allocator"))]
use crate::sys::reserve;

/// Without a reserve an allocation that fails ends the process.
#[cfg(not(all(target_os = "linux", feature = "allocator")))]
mod reserve {
    pub(super) fn has_room() -> bool {
        true
    }

    pub(super) fn give_up() {}
}

const NO_MEMORY: StaticError = StaticError::new(CM_ERR_SYSTEM, c"out of memory, and so are 16 other calls: try again");

/// Runs `body` and keeps its error, or its panic, for `cm_last_error`. What `body` allocates where there is no memory comes from
/// the reserve.
///
/// `AssertUnwindSafe`: what a panic leaves half done lives behind mutexes, which it poisons.
pub(super) fn guard<T>(body: impl FnOnce() -> Result<T>) -> std::result::Result<T, cm_status> {
    if !reserve::has_room() {
        last_error::set_static(NO_MEMORY.message);
        return Err(NO_MEMORY.status);
    }
    let result = not_cancelled(|| {
        let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            Err(Error::new(CM_ERR_INTERNAL, format!("defect in crash-monitor, please report it: {text}")))
        });
        result.map_err(|error| {
            last_error::set(error.status(), error.message());
            error.status()
        })
    });
    reserve::give_up();
    result
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
