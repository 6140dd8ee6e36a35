//! Signal dispositions, as the kernel keeps them.
//!
//! Signal safety: every function here may be called by a signal handler (sigaction(2) is on signal-safety(7)'s list).

use std::mem;
use std::ptr;

use super::raw::{self, Errno, SysResult};

/// The signals that end a program because of what it did itself: the six that crash-handler handles.
pub(crate) const CRASH_SIGNALS: [i32; 6] =
    [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGTRAP];

/// A handler that takes siginfo and context.
pub(crate) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The dispositions of the crash signals at one moment, in the order of [`CRASH_SIGNALS`].
#[derive(Clone, Copy)]
pub(crate) struct Dispositions([libc::sigaction; 6]);

impl Dispositions {
    /// As they are now.
    pub(crate) fn current() -> Self {
        Self(CRASH_SIGNALS.map(get))
    }

    /// That of one crash signal; of any other signal, its default action.
    pub(crate) fn of(&self, signal: i32) -> libc::sigaction {
        CRASH_SIGNALS.iter().position(|s| *s == signal).map_or_else(default_action, |index| self.0[index])
    }

    /// Takes over from `other` the dispositions of those crash signals of which `which` holds.
    pub(crate) fn replace(&mut self, other: &Self, which: impl Fn(i32) -> bool) {
        for ((signal, mine), theirs) in CRASH_SIGNALS.into_iter().zip(&mut self.0).zip(&other.0) {
            if which(signal) {
                *mine = *theirs;
            }
        }
    }

    /// Makes the default action that of one crash signal.
    pub(crate) fn set_default(&mut self, signal: i32) {
        self.replace(&Self([default_action(); 6]), |other| other == signal);
    }

    /// Makes these the dispositions, except that a signal whose handler is `ours` gets that of `previous`: whoever
    /// put a handler in front of ours keeps it.
    pub(crate) fn restore(&self, ours: Handler, previous: &Self) {
        for ((signal, here), before) in CRASH_SIGNALS.into_iter().zip(&self.0).zip(&previous.0) {
            let mine = here.sa_sigaction == ours as *const () as usize;
            let _ = set(signal, if mine { before } else { here });
        }
    }
}

fn default_action() -> libc::sigaction {
    // SAFETY: all-zero bytes are a valid sigaction: SIG_DFL, no flags, an empty mask.
    unsafe { mem::zeroed() }
}

/// The disposition of one signal.
pub(crate) fn get(signal: i32) -> libc::sigaction {
    let mut action = default_action();
    // SAFETY: room for one sigaction.
    unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    action
}

fn set(signal: i32, action: &libc::sigaction) -> SysResult<()> {
    // SAFETY: a live sigaction, which came from the kernel or from this module.
    if unsafe { libc::sigaction(signal, action, ptr::null_mut()) } != 0 {
        return Err(Errno(raw::errno()));
    }
    Ok(())
}

/// The signal kills the process from now on, whoever handled it before.
pub(crate) fn set_default(signal: i32) {
    let _ = set(signal, &default_action());
}

/// Whether `handler` is the handler of `signal`.
pub(crate) fn is_handled_by(signal: i32, handler: Handler) -> bool {
    get(signal).sa_sigaction == handler as *const () as usize
}

/// Whether the kernel calls `handler` for `signal`. sigaction(2) may say so of one that another calls: libjsig, which chains
/// handlers behind a Java machine's, has a sigaction of its own.
pub(crate) fn is_called_by_kernel(signal: i32, handler: Handler) -> bool {
    // The kernel's own structure: handler, flags, restorer, mask (include/linux/signal_types.h).
    let mut action = [0_usize; 4];
    let none = ptr::null::<libc::c_void>();
    // SAFETY: room for the structure, whose mask is a word long.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, none, action.as_mut_ptr(), size_of::<Mask>()) };
    result == 0 && action[0] == handler as *const () as usize
}

/// Makes `handler` the handler of all crash signals: on the alternate stack, with siginfo, and with all signals blocked
/// while it runs: no other handler of the host is to run in a thread that has crashed.
pub(crate) fn handle_crash_signals(handler: Handler) -> SysResult<()> {
    let mut action = default_action();
    action.sa_sigaction = handler as *const () as usize;
    // SA_RESTART: a signal that turns out to be ignored must not interrupt what it came into.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: a live signal set.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    CRASH_SIGNALS.into_iter().try_for_each(|signal| set(signal, &action))
}

/// Faults that belong to no instruction: a memory error that may be ignored, and an error of memory tags found late
/// (include/uapi/asm-generic/siginfo.h, SEGV_MTEAERR).
const WITHOUT_INSTRUCTION: [(i32, i32); 2] = [(libc::SIGBUS, libc::BUS_MCEERR_AO), (libc::SIGSEGV, 8)];

/// Queues `signal` for the calling thread with the siginfo it came with. Blocked until the handler returns, it is then
/// delivered to whoever is the handler by that time, as if it had come for the first time (rt_tgsigqueueinfo(2), which
/// lets a process send itself any `si_code`).
///
/// A fault is not queued: it comes again by itself, from the instruction that faulted. A handler in front of ours that
/// calls ours may have unblocked the signal (HotSpot's has), and would be interrupted by it, somewhere else. Where there is
/// none, [`queue`] can be used.
pub(crate) fn queue_again(signal: i32, info: *const libc::siginfo_t) -> SysResult<()> {
    // SAFETY: `info` is the siginfo of the signal being handled.
    let code = unsafe { (*info).si_code };
    let fault = matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL) && code > 0;
    if fault && !WITHOUT_INSTRUCTION.contains(&(signal, code)) {
        return Ok(());
    }
    queue(signal, info)
}

/// As [`queue_again`], also a fault.
pub(crate) fn queue(signal: i32, info: *const libc::siginfo_t) -> SysResult<()> {
    // SAFETY: `info` is the siginfo of the signal being handled, which the kernel only reads.
    let result = unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, raw::getpid(), raw::gettid(), signal, info) };
    if result != 0 { Err(Errno(raw::errno())) } else { Ok(()) }
}

/// A set of signals as the kernel keeps it: one bit each.
pub(crate) type Mask = u64;

/// Blocks for the calling thread what the kernel would while `action`'s handler runs: `before`, what the thread had
/// blocked when the signal came, the action's own mask, and the signal itself without SA_NODEFER. Gives what was blocked.
pub(crate) fn block_as(action: &libc::sigaction, signal: i32, before: &libc::sigset_t) -> Mask {
    let deferred = if action.sa_flags & libc::SA_NODEFER == 0 { 1 << (signal - 1) } else { 0 };
    set_mask(first_word(before) | first_word(&action.sa_mask) | deferred)
}

/// What the kernel reads of libc's larger type.
fn first_word(set: &libc::sigset_t) -> Mask {
    // SAFETY: a signal set begins with the word that the kernel uses.
    unsafe { ptr::from_ref(set).cast::<Mask>().read() }
}

/// Blocks exactly these signals for the calling thread; gives those that were.
pub(crate) fn set_mask(mask: Mask) -> Mask {
    let mut before: Mask = 0;
    let size = size_of::<Mask>();
    // SAFETY: two live words of the size given.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, &raw mut before, size);
    }
    before
}

/// All signals blocked for the calling thread until dropped.
pub(crate) struct AllBlocked(libc::sigset_t);

impl AllBlocked {
    pub(crate) fn new() -> Self {
        // SAFETY: all-zero bytes are a valid signal set; sigfillset fills a live one.
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { (mem::zeroed(), mem::zeroed()) };
        // SAFETY: live signal sets.
        unsafe {
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        }
        Self(before)
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        // SAFETY: the mask that the thread had before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}
