//! A signal as the kernel hands it to a handler. Everything here may be called by a signal handler.

use std::ffi::c_void;

use super::decision::Origin;
use crate::sys::signals::{self, Action, Handler};

/// The three arguments of a handler.
#[derive(Clone, Copy)]
pub(super) struct Event {
    pub signal: i32,
    pub info: *mut libc::siginfo_t,
    pub context: *mut c_void,
}

impl Event {
    /// `si_code`.
    pub(super) fn code(&self) -> i32 {
        // SAFETY: the kernel's siginfo for this signal.
        unsafe { (*self.info).si_code }
    }

    pub(super) fn origin(&self) -> Origin {
        if self.code() > 0 { Origin::Raised } else { Origin::Sent }
    }

    /// The kernel's context, which lives on this thread's stack until the handler returns.
    pub(super) fn ucontext(&self) -> *mut libc::ucontext_t {
        self.context.cast()
    }

    /// Whether the fault happens again by itself once the handler returns.
    pub(super) fn recurs(&self) -> bool {
        signals::recurs(self.signal, self.code())
    }

    /// Calls a handler as the kernel would: with the signals blocked that it asked for, and not all as in ours.
    pub(super) fn call(&self, action: &Action) {
        // SAFETY: the kernel's context for this signal, with the mask that the thread had.
        let before = unsafe { &(*self.ucontext()).uc_sigmask };
        let ours = signals::block_as(action, self.signal, before);
        // SAFETY: a handler's address, as sigaction(2) gave it. One set without SA_SIGINFO ignores the further arguments.
        let handler = unsafe { std::mem::transmute::<usize, Handler>(action.handler) };
        handler(self.signal, self.info, self.context);
        signals::set_mask(ours);
    }
}
