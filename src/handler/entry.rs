//! The handler of all crash signals: it asks [`super::decision`] what to do, and does it.
//!
//! Signal safety: [`publish`], [`retire`] and [`is_left_in_chain`] are for normal context; a signal handler may call the rest.

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

/// How long other crashing threads wait after a report: the reporting thread's signal is to end the process.
const WAIT_BEYOND_REPORT: Duration = Duration::from_secs(1);

/// Arms the handler with a new copy of the frozen data. Not for signal handlers.
pub(super) fn publish(sealed: Sealed) {
    claim::forget_reported();
    sealed.publish();
    ARMED.store(true, Ordering::SeqCst);
}

/// Disarms the handler, which passes signals on from now on. `left_in_chain` are the signals for which another handler may
/// still call ours. Not for signal handlers.
pub(super) fn retire(left_in_chain: Mask) {
    ARMED.store(false, Ordering::SeqCst);
    LEFT_IN_CHAIN.store(left_in_chain, Ordering::SeqCst);
}

pub(super) fn is_armed() -> bool {
    ARMED.load(Ordering::SeqCst)
}

/// Whether [`retire`] has left another handler of this signal in place, which may still pass it on to ours. Not for signal
/// handlers.
pub(super) fn is_left_in_chain(signal: i32) -> bool {
    LEFT_IN_CHAIN.load(Ordering::SeqCst) & signals::bit(signal) != 0
}

/// What the kernel calls. A thread may crash with the alignment check or the direction flag set. Compiled code expects both
/// clear, and memcpy would fault with the first; the kernel clears only the second (`handle_signal` in
/// arch/x86/kernel/signal.c). It has reset the floating-point state.
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
    // A copy is published before the handler is installed, so there always is one; without it there is nothing to report with.
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
                // Redelivered to it, the fault would come back to ours for ever.
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

/// Handles a crash. `next` is the disposition that the signal is redelivered to.
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
    let has_runtime = previous_first::has_runtime(frozen);
    let after = decision::after_report(disposition_of(&next), event.origin(), kernel_calls_us, has_runtime);
    // SAFETY: the pointers are what the kernel gave us for this signal.
    let vetoed = |callback: &CrashCallback| unsafe { callback.vetoes(event.signal, event.info.cast(), event.context) };
    if !frozen.callback.as_ref().is_some_and(vetoed) {
        report::report(frozen, event, after);
    }
    let given_back = give_back_dispositions(frozen, event.signal, &next);
    // First, because the next handler may leave ours by a jump (siglongjmp(3)).
    claim::reported();
    if given_back {
        redeliver::again(event, kernel_calls_us || !event.recurs());
    } else if next.is_handler() {
        // A sandbox refuses to replace our handler, so ours calls the next one.
        event.call(&next);
    } else {
        redeliver::by_default(Some(frozen), event);
    }
}

/// Puts back the previous disposition of each crash signal that still has our handler; for `signal` that is `next`. A handler
/// that was installed after ours stays. False where a sandbox refuses it for `signal`.
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

/// Whether this signal still has our handler, by the view of the kernel or of an interposed library. Where a sandbox refuses
/// to tell, it is taken to.
fn is_ours(frozen: &Frozen, signal: i32) -> bool {
    if frozen.handlers.interposed & signals::bit(signal) != 0 {
        return signals::libc_get(signal).calls(entry);
    }
    signals::get(signal).map_or(true, |action| action.calls(entry))
}

/// Has a signal do what it would do without our handler.
fn pass_on(frozen: &Frozen, event: &Event) {
    let action = frozen.handlers.next_in_chain.of(event.signal);
    match decision::course(disposition_of(&action), event.origin()) {
        Course::CallHandler => event.call(&action),
        Course::End => redeliver::by_default(Some(frozen), event),
        Course::GoOn => {}
    }
}
