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
    /// The other end of `fd`, which the monitor is to get over the connection that this process has inherited.
    for_monitor: Option<RawFd>,
}

impl Link {
    /// The connection made at install, if its number still means our socket and this process has made it.
    pub(super) fn frozen(frozen: &Frozen, _deadline: Deadline) -> SysResult<Self> {
        check_frozen(frozen)?;
        let ours = raw::getpid() == frozen.pid;
        if ours { Ok(Self { fd: frozen.link.fd, for_monitor: None }) } else { Err(Errno(libc::EBADF)) }
    }

    /// In a forked child: a pair of sockets, for which neither a path nor the child's rights count. The monitor gets one end
    /// over the parent's connection, and learns from the kernel who has made it.
    pub(super) fn inherited(frozen: &Frozen, _deadline: Deadline) -> SysResult<Self> {
        check_frozen(frozen)?;
        // minidumper's server does not know the message.
        if raw::getpid() == frozen.pid || !frozen.welcomed {
            return Err(Errno(libc::EBADF));
        }
        let [fd, theirs] = raw::socket_pair()?;
        Ok(Self { fd, for_monitor: Some(theirs) })
    }

    /// A new connection to the monitor that listens now.
    pub(super) fn connect(frozen: &Frozen, deadline: Deadline) -> SysResult<Self> {
        let connected = match raw::connect(&frozen.address, deadline) {
            // The one made at install is broken or our parent's, and at the limit of open files its number may be the only one.
            Err(Errno(libc::EMFILE)) if check_frozen(frozen).is_ok() => {
                raw::close(frozen.link.fd);
                raw::connect(&frozen.address, deadline)
            }
            connected => connected,
        };
        let fd = connected?.into_raw_fd();
        let peer = raw::peer_credentials(fd)?;
        if peer.uid != frozen.uid {
            return Err(Errno(libc::EPERM));
        }
        raw::allow_tracer(peer.pid);
        raw::send(fd, [frozen.hello, &raw::getpid().to_ne_bytes()], deadline)?;
        Ok(Self { fd, for_monitor: None })
    }

    /// A new connection to a monitor that is started for this crash.
    pub(super) fn start(frozen: &Frozen, deadline: Deadline) -> SysResult<Self> {
        start_monitor(frozen.monitor.as_ref().ok_or(Errno(libc::ENOENT))?, deadline)?;
        Self::connect(frozen, deadline)
    }

    /// Sends a crash and waits for its ack.
    pub(super) fn request_dump(&self, frozen: &Frozen, crash: &Crash<'_>, deadline: Deadline) -> SysResult<()> {
        let result = self.send(frozen, crash, deadline).and_then(|()| self.wait_for_ack(deadline));
        if result.is_err() && self.for_monitor.is_some() {
            // The next way may need its number.
            raw::close(self.fd);
        }
        result
    }

    fn send(&self, frozen: &Frozen, crash: &Crash<'_>, deadline: Deadline) -> SysResult<()> {
        let header = |number| wire::crash_header(number, crash.after, crash.context.len());
        match self.for_monitor {
            Some(theirs) => {
                let parts = [&header(wire::USER_CHILD_CRASH), crash.context];
                let sent = raw::send_with(frozen.link.fd, parts, Some(theirs), deadline);
                // A copy that stayed open would hide the monitor's end.
                raw::close(theirs);
                sent
            }
            None if frozen.welcomed => raw::send(self.fd, [&header(wire::USER_CRASH), crash.context], deadline),
            None => raw::send(self.fd, [&wire::header(wire::KIND_CRASH, crash.context.len()), crash.context], deadline),
        }
    }

    fn wait_for_ack(&self, deadline: Deadline) -> SysResult<()> {
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

/// Whether the number of the connection made at install still means it.
fn check_frozen(frozen: &Frozen) -> SysResult<()> {
    if raw::identity(frozen.link.fd)? == frozen.link.identity { Ok(()) } else { Err(Errno(libc::EBADF)) }
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
