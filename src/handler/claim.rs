//! Which of the threads that crash is the one that reports, and the others' waiting for it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::sys::raw::{self, Deadline};

/// Who reports: pid in the upper half, thread id in the lower; 0 for nobody. With the pid, because a forked child
/// inherits the value and a vforked one shares the memory it is in.
static REPORTER: AtomicU64 = AtomicU64::new(0);
/// The process whose report is done; others of its threads wait on this word.
static REPORTED: AtomicU32 = AtomicU32::new(0);

/// Forgets who has reported. Not for signal handlers.
pub(super) fn reset() {
    REPORTER.store(0, Ordering::SeqCst);
    REPORTED.store(0, Ordering::SeqCst);
}

/// Who reports, as one crashing thread finds it.
pub(super) enum Claim {
    /// This thread reports.
    First,
    /// Another thread of this process is reporting.
    Other,
    /// This thread has reported already.
    Again,
    /// A process that shares our memory, or from whose memory ours was copied amid its report, is reporting.
    OfAnotherProcess,
}

/// Makes this thread the one that reports, where nobody is yet.
pub(super) fn claim() -> Claim {
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

/// This process's report is done: the threads that wait for it go on.
pub(super) fn reported() {
    REPORTED.store(raw::getpid() as u32, Ordering::SeqCst);
    raw::wake_all(&REPORTED);
}

/// Waits until this process's report is done; false where that takes too long.
pub(super) fn wait_for_report(deadline: Deadline) -> bool {
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
