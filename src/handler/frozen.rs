//! What the handler reads: written once at install, never changed.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::sys::raw::{FileIdentity, SocketAddress};
use crate::sys::signals::Dispositions;
use crate::sys::spawn::Program;

/// The descriptor that only a crash uses.
#[derive(Clone, Copy)]
pub(crate) struct CrashLink {
    pub fd: RawFd,
    /// Tells whether the number still means our socket: a host that closes all its descriptors, as a daemon does, may
    /// have given it to something else.
    pub identity: FileIdentity,
}

/// Who looks at a fault first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// We do; then the handlers before us.
    ReportFirst,
    /// The handler before us does; a fault that it has not dealt with is reported.
    PreviousFirst,
}

/// The host's own function that is called in the crashing thread before the report.
#[derive(Clone, Copy)]
pub(crate) struct CrashCallback {
    function: CrashFunction,
    /// A pointer that only the function looks at.
    user_data: usize,
}

/// Signal, siginfo, context and user data; gives anything but 0 for no report.
pub(crate) type CrashFunction = unsafe extern "C" fn(i32, *const c_void, *const c_void, *mut c_void) -> i32;

impl CrashCallback {
    /// # Safety
    /// The function may be called by a signal handler in any thread, with `user_data`, as long as the process lives.
    pub(crate) unsafe fn new(function: CrashFunction, user_data: *mut c_void) -> Self {
        Self { function, user_data: user_data.addr() }
    }

    /// Whether the host wants no report of this crash. May be called by a signal handler.
    pub(super) fn vetoes(&self, signal: i32, info: *const libc::siginfo_t, context: *const c_void) -> bool {
        // SAFETY: promised to `new`; the pointers are the kernel's for this signal.
        unsafe { (self.function)(signal, info.cast(), context, self.user_data as *mut c_void) != 0 }
    }
}

/// Whether two configurations name the same function.
impl PartialEq for CrashCallback {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.function, other.function) && self.user_data == other.user_data
    }
}

impl Eq for CrashCallback {}

impl std::fmt::Debug for CrashCallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CrashCallback({:#x})", self.function as usize)
    }
}

/// Everything the handler needs.
pub(crate) struct Frozen {
    /// The process that installed; a forked child has another one, and then the link is its parent's.
    pub pid: i32,
    pub link: CrashLink,
    pub monitor_pid: i32,
    /// Our effective user id: a monitor of another user is not to read this process.
    pub uid: u32,
    /// For connecting anew: the address, and the whole hello message of a crash connection.
    pub address: SocketAddress,
    pub hello: Vec<u8>,
    pub strategy: Strategy,
    pub callback: Option<CrashCallback>,
    /// All the host's waiting together.
    pub deadline: Duration,
    /// The monitor to start where none can be reached.
    pub monitor: Option<Program>,
    /// The dispositions before us. Set by `arm`.
    pub previous: Dispositions,
    /// The same, but where a handler that was set over ours is still there and is `previous` now: what that passes on
    /// to, through ours. Set by `arm`.
    pub below: Dispositions,
    /// What was frozen before: never freed, and so that leak checkers find it. Set by `arm`.
    pub older: Option<&'static Frozen>,
}
