//! The listening socket: one monitor has it, and only processes of its user may connect.
//!
//! A monitor holds the path's lock while it checks whether another one listens and begins to listen itself, and again while it
//! stops.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::process::Process;
use crate::error::Result;
use crate::monitor::socket_lock::{Lock, refuse_other_file, unusable};
use crate::sys::files;
use crate::sys::raw::{self, Deadline, SocketAddress};
use crate::wire::{self, Verdict};

/// Connections that wait to be accepted; the kernel caps it at net.core.somaxconn.
pub(super) const BACKLOG: i32 = 1024;
/// How long a starting monitor waits for another one to accept a connection. One that does not is stopped or overloaded, but
/// it exists.
const PROBE: Duration = Duration::from_secs(1);

/// A socket that this process alone listens at.
pub(in crate::monitor) struct Listener {
    pub(super) socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the socket file: whether it is still ours when we end.
    file: (u64, u64),
}

impl Listener {
    /// Begins to listen at `path`; None where another monitor does.
    pub(super) fn claim(path: &Path) -> Result<Option<Self>> {
        let lock = Lock::take(path)?;
        if somebody_listens(path)? {
            return Ok(None);
        }
        let error = |errno| unusable(path, errno);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(error)?;
        let address = SocketAddrUnix::new(path).map_err(error)?;
        // Mode 0600 from the start: bind(2) makes the file by the process's umask.
        files::with_private_umask(|| rustix::net::bind(&socket, &address)).map_err(error)?;
        // For the accepted ones, which inherit it: every message tells its sender.
        rustix::net::sockopt::set_socket_passcred(&socket, true).map_err(error)?;
        rustix::net::listen(&socket, BACKLOG).map_err(error)?;
        let file = identity(path).ok_or_else(|| unusable(path, "the socket vanished at once"))?;
        drop(lock);
        Ok(Some(Self { socket, path: path.to_owned(), file }))
    }

    /// Accepts the next connection, if its peer is a process of this user.
    pub(super) fn accept(&self) -> Accepted {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match rustix::net::accept_with(&self.socket, flags) {
            Ok(socket) => socket,
            Err(Errno::INTR | Errno::CONNABORTED) => return Accepted::Refused,
            Err(Errno::AGAIN) => return Accepted::NoneWaiting,
            Err(errno) => {
                log::error!("cannot accept a connection: {errno}");
                return Accepted::NoneWaiting;
            }
        };
        let Ok(peer) = raw::peer_credentials(socket.as_raw_fd()) else { return Accepted::Refused };
        let uid = rustix::process::geteuid().as_raw();
        if peer.uid != uid {
            log::warn!("refused process {} of user {}: this monitor serves user {uid}", peer.pid, peer.uid);
            return Accepted::Refused;
        }
        if peer.pid == 0 {
            log::warn!("refused a process that is in a process name space which this monitor does not see");
            let _ =
                rustix::net::send(&socket, &wire::welcome(Verdict::Unseen), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            return Accepted::Refused;
        }
        let process = Process::of_peer(socket.as_fd(), peer.pid);
        Accepted::Peer(socket, process)
    }

    /// The path's lock: while it is held no other monitor begins to listen here. None where it cannot be taken, as when the
    /// directory is gone.
    pub(super) fn lock(&self) -> Option<Lock> {
        Lock::take(&self.path).ok()
    }

    /// Stops listening.
    pub(super) fn release(self, lock: Option<Lock>) {
        // Another monitor's socket is left alone. Where there is no socket any more, only the lock is removed.
        if identity(&self.path).is_none_or(|found| found == self.file) {
            let _ = std::fs::remove_file(&self.path);
            lock.into_iter().for_each(Lock::remove);
        }
    }
}

/// What [`Listener::accept`] has found.
pub(super) enum Accepted {
    Peer(OwnedFd, Process),
    Refused,
    NoneWaiting,
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Whether a monitor listens. A socket that no process listens at is removed; anything else is left alone and is an error.
pub(in crate::monitor) fn somebody_listens(path: &Path) -> Result<bool> {
    refuse_other_file(path)?;
    match raw::connect(&SocketAddress::new(path.as_os_str().as_encoded_bytes()), Deadline::after(PROBE)) {
        Ok(_) | Err(raw::Errno(libc::ETIMEDOUT)) => Ok(true),
        Err(raw::Errno(libc::ENOENT)) => Ok(false),
        Err(raw::Errno(libc::ECONNREFUSED)) => {
            std::fs::remove_file(path).map_err(|error| unusable(path, format_args!("a stale socket: {error}")))?;
            Ok(false)
        }
        Err(errno) => Err(unusable(path, errno)),
    }
}
