//! Calling the previous handler before ours reports: it is a language runtime's, which handles some faults itself. Everything
//! here may be called by a signal handler.
//!
//! The previous handler may pass the signal on to the handler that it knows, which can be ours. To recognize that, the
//! signal's `uc_link` is marked while the previous handler runs.

use std::ffi::c_void;
use std::ptr;

use super::decision::{Origin, PreviousFirst};
use super::event::Event;
use super::frozen::Frozen;
use super::runtime_code;
use crate::config::Strategy;

/// Only their addresses are used, as marks in a signal's context.
static MARKS: [u8; 2] = [0; 2];

/// Whether the previous handler gets this signal first: a fault in code that `cm_add_runtime_code` has named, and with
/// [`Strategy::PreviousFirst`] any fault.
pub(super) fn applies(frozen: &Frozen, event: &Event) -> PreviousFirst {
    let fault = event.origin() == Origin::Raised && matches!(event.signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE);
    let has_previous = frozen.handlers.previous.of(event.signal).is_handler();
    if !fault || !has_previous || !(in_runtime(event) || frozen.strategy == Strategy::PreviousFirst) {
        return PreviousFirst::No;
    }
    // SAFETY: the kernel's context for this signal.
    let marked = unsafe { (*event.ucontext()).uc_link } == called_mark();
    if marked { PreviousFirst::PassedBack } else { PreviousFirst::Yes }
}

/// Whether the previous handlers may be a language runtime's.
pub(super) fn has_runtime(frozen: &Frozen) -> bool {
    frozen.strategy == Strategy::PreviousFirst || runtime_code::is_any()
}

/// Calls the previous handler. True where it has handled the fault: the thread continues at another place, or the fault was
/// in the runtime's code and the handler has not passed it back to ours.
pub(super) fn call(frozen: &Frozen, event: &Event) -> bool {
    // SAFETY: the kernel's context for this signal.
    let mark = unsafe { &raw mut (*event.ucontext()).uc_link };
    let (before, was_in_runtime) = (Position::of(event.context), in_runtime(event));
    // SAFETY: as above.
    unsafe { *mark = called_mark() };
    event.call(&frozen.handlers.previous.of(event.signal));
    // SAFETY: as above.
    let was_passed_back = unsafe { mark.replace(ptr::null_mut()) } == passed_back_mark();
    Position::of(event.context) != before || (was_in_runtime && !was_passed_back)
}

/// Notes that the previous handler, which was once installed over ours, has passed the signal back to ours.
pub(super) fn note_passed_back(event: &Event) {
    // SAFETY: the kernel's context for this signal.
    unsafe { (*event.ucontext()).uc_link = passed_back_mark() };
}

fn in_runtime(event: &Event) -> bool {
    runtime_code::contains(Position::of(event.context).instruction)
}

/// The mark of a signal for which the previous handler was called. The kernel sets `uc_link` to null and never reads it
/// (rt_sigreturn(2)).
fn called_mark() -> *mut libc::ucontext_t {
    (&raw const MARKS[0]).cast_mut().cast()
}

/// The mark of a signal that the previous handler has passed back to ours.
fn passed_back_mark() -> *mut libc::ucontext_t {
    (&raw const MARKS[1]).cast_mut().cast()
}

/// Where a thread continues when the handler returns.
#[derive(PartialEq, Eq)]
struct Position {
    instruction: usize,
    stack: usize,
}

impl Position {
    fn of(context: *const c_void) -> Self {
        // SAFETY: the kernel's context for this signal, which a handler may have changed but not taken away.
        let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
        #[cfg(target_arch = "x86_64")]
        let (instruction, stack) = (machine.gregs[libc::REG_RIP as usize], machine.gregs[libc::REG_RSP as usize]);
        #[cfg(target_arch = "aarch64")]
        let (instruction, stack) = (machine.pc, machine.sp);
        Self { instruction: instruction as usize, stack: stack as usize }
    }
}
