//! Our own handler, in front of crash-handler's: decides whose business a signal is, and lets it take its course
//! after the report.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::frozen::{Frozen, Strategy};
use super::runtime_code;
use crate::sys::raw::{self, Deadline};
use crate::sys::signals::{self, Dispositions, Handler};

/// What the handler goes by; null while the process is not armed.
static FROZEN: AtomicPtr<Frozen> = AtomicPtr::new(ptr::null_mut());
/// crash-handler's handler.
static INNER: AtomicUsize = AtomicUsize::new(0);
/// Who reports: pid in the upper half, thread id in the lower; 0 for nobody. With the pid, because a forked child
/// inherits the value and a vforked one shares the memory it is in.
static REPORTER: AtomicU64 = AtomicU64::new(0);

/// How much longer than the reporter's own deadline another crashing thread waits for the process to end.
const WAIT_BEYOND_DEADLINE: Duration = Duration::from_secs(1);

/// Makes the handler act by `frozen`, with `inner` as crash-handler's handler. Not for signal handlers.
pub(super) fn publish(frozen: &'static Frozen, inner: usize) {
    INNER.store(inner, Ordering::SeqCst);
    REPORTER.store(0, Ordering::SeqCst);
    FROZEN.store(ptr::from_ref(frozen).cast_mut(), Ordering::SeqCst);
}

/// Makes the handler pass everything on; gives the dispositions that were there before it. Not for signal handlers.
pub(super) fn unpublish() -> Option<Dispositions> {
    let frozen = FROZEN.swap(ptr::null_mut(), Ordering::SeqCst);
    // SAFETY: only ever set to a leaked `Frozen`, which lives for ever.
    unsafe { frozen.as_ref() }.map(|frozen| frozen.previous)
}

/// The handler of all crash signals.
pub(super) extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = raw::errno();
    // SAFETY: as in `unpublish`.
    match unsafe { FROZEN.load(Ordering::SeqCst).as_ref() } {
        Some(frozen) => decide(frozen, signal, info, context),
        // Disarmed while this signal was on its way: it comes again, to the handlers that were put back.
        None => come_again(signal, info),
    }
    raw::set_errno(errno);
}

fn decide(frozen: &Frozen, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    if was_ignored(frozen, signal, info) || is_the_runtimes(frozen, signal, info, context) {
        return;
    }
    match claim() {
        Claim::First => {
            let before = Dispositions::current();
            if !frozen.callback.is_some_and(|callback| callback.vetoes(signal, info, context)) {
                pass_on(INNER.load(Ordering::SeqCst), signal, info, context);
            }
            // After the report crash-handler has put back what it saved. That is not always what belongs there:
            // somebody may have set another handler since, who then keeps it.
            before.restore(handle, &frozen.previous);
            come_again(signal, info);
        }
        Claim::Other => {
            raw::sleep_until(Deadline::after(frozen.deadline + WAIT_BEYOND_DEADLINE));
            signals::set_default(signal);
            come_again(signal, info);
        }
        Claim::Again => {
            // We have reported and are called once more: a handler set after ours calls us as its predecessor, and
            // would do so for ever.
            signals::set_default(signal);
            come_again(signal, info);
        }
    }
}

/// Whether the host had this signal ignored before us and it is one that can be: sent, not raised by the processor.
fn was_ignored(frozen: &Frozen, signal: i32, info: *const libc::siginfo_t) -> bool {
    // SAFETY: the kernel's siginfo for this signal.
    let sent = unsafe { (*info).si_code } <= 0;
    sent && frozen.previous.of(signal).sa_sigaction == libc::SIG_IGN
}

/// Whether a language runtime's own handler, which was there before us, has dealt with the fault: for one in the code it
/// gave us it always has; with [`Strategy::PreviousFirst`] it has where it made the thread go on elsewhere.
fn is_the_runtimes(frozen: &Frozen, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) -> bool {
    // SAFETY: the kernel's siginfo for this signal.
    let raised = unsafe { (*info).si_code } > 0 && matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE);
    let previous = frozen.previous.of(signal);
    let has_handler = !matches!(previous.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN);
    if !raised || !has_handler {
        return false;
    }
    let position = Position::of(context);
    if runtime_code::contains(position.instruction) {
        pass_on(previous.sa_sigaction, signal, info, context);
        return true;
    }
    if frozen.strategy == Strategy::PreviousFirst {
        pass_on(previous.sa_sigaction, signal, info, context);
        return Position::of(context) != position;
    }
    false
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

enum Claim {
    /// This thread reports.
    First,
    /// Another thread of this process is reporting.
    Other,
    /// This thread has reported already.
    Again,
}

fn claim() -> Claim {
    let pid = raw::getpid();
    let me = (pid as u64) << 32 | raw::gettid() as u64;
    let mut current = REPORTER.load(Ordering::SeqCst);
    loop {
        if current == me {
            return Claim::Again;
        }
        if current >> 32 == pid as u64 {
            return Claim::Other;
        }
        match REPORTER.compare_exchange(current, me, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return Claim::First,
            Err(now) => current = now,
        }
    }
}

/// Calls another handler, crash-handler's or one that was there before us.
fn pass_on(handler: usize, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: a handler's address, as sigaction(2) gave it. One set without SA_SIGINFO ignores the further arguments.
    let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
    handler(signal, info, context);
}

/// Has the kernel deliver the signal again, as it was, when this handler returns. Without that, a signal that was sent
/// would be lost, and so would a trap, after which the program would simply go on.
fn come_again(signal: i32, info: *const libc::siginfo_t) {
    // A sandbox may forbid it; a fault then comes again by itself, from the instruction that faulted.
    let _ = signals::queue_again(signal, info);
}
