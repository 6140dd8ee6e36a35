//! Signal dispositions and masks.
//!
//! There are two views of a disposition: the kernel's, and that of libc's sigaction(2), which may be interposed. libjsig keeps
//! a table of its own for the handlers that a Java machine's handler calls, and sanitizers refuse some. [`libc_get`] and
//! [`libc_set`] use libc's view; the others ask the kernel.
//!
//! Signal safety: everything here but [`libc_get`], [`libc_set`], [`install`] and [`crash_signals_in`] may be called by a
//! signal handler.

use std::mem;
use std::ops::BitOr;
use std::ptr;

use super::raw::{self, Errno, SysResult};
use super::syscall::syscall;

/// The signals that end a program because of what it did itself: those that crash-handler handles elsewhere.
pub(crate) const CRASH_SIGNALS: [i32; 6] =
    [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGTRAP];

/// A handler that takes siginfo and context.
pub(crate) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The `si_code` of what the kernel says no more of (include/uapi/asm-generic/siginfo.h).
pub(crate) const SI_KERNEL: i32 = 0x80;

/// A set of signals as the kernel keeps it: one bit each.
pub(crate) type Mask = u64;

/// The crash signals in a set.
pub(crate) fn crash_signals_in(mask: Mask) -> Vec<i32> {
    CRASH_SIGNALS.into_iter().filter(|signal| mask & bit(*signal) != 0).collect()
}

/// The bit of one signal.
pub(crate) const fn bit(signal: i32) -> Mask {
    1 << (signal - 1)
}

/// A disposition in the kernel's own structure (include/linux/signal_types.h, the same on x86-64 and AArch64).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Action {
    pub handler: usize,
    pub flags: usize,
    restorer: usize,
    pub mask: Mask,
}

impl Action {
    /// `SIG_DFL`.
    pub(crate) const DEFAULT: Self = Self { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };

    pub(crate) fn is_handler(&self) -> bool {
        !matches!(self.handler, libc::SIG_DFL | libc::SIG_IGN)
    }

    pub(crate) fn calls(&self, handler: Handler) -> bool {
        self.handler == handler as *const () as usize
    }
}

/// The dispositions of the crash signals at one moment, in the order of [`CRASH_SIGNALS`].
#[derive(Clone, Copy)]
pub(crate) struct Dispositions([Action; 6]);

impl Dispositions {
    /// One for each crash signal.
    pub(crate) fn each(of: impl FnMut(i32) -> Action) -> Self {
        Self(CRASH_SIGNALS.map(of))
    }

    /// That of one crash signal; of any other signal, its default action.
    pub(crate) fn of(&self, signal: i32) -> Action {
        CRASH_SIGNALS.iter().position(|s| *s == signal).map_or(Action::DEFAULT, |index| self.0[index])
    }
}

/// The disposition of one signal, as the kernel has it.
pub(crate) fn get(signal: i32) -> SysResult<Action> {
    let mut action = Action::DEFAULT;
    let none = ptr::null::<Action>();
    // SAFETY: room for the structure, whose mask has the size given.
    unsafe { syscall!(libc::SYS_rt_sigaction, signal, none, &raw mut action, size_of::<Mask>()) }?;
    Ok(action)
}

/// Sets the kernel's disposition of one signal.
pub(crate) fn set(signal: i32, action: &Action) -> SysResult<()> {
    let none = ptr::null_mut::<Action>();
    // SAFETY: a live structure that came from the kernel, or one without a handler.
    unsafe { syscall!(libc::SYS_rt_sigaction, signal, ptr::from_ref(action), none, size_of::<Mask>()) }.map(|_| ())
}

/// Whether the kernel calls `handler` for `signal` directly, with no other handler between.
pub(crate) fn kernel_calls(signal: i32, handler: Handler) -> bool {
    get(signal).is_ok_and(|action| action.calls(handler))
}

/// The disposition of one signal, as libc's sigaction(2) tells it.
pub(crate) fn libc_get(signal: i32) -> Action {
    // SAFETY: all-zero bytes are a valid sigaction: SIG_DFL, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: room for one sigaction.
    unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    Action {
        handler: action.sa_sigaction,
        flags: action.sa_flags as usize,
        restorer: 0,
        mask: first_word(&action.sa_mask),
    }
}

/// Sets the disposition of one signal by libc's sigaction(2).
pub(crate) fn libc_set(signal: i32, action: &Action) -> SysResult<()> {
    // SAFETY: as in `libc_get`.
    let mut libc_action: libc::sigaction = unsafe { mem::zeroed() };
    libc_action.sa_sigaction = action.handler;
    libc_action.sa_flags = action.flags as i32;
    // SAFETY: a signal set begins with the word that the kernel uses.
    unsafe { (&raw mut libc_action.sa_mask).cast::<Mask>().write(action.mask) };
    // SAFETY: a live sigaction with a handler of ours, or what another call of sigaction(2) has given.
    match unsafe { libc::sigaction(signal, &raw const libc_action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))),
    }
}

/// Makes `handler` the handler of `signal`: on the alternate stack, with siginfo, and with all signals blocked while it
/// runs, also those that libc keeps for thread cancellation and setuid: nothing of the host runs in a thread that has
/// crashed. Not for signal handlers.
///
/// By libc's sigaction(2) and not by a raw call, so that a library which interposes it knows our handler and can chain it.
pub(crate) fn install(signal: i32, handler: Handler) -> SysResult<()> {
    // SA_RESTART: a signal that the handler then ignores must not interrupt the system call that it arrived in.
    let flags = (libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART) as usize;
    libc_set(signal, &Action { handler: handler as *const () as usize, flags, restorer: 0, mask: Mask::MAX })
}

/// Faults that belong to no instruction: a memory error that may be ignored, and a memory tag error that is reported late
/// (include/uapi/asm-generic/siginfo.h, SEGV_MTEAERR).
const WITHOUT_INSTRUCTION: [(i32, i32); 2] = [(libc::SIGBUS, libc::BUS_MCEERR_AO), (libc::SIGSEGV, 8)];

/// Whether the fault happens again by itself once the handler returns, because the instruction that faulted runs again.
pub(crate) fn recurs(signal: i32, code: i32) -> bool {
    let fault = matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL) && code > 0;
    fault && !WITHOUT_INSTRUCTION.contains(&(signal, code))
}

/// Queues `signal` for the calling thread with the siginfo it came with (rt_tgsigqueueinfo(2), which lets a process send
/// itself any `si_code`). It is blocked until the handler returns, and then delivered with the same siginfo.
pub(crate) fn queue(signal: i32, info: *const libc::siginfo_t) -> SysResult<()> {
    // SAFETY: `info` is the siginfo of the signal being handled, which the kernel only reads.
    unsafe { syscall!(libc::SYS_rt_tgsigqueueinfo, own_pid()?, raw::gettid(), signal, info) }.map(|_| ())
}

/// Sends `signal` to the calling thread, without a siginfo of its own.
pub(crate) fn send_to_self(signal: i32) -> SysResult<()> {
    // SAFETY: integers only.
    unsafe { syscall!(libc::SYS_tgkill, own_pid()?, raw::gettid(), signal) }.map(|_| ())
}

/// Sends `signal` to this process: any thread that has not blocked it gets it.
pub(crate) fn send_to_process(signal: i32) -> SysResult<()> {
    // SAFETY: integers only.
    unsafe { syscall!(libc::SYS_kill, own_pid()?, signal) }.map(|_| ())
}

/// This process's id, to send it a signal. Where a sandbox refuses to tell it nothing is sent: kill(2) takes 0 and negative
/// numbers for many processes.
fn own_pid() -> SysResult<i32> {
    let pid = raw::getpid();
    if pid > 0 { Ok(pid) } else { Err(Errno(libc::ESRCH)) }
}

/// Blocks for the calling thread what the kernel would while `action`'s handler runs: `before`, what the thread had
/// blocked when the signal came, the action's own mask, and the signal itself without SA_NODEFER. Gives what was blocked.
pub(crate) fn block_as(action: &Action, signal: i32, before: &libc::sigset_t) -> Mask {
    let deferred = if action.flags & libc::SA_NODEFER as usize == 0 { bit(signal) } else { 0 };
    set_mask(first_word(before) | action.mask | deferred)
}

/// What the kernel reads of libc's larger type.
fn first_word(set: &libc::sigset_t) -> Mask {
    // SAFETY: a signal set begins with the word that the kernel uses.
    unsafe { ptr::from_ref(set).cast::<Mask>().read() }
}

/// Blocks exactly these signals for the calling thread; gives those that were.
pub(crate) fn set_mask(mask: Mask) -> Mask {
    change_mask(libc::SIG_SETMASK, mask)
}

/// Changes what the calling thread has blocked, in one of the ways of sigprocmask(2); gives what it had before.
fn change_mask(how: i32, mask: Mask) -> Mask {
    let mut before: Mask = 0;
    // SAFETY: two live words of the size given. Where a sandbox refuses it the mask stays as it is.
    let _ = unsafe { syscall!(libc::SYS_rt_sigprocmask, how, &raw const mask, &raw mut before, size_of::<Mask>()) };
    before
}

/// The crash signals that a thread had blocked.
pub(crate) struct Blocked {
    pub unblocked: Mask,
    /// Sent already. They stay blocked, because the kernel would deliver them at once.
    pub pending: Mask,
}

/// Unblocks the crash signals for the calling thread: one that is blocked when the thread raises it ends the process without a
/// handler.
pub(crate) fn unblock_crash_signals() -> Blocked {
    let blocked = change_mask(libc::SIG_BLOCK, 0) & CRASH_SIGNALS.into_iter().map(bit).fold(0, Mask::bitor);
    if blocked == 0 {
        return Blocked { unblocked: 0, pending: 0 };
    }
    let mut pending: Mask = 0;
    // SAFETY: a live word of the size given. Where a sandbox refuses it none counts as pending.
    let _ = unsafe { syscall!(libc::SYS_rt_sigpending, &raw mut pending, size_of::<Mask>()) };
    let unblocked = blocked & !pending;
    change_mask(libc::SIG_UNBLOCK, unblocked);
    Blocked { unblocked, pending: blocked & pending }
}

/// All signals blocked for the calling thread until dropped.
pub(crate) struct AllBlocked(Mask);

impl AllBlocked {
    pub(crate) fn new() -> Self {
        Self(set_mask(Mask::MAX))
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        set_mask(self.0);
    }
}
