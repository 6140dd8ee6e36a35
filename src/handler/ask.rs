//! Asks the handler that was there before us, a language runtime's, whether a fault is its own business.

use std::ffi::c_void;
use std::ptr;

use super::frozen::Frozen;
use super::{pass_on, runtime_code};
use crate::config::Strategy;

/// Nobody reads these: their addresses tell [`being_asked`] and [`passed_back`] from all else.
static MARKS: [u8; 2] = [0; 2];

/// What a language runtime's own handler, which was there before us, has made of a fault.
pub(super) enum Answer {
    /// The fault was not one to ask it about.
    NotAsked,
    /// It was the runtime's own business.
    Dealt,
    /// It has left the thread where it was, or passed the fault back to us.
    Declined,
}

/// Has the handler before us look at a fault first: where it is in the code that a runtime gave us it is the runtime's;
/// with [`Strategy::PreviousFirst`] it is where that handler makes the thread go on elsewhere.
pub(super) fn the_runtime(frozen: &Frozen, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) -> Answer {
    // SAFETY: the kernel's siginfo for this signal.
    let raised = unsafe { (*info).si_code } > 0 && matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE);
    let previous = frozen.previous.of(signal);
    let position = Position::of(context);
    let in_runtime = runtime_code::contains(position.instruction);
    if !raised || !pass_on::has_handler(&previous) || !(in_runtime || frozen.strategy == Strategy::PreviousFirst) {
        return Answer::NotAsked;
    }
    // SAFETY: the kernel's context for this signal, which lives on this thread's stack until our handler returns.
    let mark = unsafe { &raw mut (*context.cast::<libc::ucontext_t>()).uc_link };
    // SAFETY: as above.
    if unsafe { *mark } == being_asked() {
        // The handler before us was set over ours once, and passes on to what was there before it: to us.
        // SAFETY: as above.
        unsafe { *mark = passed_back() };
        let below = frozen.below.of(signal);
        if pass_on::has_handler(&below) {
            pass_on::as_kernel(&below, signal, info, context);
        }
        return Answer::Dealt;
    }
    // SAFETY: as above.
    unsafe { *mark = being_asked() };
    pass_on::as_kernel(&previous, signal, info, context);
    // SAFETY: as above.
    let was_passed_back = unsafe { mark.replace(ptr::null_mut()) } == passed_back();
    let goes_on_elsewhere = Position::of(context) != position;
    if goes_on_elsewhere || (in_runtime && !was_passed_back) { Answer::Dealt } else { Answer::Declined }
}

/// In a signal context, which has no successor: the handler before us is looking at it. The kernel sets this member to
/// null and never reads it (rt_sigreturn(2)).
fn being_asked() -> *mut libc::ucontext_t {
    (&raw const MARKS[0]).cast_mut().cast()
}

/// As [`being_asked`], and it has passed the signal back to us.
fn passed_back() -> *mut libc::ucontext_t {
    (&raw const MARKS[1]).cast_mut().cast()
}

/// Where a thread goes on when its handler returns.
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
