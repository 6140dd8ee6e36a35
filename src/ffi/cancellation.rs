//! Thread cancellation stays outside.

#[cfg(all(unix, not(target_os = "android")))]
use std::ffi::c_int;

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
