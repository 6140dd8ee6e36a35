//! A connection to the monitor, for one crash. Everything here may be called by a signal handler.

use std::os::fd::{IntoRawFd, RawFd};

use super::frozen::Frozen;
use crate::sys::raw::{self, Deadline, Errno, SysResult};
use crate::sys::spawn::Launch;
use crate::wire::{self, AfterReport};

/// What the monitor is told of a crash.
pub(super) struct Crash<'a> {
    pub context: &'a [u8],
    pub after: AfterReport,
}

pub(super) struct Link {
    fd: RawFd,
}

impl Link {
    /// The connection made at install, if its number still means our socket and this process has made it.
    pub(super) fn frozen(frozen: &Frozen, _deadline: Deadline) -> SysResult<Self> {
        let link = frozen.link;
        let ours = raw::getpid() == frozen.pid && raw::identity(link.fd)? == link.identity;
        if ours { Ok(Self { fd: link.fd }) } else { Err(Errno(libc::EBADF)) }
    }

    /// A new connection to the monitor that listens now.
    pub(super) fn connect(frozen: &Frozen, deadline: Deadline) -> SysResult<Self> {
        // It is broken or our parent's. Closed first, because at the limit of open files its number may be the only one left.
        if raw::identity(frozen.link.fd) == Ok(frozen.link.identity) {
            raw::close(frozen.link.fd);
        }
        let fd = raw::connect(&frozen.address, deadline)?.into_raw_fd();
        let peer = raw::peer_credentials(fd)?;
        if peer.uid != frozen.uid {
            return Err(Errno(libc::EPERM));
        }
        raw::allow_tracer(peer.pid);
        raw::send(fd, [frozen.hello, &raw::getpid().to_ne_bytes()], deadline)?;
        Ok(Self { fd })
    }

    /// A new connection to a monitor that is started for this crash.
    pub(super) fn start(frozen: &Frozen, deadline: Deadline) -> SysResult<Self> {
        start_monitor(frozen.monitor.as_ref().ok_or(Errno(libc::ENOENT))?, deadline)?;
        Self::connect(frozen, deadline)
    }

    /// Sends a crash and waits for its ack.
    pub(super) fn request_dump(&self, frozen: &Frozen, crash: &Crash<'_>, deadline: Deadline) -> SysResult<()> {
        if frozen.welcomed {
            raw::send(self.fd, [&wire::crash_header(crash.after, crash.context.len()), crash.context], deadline)?;
        } else {
            raw::send(self.fd, [&wire::header(wire::KIND_CRASH, crash.context.len()), crash.context], deadline)?;
        }
        let mut message = [0; 64];
        loop {
            let length = raw::receive(self.fd, &mut message, deadline)?;
            match wire::split(&message, length) {
                _ if length == 0 => return Err(Errno(libc::EPIPE)),
                Ok((wire::KIND_CRASH_ACK, _)) => return Ok(()),
                // The answer to the hello of a new connection.
                _ => {}
            }
        }
    }
}

/// Starts a monitor and waits until it listens.
fn start_monitor(program: &Launch, deadline: Deadline) -> SysResult<()> {
    // The read end stays open: a monitor without a host waits for one as long as its starter has the pipe open.
    let [ready, theirs] = raw::pipe()?;
    let started = program.start(theirs);
    raw::close(theirs);
    started?;
    raw::read(ready, &mut [0; 1], deadline)?;
    Ok(())
}
