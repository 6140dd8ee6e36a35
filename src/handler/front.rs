//! Our own handler, in front of crash-handler's: decides whose business a signal is, and lets it take its course
//! after the report.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::ask::{self, Answer};
use super::claim::{self, Claim};
use super::frozen::Frozen;
use super::pass_on;
use crate::crash_callback::CrashCallback;
use crate::sys::raw::{self, Deadline};
use crate::sys::signals::{self, Dispositions};

/// What the handler goes by, also after [`retire`]: a handler set over ours may still call it. Null before the first
/// installation.
static FROZEN: AtomicPtr<Frozen> = AtomicPtr::new(ptr::null_mut());
/// Whether crashes are to be reported.
static ARMED: AtomicBool = AtomicBool::new(false);
/// The signals, as bits, of [`is_covered`].
static COVERED: AtomicU64 = AtomicU64::new(0);
/// crash-handler's handler.
static INNER: AtomicUsize = AtomicUsize::new(0);

/// How long other crashing threads leave the process to the one that has reported: its signal says how it ends.
const WAIT_BEYOND_REPORT: Duration = Duration::from_secs(1);

/// Makes the handler act by `frozen`, with `inner` as crash-handler's handler. Not for signal handlers.
pub(super) fn publish(frozen: &'static Frozen, inner: usize) {
    INNER.store(inner, Ordering::SeqCst);
    claim::reset();
    FROZEN.store(ptr::from_ref(frozen).cast_mut(), Ordering::SeqCst);
    ARMED.store(true, Ordering::SeqCst);
}

/// Makes the handler report nothing any more; `now` are the dispositions. Not for signal handlers.
pub(super) fn retire(frozen: &Frozen, now: &Dispositions) {
    ARMED.store(false, Ordering::SeqCst);
    let stays = |signal: &i32| {
        let handler = |dispositions: &Dispositions| dispositions.of(*signal).sa_sigaction;
        handler(now) != handle as *const () as usize || handler(&frozen.previous) != handler(&frozen.below)
    };
    let covered = signals::CRASH_SIGNALS.into_iter().filter(stays).fold(0, |bits, signal| bits | 1 << signal);
    COVERED.store(covered, Ordering::SeqCst);
}

/// Whether a handler of this signal that was set over ours was left there by [`retire`], and may still pass on to ours. Not
/// for signal handlers.
pub(super) fn is_covered(signal: i32) -> bool {
    COVERED.load(Ordering::SeqCst) & 1 << signal != 0
}

/// What was published last.
pub(super) fn frozen() -> Option<&'static Frozen> {
    // SAFETY: only ever set to a leaked `Frozen`, which lives for ever.
    unsafe { FROZEN.load(Ordering::SeqCst).as_ref() }
}

/// The handler of all crash signals.
pub(super) extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = raw::errno();
    match frozen() {
        Some(frozen) if ARMED.load(Ordering::SeqCst) => decide(frozen, signal, info, context),
        Some(frozen) => leave_to_those_below(frozen, signal, info, context),
        None => come_again(signal, info, context),
    }
    raw::set_errno(errno);
}

fn decide(frozen: &Frozen, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    if was_ignored(frozen, signal, info) {
        return;
    }
    let mut after = frozen.previous;
    match ask::the_runtime(frozen, signal, info, context) {
        Answer::Dealt => return,
        // It has had its turn and would be asked the same for ever.
        Answer::Declined => after.set_default(signal),
        Answer::NotAsked => {}
    }
    match claim::claim() {
        Claim::First => {
            let before = Dispositions::current();
            let no_one_in_front = signals::is_called_by_kernel(signal, handle);
            // SAFETY: the pointers are what the kernel gave us for this signal.
            let vetoed = |callback: &CrashCallback| unsafe { callback.vetoes(signal, info.cast(), context) };
            if !frozen.callback.as_ref().is_some_and(vetoed) {
                pass_on::to(INNER.load(Ordering::SeqCst), signal, info, context);
            }
            // After the report crash-handler has put back what it saved. That is not always what belongs there:
            // somebody may have set another handler since, who then keeps it.
            before.restore(handle, &after);
            if no_one_in_front {
                // What has faulted may work by now, by another thread's doing, and would then not come again by itself.
                let _ = signals::queue(signal, info);
            }
            come_again(signal, info, context);
            claim::reported();
        }
        Claim::Other => {
            if claim::wait_for_report(Deadline::after(frozen.deadline + WAIT_BEYOND_REPORT)) {
                raw::sleep_until(Deadline::after(WAIT_BEYOND_REPORT));
                leave_to_those_below(frozen, signal, info, context);
            } else {
                signals::set_default(signal);
                come_again(signal, info, context);
            }
        }
        // We have reported and are called once more, by a handler set after ours.
        Claim::Again => leave_to_those_below(frozen, signal, info, context),
        // Without a dump, but not waiting for ever for a lock of crash-handler's whose owner is not in this process.
        Claim::OfAnotherProcess => {
            signals::set_default(signal);
            come_again(signal, info, context);
        }
    }
}

/// Whether the host had this signal ignored before us and it is one that can be: sent, not raised by the processor.
fn was_ignored(frozen: &Frozen, signal: i32, info: *const libc::siginfo_t) -> bool {
    // SAFETY: the kernel's siginfo for this signal.
    let sent = unsafe { (*info).si_code } <= 0;
    let previous = frozen.previous.of(signal).sa_sigaction;
    // To the first process of a name space the kernel gives no signal that it has no handler for (pid_namespaces(7)).
    // abort(3) ends it all the same.
    let spared = previous == libc::SIG_DFL && raw::getpid() == 1 && signal != libc::SIGABRT;
    sent && (previous == libc::SIG_IGN || spared)
}

/// Lets a signal take the course that it would have without us, for a handler that was set over ours and passes on.
fn leave_to_those_below(frozen: &Frozen, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let below = frozen.below.of(signal);
    // SAFETY: the kernel's siginfo for this signal.
    let sent = unsafe { (*info).si_code } <= 0;
    if pass_on::has_handler(&below) {
        pass_on::as_kernel(&below, signal, info, context);
    } else if below.sa_sigaction == libc::SIG_DFL || !sent {
        signals::set_default(signal);
        come_again(signal, info, context);
    }
}

/// Has the kernel deliver the signal again, as it was, when this handler returns. Without that, a signal that was sent
/// would be lost, and so would a trap, after which the program would simply go on.
fn come_again(signal: i32, info: *const libc::siginfo_t, context: *mut c_void) {
    // A sandbox may forbid it; a fault then comes again by itself, from the instruction that faulted.
    let _ = signals::queue_again(signal, info);
    // The first process of a name space is spared what was queued.
    if raw::getpid() == 1 && signal == libc::SIGTRAP {
        step_back(info, context);
    }
}

/// Has a thread that has run into a breakpoint instruction do so again: here the kernel has left it behind int3.
#[cfg(target_arch = "x86_64")]
fn step_back(info: *const libc::siginfo_t, context: *mut c_void) {
    // The code of a breakpoint instruction's SIGTRAP (include/uapi/asm-generic/siginfo.h).
    const SI_KERNEL: i32 = 0x80;
    // SAFETY: the kernel's siginfo for this signal.
    if unsafe { (*info).si_code } == SI_KERNEL {
        // SAFETY: the kernel's context for this signal.
        unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] -= 1 };
    }
}

/// Has a thread that has run into a breakpoint instruction do so again: here the kernel has left it at brk.
#[cfg(target_arch = "aarch64")]
fn step_back(_info: *const libc::siginfo_t, _context: *mut c_void) {}
