//! Which of several crashing threads reports; the others wait for it.
//!
//! Signal safety: [`claim`], [`reported`] and [`wait_for_report`] may be called by a signal handler; [`forget_reported`] and
//! [`finish`] are for normal context.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::decision::Claim;
use crate::sys::raw::{self, Deadline};

/// The reporting thread: its pid in the upper half, its thread id in the lower; 0 for none. The pid is there because a
/// forked child inherits this value, and a vforked child shares the memory that it lies in.
static REPORTER: AtomicU64 = AtomicU64::new(0);
/// The pid of the process whose report is done. Its other crashing threads wait on this word (futex(2)).
static REPORTED: AtomicU32 = AtomicU32::new(0);

/// Whether a thread of this process is reporting. Not for signal handlers.
fn is_in_progress() -> bool {
    let pid = raw::getpid() as u32;
    (REPORTER.load(Ordering::SeqCst) >> 32) as u32 == pid && REPORTED.load(Ordering::SeqCst) != pid
}

/// Takes back a claim whose report is done, so that a host that has survived its crash can report another one. A report in
/// progress stays: its thread goes on to end the process. Not for signal handlers.
pub(super) fn forget_reported() {
    if !is_in_progress() {
        REPORTER.store(0, Ordering::SeqCst);
        REPORTED.store(0, Ordering::SeqCst);
    }
}

/// Waits for a report in progress, because the caller is about to close the connection that its thread uses. Not for signal
/// handlers.
pub(super) fn finish(deadline: Deadline) {
    if is_in_progress() {
        wait_for_report(deadline);
    }
}

/// Makes this thread the reporting one, unless there is one already.
pub(super) fn claim() -> Claim {
    let pid = raw::getpid();
    let me = (pid as u64) << 32 | raw::gettid() as u64;
    let mut current = REPORTER.load(Ordering::SeqCst);
    loop {
        if current == me {
            return Claim::Again;
        }
        if current >> 32 == pid as u64 {
            return Claim::OtherThread;
        }
        let reporter = (current >> 32) as u32;
        if reporter != 0 && reporter != REPORTED.load(Ordering::SeqCst) {
            return Claim::OtherProcess;
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
