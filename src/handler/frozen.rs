//! What the handler reads: written once at install, never changed.

use std::os::fd::RawFd;
use std::time::Duration;

use crate::config::Strategy;
use crate::crash_callback::CrashCallback;
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

/// Everything the handler needs.
pub(crate) struct Frozen {
    /// The process that installed; a forked child has another one, and then the link is its parent's.
    pub pid: i32,
    pub link: CrashLink,
    /// Whether the monitor has welcomed us at install: else it is minidumper's server.
    pub welcomed: bool,
    pub monitor_pid: i32,
    /// Our effective user id: a monitor of another user is not to read this process.
    pub uid: u32,
    /// For connecting anew: the address, and the hello message of a crash connection but for the pid, which comes last.
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
