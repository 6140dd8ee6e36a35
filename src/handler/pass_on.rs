//! Calls other handlers: crash-handler's, and those that were there before us.

use std::ffi::c_void;

use crate::sys::signals::{self, Handler};

/// Whether a disposition is a handler's.
pub(super) fn has_handler(action: &libc::sigaction) -> bool {
    !matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
}

/// Calls another handler as the kernel would: with the signals blocked that it asked for, and not all as in ours.
pub(super) fn as_kernel(action: &libc::sigaction, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's context for this signal, with the mask that the thread had.
    let before = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_sigmask };
    let ours = signals::block_as(action, signal, before);
    to(action.sa_sigaction, signal, info, context);
    signals::set_mask(ours);
}

/// Calls another handler, crash-handler's or one that was there before us.
pub(super) fn to(handler: usize, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: a handler's address, as sigaction(2) gave it. One set without SA_SIGINFO ignores the further arguments.
    let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
    handler(signal, info, context);
}
