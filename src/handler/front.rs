//! Our own handler, in front of crash-handler's: decides whose business a signal is, and lets it take its course
//! after the report.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::frozen::{Frozen, Strategy};
use super::runtime_code;
use crate::sys::raw::{self, Deadline};
use crate::sys::signals::{self, Dispositions, Handler};

/// What the handler goes by, also after [`retire`]: a handler set over ours may still call it. Null before the first
/// installation.
static FROZEN: AtomicPtr<Frozen> = AtomicPtr::new(ptr::null_mut());
/// Whether crashes are to be reported.
static ARMED: AtomicBool = AtomicBool::new(false);
/// The signals, as bits, of [`is_covered`].
static COVERED: AtomicU64 = AtomicU64::new(0);
/// crash-handler's handler.
static INNER: AtomicUsize = AtomicUsize::new(0);
/// Who reports: pid in the upper half, thread id in the lower; 0 for nobody. With the pid, because a forked child
/// inherits the value and a vforked one shares the memory it is in.
static REPORTER: AtomicU64 = AtomicU64::new(0);
/// The process whose report is done; others of its threads wait on this word.
static REPORTED: AtomicU32 = AtomicU32::new(0);

/// How long other crashing threads leave the process to the one that has reported: its signal says how it ends.
const WAIT_BEYOND_REPORT: Duration = Duration::from_secs(1);

/// Makes the handler act by `frozen`, with `inner` as crash-handler's handler. Not for signal handlers.
pub(super) fn publish(frozen: &'static Frozen, inner: usize) {
    INNER.store(inner, Ordering::SeqCst);
    REPORTER.store(0, Ordering::SeqCst);
    REPORTED.store(0, Ordering::SeqCst);
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
    match ask_the_runtime(frozen, signal, info, context) {
        Answer::Dealt => return,
        // It has had its turn and would be asked the same for ever.
        Answer::Declined => after.set_default(signal),
        Answer::NotAsked => {}
    }
    match claim() {
        Claim::First => {
            let before = Dispositions::current();
            if !frozen.callback.is_some_and(|callback| callback.vetoes(signal, info, context)) {
                pass_on(INNER.load(Ordering::SeqCst), signal, info, context);
            }
            // After the report crash-handler has put back what it saved. That is not always what belongs there:
            // somebody may have set another handler since, who then keeps it.
            before.restore(handle, &after);
            come_again(signal, info, context);
            REPORTED.store(raw::getpid() as u32, Ordering::SeqCst);
            raw::wake_all(&REPORTED);
        }
        Claim::Other => {
            if wait_for_report(Deadline::after(frozen.deadline + WAIT_BEYOND_REPORT)) {
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

/// Waits until this process's report is done; false where that takes too long.
fn wait_for_report(deadline: Deadline) -> bool {
    let pid = raw::getpid() as u32;
    loop {
        let reported = REPORTED.load(Ordering::SeqCst);
        if reported == pid {
            return true;
        }
        if raw::wait_for_change(&REPORTED, reported, deadline).is_err() {
            return false;
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

/// What a language runtime's own handler, which was there before us, has made of a fault.
enum Answer {
    /// The fault was not one to ask it about.
    NotAsked,
    /// It was the runtime's own business.
    Dealt,
    /// It has left the thread where it was, or passed the fault back to us.
    Declined,
}

/// Has the handler before us look at a fault first: where it is in the code that a runtime gave us it is the runtime's;
/// with [`Strategy::PreviousFirst`] it is where that handler makes the thread go on elsewhere.
fn ask_the_runtime(frozen: &Frozen, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) -> Answer {
    // SAFETY: the kernel's siginfo for this signal.
    let raised = unsafe { (*info).si_code } > 0 && matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE);
    let previous = frozen.previous.of(signal);
    let position = Position::of(context);
    let in_runtime = runtime_code::contains(position.instruction);
    if !raised || !has_handler(&previous) || !(in_runtime || frozen.strategy == Strategy::PreviousFirst) {
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
        if has_handler(&below) {
            pass_on_as_kernel(&below, signal, info, context);
        }
        return Answer::Dealt;
    }
    // SAFETY: as above.
    unsafe { *mark = being_asked() };
    pass_on_as_kernel(&previous, signal, info, context);
    // SAFETY: as above.
    let was_passed_back = unsafe { mark.replace(ptr::null_mut()) } == passed_back();
    let goes_on_elsewhere = Position::of(context) != position;
    if goes_on_elsewhere || (in_runtime && !was_passed_back) { Answer::Dealt } else { Answer::Declined }
}

fn has_handler(action: &libc::sigaction) -> bool {
    !matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
}

/// In a signal context, which has no successor: the handler before us is looking at it. The kernel sets this member to
/// null and never reads it (rt_sigreturn(2)).
fn being_asked() -> *mut libc::ucontext_t {
    (&raw const FROZEN).cast_mut().cast()
}

/// As [`being_asked`], and it has passed the signal back to us.
fn passed_back() -> *mut libc::ucontext_t {
    (&raw const REPORTER).cast_mut().cast()
}

/// Lets a signal take the course that it would have without us, for a handler that was set over ours and passes on.
fn leave_to_those_below(frozen: &Frozen, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let below = frozen.below.of(signal);
    // SAFETY: the kernel's siginfo for this signal.
    let sent = unsafe { (*info).si_code } <= 0;
    if has_handler(&below) {
        pass_on_as_kernel(&below, signal, info, context);
    } else if below.sa_sigaction == libc::SIG_DFL || !sent {
        signals::set_default(signal);
        come_again(signal, info, context);
    }
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
    /// A process that shares our memory, or from whose memory ours was copied amid its report, is reporting.
    OfAnotherProcess,
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
        let reporter = (current >> 32) as u32;
        if reporter != 0 && reporter != REPORTED.load(Ordering::SeqCst) {
            return Claim::OfAnotherProcess;
        }
        match REPORTER.compare_exchange(current, me, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return Claim::First,
            Err(now) => current = now,
        }
    }
}

/// Calls another handler as the kernel would: with the signals blocked that it asked for, and not all as in ours.
fn pass_on_as_kernel(action: &libc::sigaction, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's context for this signal, with the mask that the thread had.
    let before = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_sigmask };
    let ours = signals::block_as(action, signal, before);
    pass_on(action.sa_sigaction, signal, info, context);
    signals::set_mask(ours);
}

/// Calls another handler, crash-handler's or one that was there before us.
fn pass_on(handler: usize, signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: a handler's address, as sigaction(2) gave it. One set without SA_SIGINFO ignores the further arguments.
    let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
    handler(signal, info, context);
}

/// Has the kernel deliver the signal again, as it was, when this handler returns. Without that, a signal that was sent
/// would be lost, and so would a trap, after which the program would simply go on.
fn come_again(signal: i32, info: *const libc::siginfo_t, context: *mut c_void) {
    // A sandbox may forbid it; a fault then comes again by itself, from the instruction that faulted.
    let _ = signals::queue_again(signal, info);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel's siginfo for this signal.
    if raw::getpid() == 1 && signal == libc::SIGTRAP && unsafe { (*info).si_code } == SI_KERNEL {
        // The first process of a name space is spared what was queued. Stepped back, it runs into int3 again.
        // SAFETY: the kernel's context for this signal.
        unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] -= 1 };
    }
}

/// The code of a breakpoint instruction's SIGTRAP (include/uapi/asm-generic/siginfo.h).
#[cfg(target_arch = "x86_64")]
const SI_KERNEL: i32 = 0x80;
