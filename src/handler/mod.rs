//! Everything that runs in a signal handler.
//!
//! The handler reads what was frozen when it was armed, in pages that are read-only since, and makes raw system calls. It
//! does not allocate, lock, format or use thread-locals, errno included. The one exception is libc's sigaction(2) where a
//! library interposes it (see [`redeliver::set_disposition`]). The functions of this file are for normal context; each other
//! file says which of its functions a signal handler may call.
//!
//! The steps of a crash: `entry` clears the processor flags that compiled code does not expect, and asks `decision` who gets
//! the signal. `previous_first` calls a runtime's handler that has to see a fault before ours. `claim` decides which thread
//! reports. `crash_context` describes the crash, and `report` requests the dump over a `link`. Then the previous dispositions
//! are put back, and `redeliver` has the kernel deliver the signal again.

#![allow(unsafe_code)] // System calls and the kernel's pointers; every block says why it is sound.

mod claim;
mod crash_context;
mod decision;
mod entry;
mod event;
mod frozen;
mod link;
mod previous_first;
mod redeliver;
mod report;
mod runtime_code;

pub(crate) use frozen::{CrashLink, HandlerConfig};
pub(crate) use runtime_code::RANGES_MAX;

use crate::sys::raw::Deadline;
use crate::sys::sealed::Pages;
use crate::sys::signals::{self, CRASH_SIGNALS, Dispositions, Mask};
use entry::entry;
use frozen::{Copies, Handlers, Reader};

/// The pages with the handlers' frozen data. The process has one of these, which its owner locks while it arms or disarms.
#[derive(Default)]
pub(crate) struct Memory {
    copies: Copies,
    runtime_code: Option<Pages>,
}

/// The handlers are set. Held by the installation.
pub(crate) struct Armed(());

/// Why the handlers could not be set.
#[derive(Debug)]
pub(crate) enum ArmError {
    /// There is no memory for the handler's frozen data.
    Freeze(std::io::Error),
    /// A disposition could not be set.
    Sigaction(crate::sys::raw::Errno),
    /// The dispositions of these signals stayed as they were, although sigaction(2) has reported success.
    Refused(Vec<i32>),
}

impl std::fmt::Display for ArmError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Freeze(error) => write!(f, "no read-only pages for the handler: {error}"),
            Self::Sigaction(errno) => write!(f, "sigaction: {errno}"),
            Self::Refused(signals) => write!(
                f,
                "another library keeps the handlers of signals {signals:?}: is this a sanitizer with \
                 handle_segv=2 or allow_user_segv_handler=0?"
            ),
        }
    }
}

impl Memory {
    pub(crate) const fn new() -> Self {
        Self { copies: Copies::new(), runtime_code: None }
    }

    /// Installs our handlers, or where they are installed, has them use `config` from now on, without a moment in between at
    /// which a crash would be missed. After an error none is installed. Not for signal handlers.
    pub(crate) fn arm(&mut self, config: &HandlerConfig<'_>) -> Result<Armed, ArmError> {
        let mut handlers = handlers_before_us();
        entry::publish(frozen::freeze(&mut self.copies, config, handlers).map_err(ArmError::Freeze)?);
        for signal in CRASH_SIGNALS {
            if let Err(errno) = signals::install(signal, entry) {
                give_back(&handlers);
                return Err(ArmError::Sigaction(errno));
            }
        }
        // Asked for: a sanitizer's sigaction says that it has done what it has not.
        let replaced = replaced_signals();
        if !replaced.is_empty() {
            give_back(&handlers);
            return Err(ArmError::Refused(replaced));
        }
        let interposed = signals_where(|signal| !signals::kernel_calls(signal, entry));
        if handlers.interposed != interposed {
            handlers.interposed = interposed;
            match frozen::freeze(&mut self.copies, config, handlers) {
                Ok(sealed) => entry::publish(sealed),
                Err(error) => {
                    give_back(&handlers);
                    return Err(ArmError::Freeze(error));
                }
            }
        }
        claim::finish(Deadline::after(config.deadline));
        Ok(Armed(()))
    }

    /// Faults in `begin..end` are a runtime's own business; false where there is no room. Not for signal handlers.
    pub(crate) fn add_runtime_code(&mut self, begin: usize, end: usize) -> std::io::Result<bool> {
        runtime_code::add(&mut self.runtime_code, begin, end)
    }
}

/// The crash signals whose handler is not ours any more. Not for signal handlers.
pub(crate) fn replaced_signals() -> Vec<i32> {
    CRASH_SIGNALS.into_iter().filter(|signal| !signals::libc_get(*signal).calls(entry)).collect()
}

/// Puts back the dispositions that were there before [`Memory::arm`], where ours are still the installed ones. Not for signal
/// handlers.
pub(crate) fn disarm(_armed: Armed) {
    if let Some(frozen) = Reader::enter() {
        give_back(&frozen.handlers);
        claim::finish(Deadline::after(frozen.deadline));
    }
}

fn give_back(handlers: &Handlers) {
    let is_ours = |signal: i32| signals::libc_get(signal).calls(entry);
    let chains_further = |signal| handlers.previous.of(signal).handler != handlers.next_in_chain.of(signal).handler;
    entry::retire(signals_where(|signal| !is_ours(signal) || chains_further(signal)));
    for signal in CRASH_SIGNALS {
        if is_ours(signal) {
            // Where that fails our handler stays, and passes every signal on.
            let _ = signals::libc_set(signal, &handlers.previous.of(signal));
        }
    }
}

/// The crash signals for which `holds`.
fn signals_where(holds: impl Fn(i32) -> bool) -> Mask {
    CRASH_SIGNALS.into_iter().filter(|signal| holds(*signal)).fold(0, |mask, signal| mask | signals::bit(signal))
}

/// The dispositions before ours, by libc's view: where a library keeps the host's handlers behind those of a runtime (libjsig
/// does), the runtime's own are not ours to put back.
fn handlers_before_us() -> Handlers {
    let older = Reader::enter();
    let older = older.as_deref().map(|frozen| frozen.handlers);
    let (armed, interposed) = (entry::is_armed(), older.map_or(0, |older| older.interposed));
    let previous = Dispositions::each(|signal| {
        let now = current(signal);
        match older {
            Some(older) if now.calls(entry) && armed => older.previous.of(signal),
            // Other code has put our handler back after it was disarmed. What it passes signals on to counts as previous.
            Some(older) if now.calls(entry) => older.next_in_chain.of(signal),
            _ => now,
        }
    });
    let next_in_chain = Dispositions::each(|signal| match older {
        Some(older) if armed || entry::is_left_in_chain(signal) => older.next_in_chain.of(signal),
        _ => previous.of(signal),
    });
    Handlers { previous, next_in_chain, interposed }
}

/// A disposition by libc's view, in the kernel's structure where the two agree: that holds the restorer, without which a raw
/// rt_sigaction(2) could not put it back.
fn current(signal: i32) -> signals::Action {
    let by_libc = signals::libc_get(signal);
    signals::get(signal).ok().filter(|by_kernel| by_kernel.handler == by_libc.handler).unwrap_or(by_libc)
}
