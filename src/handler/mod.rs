//! Everything that runs in a signal handler.
//!
//! `core` and `libc` only: reads of data frozen at install and raw system calls; no allocation, no lock, no
//! formatting. [`arm`] and [`disarm`] are for normal context; every other function here may be called by a signal
//! handler and is called by nothing else.
//!
//! The way of a crash: `front` decides whose business it is, where needed by what the handler before us makes of it
//! (`ask`), and which thread reports (`claim`). It passes the signal to crash-handler, which builds the crash context
//! and calls `report`; that corrects the context and asks the monitor for a dump over `link`; `front` then puts the
//! dispositions back that were there before us and lets the signal come again.

#![allow(unsafe_code)] // System calls and the kernel's pointers; every block says why it is sound.

mod ask;
mod claim;
mod front;
mod frozen;
mod link;
mod pass_on;
mod report;
mod runtime_code;

pub(crate) use frozen::{CrashLink, Frozen};
pub(crate) use runtime_code::{RANGES_MAX, add as add_runtime_code};

use crash_handler::{CrashEventResult, CrashHandler};

use crate::sys::signals::{self, Dispositions};

/// The attached handlers. Held by the installation.
pub(crate) struct Armed {
    inner: CrashHandler,
}

/// Why the handlers could not be attached.
#[derive(Debug)]
pub(crate) enum ArmError {
    /// Another copy of crash-handler, or of this library, holds crash-handler's one place in this process.
    Attach(crash_handler::Error),
    /// A disposition could not be set.
    Sigaction(crate::sys::raw::Errno),
    /// The dispositions of these signals stayed as they were, although sigaction(2) has reported success.
    Refused(Vec<i32>),
}

impl std::fmt::Display for ArmError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Attach(error) => write!(f, "{error}: is another copy of crash-handler in use in this process?"),
            Self::Sigaction(errno) => write!(f, "sigaction: {errno}"),
            Self::Refused(signals) => write!(
                f,
                "somebody keeps the handlers of signals {signals:?} to themselves: is this a sanitizer with \
                 handle_segv=2 or allow_user_segv_handler=0?"
            ),
        }
    }
}

/// Attaches crash-handler and puts the front handler before it. Not for signal handlers.
///
/// `frozen` is what the handler goes by from now on. It is never freed: a crash that runs while the host disarms
/// itself may still read it.
pub(crate) fn arm(frozen: Frozen) -> Result<Armed, ArmError> {
    let monitor_pid = frozen.monitor_pid;
    let frozen: &'static mut Frozen = Box::leak(Box::new(frozen));
    frozen.previous = Dispositions::current();
    frozen.older = front::frozen();
    if let Some(older) = frozen.older {
        // Somebody has put our handler back after we had disarmed: that is as if nobody had.
        frozen.previous.replace(&older.below, |signal| signals::is_handled_by(signal, front::handle));
    }
    frozen.below = frozen.previous;
    if let Some(older) = frozen.older {
        frozen.below.replace(&older.below, front::is_covered);
    }
    let frozen: &'static Frozen = frozen;
    // SAFETY: the callback is this module's, written for a compromised process: it takes no lock and allocates nothing.
    let event = unsafe {
        crash_handler::make_crash_event(move |context| {
            report::report(frozen, context);
            // Not handled: what happens to the process next is for `front` and the handlers before us to decide.
            CrashEventResult::Handled(false)
        })
    };
    let inner = CrashHandler::attach(event).map_err(ArmError::Attach)?;
    // crash-handler lets exactly this process trace us while a crash is handled; without a pid it would let any.
    inner.set_ptracer(Some(monitor_pid as u32));
    front::publish(frozen, signals::get(libc::SIGSEGV).sa_sigaction);
    let armed = Armed { inner };
    // Asked for: a sanitizer's sigaction says that it has done what it has not.
    let set = signals::handle_crash_signals(front::handle).map_err(ArmError::Sigaction);
    match set.and(if taken_over().is_empty() { Ok(()) } else { Err(ArmError::Refused(taken_over())) }) {
        Ok(()) => Ok(armed),
        Err(error) => {
            disarm(armed);
            Err(error)
        }
    }
}

/// The crash signals whose handler is not ours any more. Not for signal handlers.
pub(crate) fn taken_over() -> Vec<i32> {
    signals::CRASH_SIGNALS.into_iter().filter(|signal| !signals::is_handled_by(*signal, front::handle)).collect()
}

/// Puts back the dispositions that were there before [`arm`], where ours are still the installed ones. Not for signal
/// handlers.
pub(crate) fn disarm(armed: Armed) {
    let Some(frozen) = front::frozen() else { return };
    let now = Dispositions::current();
    front::retire(frozen, &now);
    // crash-handler puts back all six as they were before it, also where somebody has set another one since.
    armed.inner.detach();
    now.restore(front::handle, &frozen.previous);
}
