//! What single threads need.

use super::guard;
use crate::install;
use crate::status::cm_status;

/// Readies the calling thread. It gets an alternate signal stack, so that a stack overflow in it can be reported: a handler
/// cannot run on the stack that overflowed (sigaltstack(2)). 64 KiB and the kernel's own signal frame, with a guard
/// page below; freed when the thread ends. A thread that has one large enough keeps it.
///
/// Also unblocks the six crash signals in the calling thread, which may have inherited a mask: a fault whose signal is blocked
/// ends the process at once, with no handler and no dump (sigprocmask(2)). One that is pending stays blocked, because it would
/// be delivered by this call. A thread that blocks them later is on its own.
///
/// `cm_install` does this for the thread that calls it; every other thread calls this at its start.
/// `crash_monitor_threads.h` does it for all threads of a C or C++ program.
///
/// Returns `CM_OK` or `CM_ERR_SYSTEM`. May be called more than once.
/// Threads: any, for itself. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_thread_init() -> cm_status {
    guard::status(install::init_thread)
}
