//! What the handler reads: written once at install, never changed.

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
    /// All the host's waiting together.
    pub deadline: Duration,
    /// The monitor to start where none can be reached.
    pub monitor: Option<Program>,
    /// The dispositions before us. Set by `arm`.
    pub previous: Dispositions,
}
