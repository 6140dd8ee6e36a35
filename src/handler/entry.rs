//! The handler of all crash signals: asks [`super::decision`] what to do, and does it. Everything here but [`publish`],
//! [`retire`] and [`is_left_in_chain`] may be called by a signal handler.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::claim;
use super::decision::{self, Course, Disposition, Owner, Part, State};
use super::event::Event;
use super::frozen::{Frozen, Reader, Sealed};
use super::{previous_first, redeliver, report};
use crate::crash_callback::CrashCallback;
use crate::sys::raw::{self, Deadline};
use crate::sys::signals::{self, Action, CRASH_SIGNALS, Mask};

/// Whether crashes are to be reported.
static ARMED: AtomicBool = AtomicBool::new(false);
/// The signals of [`is_left_in_chain`].
static LEFT_IN_CHAIN: AtomicU64 = AtomicU64::new(0);

/// How long other crashing threads leave the process to the one that has reported: its signal says how it ends.
const WAIT_BEYOND_REPORT: Duration = Duration::from_secs(1);

/// Makes the handler act by a new copy. Not for signal handlers.
pub(super) fn publish(sealed: Sealed) {
    claim::forget_reported();
    sealed.publish();
    ARMED.store(true, Ordering::SeqCst);
}

/// Makes the handler report nothing any more; `left_in_chain` are the signals whose handlers may still call ours. Not for
/// signal handlers.
pub(super) fn retire(left_in_chain: Mask) {
    ARMED.store(false, Ordering::SeqCst);
    LEFT_IN_CHAIN.store(left_in_chain, Ordering::SeqCst);
}

pub(super) fn is_armed() -> bool {
    ARMED.load(Ordering::SeqCst)
}

/// Whether a handler of this signal that was set over ours was left there by [`retire`], and may still pass on to ours. Not
/// for signal handlers.
pub(super) fn is_left_in_chain(signal: i32) -> bool {
    LEFT_IN_CHAIN.load(Ordering::SeqCst) & signals::bit(signal) != 0
}

/// What the kernel calls. A thread may crash with the alignment check on or the direction flag set, of which the kernel
/// clears only the latter (`handle_signal` in arch/x86/kernel/signal.c): compiled code expects both off, and memcpy would
/// fault. The kernel has reset the floating-point state.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) extern "C" fn entry(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    const ALIGNMENT_CHECK: i32 = 1 << 18;
    std::arch::naked_asm!(
        "cld",
        "pushfq",
        "and qword ptr [rsp], {all_but}",
        "popfq",
        "jmp {handle}",
        all_but = const !ALIGNMENT_CHECK,
        handle = sym handle,
    )
}

/// What the kernel calls. AArch64 has no such flags for programs to set.
#[cfg(target_arch = "aarch64")]
pub(super) extern "C" fn entry(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    handle(signal, info, context);
}

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let event = Event { signal, info, context };
    // Set only once there is a copy; without one it is as if we were not there.
    let Some(frozen) = Reader::enter() else { return redeliver::by_default(None, &event) };
    let state = if is_armed() { State::Armed } else { State::Disarmed };
    let previous = disposition_of(&frozen.handlers.previous.of(signal));
    let spared = raw::getpid() == 1 && signal != libc::SIGABRT;
    let first = previous_first::applies(&frozen, &event);
    match decision::owner(state, event.origin(), previous, spared, first) {
        Owner::Nobody => {}
        Owner::Us => crash(&frozen, &event, frozen.handlers.previous.of(signal)),
        Owner::PreviousHandler => {
            if !previous_first::call(&frozen, &event) {
                // It has had its turn and would be asked the same for ever.
                crash(&frozen, &event, Action::DEFAULT);
            }
        }
        Owner::NextInChain => {
            previous_first::note_passed_back(&event);
            let next = frozen.handlers.next_in_chain.of(signal);
            if next.is_handler() {
                event.call(&next);
            }
        }
        Owner::PassedOn => pass_on(&frozen, &event),
    }
}

fn disposition_of(action: &Action) -> Disposition {
    match action.handler {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Handler,
    }
}

/// A crash; the signal comes again to `next`.
fn crash(frozen: &Frozen, event: &Event, next: Action) {
    match decision::part(claim::claim()) {
        Part::Report => report_and_redeliver(frozen, event, next),
        Part::Wait => {
            if claim::wait_for_report(Deadline::after(frozen.deadline + WAIT_BEYOND_REPORT)) {
                raw::sleep_until(Deadline::after(WAIT_BEYOND_REPORT));
                pass_on(frozen, event);
            } else {
                redeliver::by_default(Some(frozen), event);
            }
        }
        Part::PassOn => pass_on(frozen, event),
        Part::End => redeliver::by_default(Some(frozen), event),
    }
}

fn report_and_redeliver(frozen: &Frozen, event: &Event, next: Action) {
    let kernel_calls_us = signals::kernel_calls(event.signal, entry);
    let ends_by_default = decision::ends_by_default(disposition_of(&next), event.origin(), kernel_calls_us);
    // SAFETY: the pointers are what the kernel gave us for this signal.
    let vetoed = |callback: &CrashCallback| unsafe { callback.vetoes(event.signal, event.info.cast(), event.context) };
    if !frozen.callback.as_ref().is_some_and(vetoed) {
        report::report(frozen, event, ends_by_default);
    }
    let given_back = give_back_dispositions(frozen, event.signal, &next);
    // Before anything that may not come back: the next handler may leave ours by a jump.
    claim::reported();
    if given_back {
        redeliver::again(event, kernel_calls_us || !event.recurs());
    } else if next.is_handler() {
        // A sandbox keeps our handler in place. Called by it, the next one has its turn all the same.
        event.call(&next);
    } else {
        redeliver::by_default(Some(frozen), event);
    }
}

/// Gives each crash signal that is still ours back to whom it belonged to, `signal` to `next`. Somebody may have set another
/// handler over ours since, who keeps it. False where that is refused for `signal`.
fn give_back_dispositions(frozen: &Frozen, signal: i32, next: &Action) -> bool {
    let mut done = true;
    for each in CRASH_SIGNALS {
        let action = if each == signal { *next } else { frozen.handlers.previous.of(each) };
        if is_ours(frozen, each) && !redeliver::set_disposition(Some(frozen), each, &action) {
            done &= each != signal;
        }
    }
    done
}

/// Whether our handler is the one of this signal, for the kernel or for a library between it and us. Where a sandbox refuses
/// to tell, it is.
fn is_ours(frozen: &Frozen, signal: i32) -> bool {
    if frozen.handlers.interposed & signals::bit(signal) != 0 {
        return signals::libc_get(signal).calls(entry);
    }
    signals::get(signal).map_or(true, |action| action.calls(entry))
}

/// Lets a signal take the course that it would have without us.
fn pass_on(frozen: &Frozen, event: &Event) {
    let action = frozen.handlers.next_in_chain.of(event.signal);
    match decision::course(disposition_of(&action), event.origin()) {
        Course::CallHandler => event.call(&action),
        Course::End => redeliver::by_default(Some(frozen), event),
        Course::GoOn => {}
    }
}
