//! crash-handler's callback: asks the monitor for a dump.

use crash_handler::CrashContext;

use super::Frozen;
use super::link::Link;
use crate::sys::raw::{Deadline, Errno, SysResult};
use crate::sys::signals;

/// Asks for a dump and waits for it, at most until the deadline.
pub(super) fn report(frozen: &Frozen, context: &CrashContext) {
    let deadline = Deadline::after(frozen.deadline);
    let info = raw_siginfo(context);
    let mut context = context.clone();
    correct_siginfo(&mut context, &info);
    // Without a dump the process ends all the same, and there is nobody to tell.
    let _ = request_dump(frozen, context.as_bytes(), deadline);
    // crash-handler sends a signal that was sent once more, with itself as the sender. Queued here first, with its own
    // siginfo, it is pending already and that second one is dropped.
    let _ = signals::queue_again(info.si_signo, &info);
}

/// Asks over the link made at install; where that is lost or another process's, over a new one to whoever listens now;
/// where nobody does, or hangs up, over one to a monitor started for this crash.
fn request_dump(frozen: &Frozen, context: &[u8], deadline: Deadline) -> SysResult<()> {
    let ways: [fn(&Frozen, Deadline) -> SysResult<Link>; 3] = [Link::frozen, Link::connect, Link::start];
    let mut result = Ok(());
    for way in ways {
        result = way(frozen, deadline).and_then(|link| link.request_dump(frozen, context, deadline));
        // Late: there is no time left to ask anybody else.
        if matches!(result, Ok(()) | Err(Errno(libc::ETIMEDOUT))) {
            break;
        }
    }
    result
}

/// The siginfo that the kernel gave. crash-handler copies its bytes into a `signalfd_siginfo`, whose members lie
/// elsewhere: the fault address at byte 72 and not at 16 (sigaction(2), signalfd(2)).
fn raw_siginfo(context: &CrashContext) -> libc::siginfo_t {
    const { assert!(size_of::<libc::siginfo_t>() == size_of::<libc::signalfd_siginfo>()) };
    let bytes = (&raw const context.siginfo).cast::<libc::siginfo_t>();
    // SAFETY: as many bytes as a siginfo_t has, which were one before crash-handler copied them.
    unsafe { bytes.read_unaligned() }
}

/// Puts the members of a siginfo where a reader of the crash context looks for them.
fn correct_siginfo(context: &mut CrashContext, info: &libc::siginfo_t) {
    // SAFETY: all-zero bytes are a valid signalfd_siginfo.
    let mut correct: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    correct.ssi_signo = info.si_signo as u32;
    correct.ssi_errno = info.si_errno;
    correct.ssi_code = info.si_code;
    if info.si_code > 0 {
        // SAFETY: a fault's siginfo holds an address; every bit pattern is one.
        correct.ssi_addr = unsafe { info.si_addr() } as u64;
    } else {
        // SAFETY: a sent signal's siginfo holds its sender; every bit pattern is one.
        (correct.ssi_pid, correct.ssi_uid) = unsafe { (info.si_pid() as u32, info.si_uid()) };
    }
    context.siginfo = correct;
}
