//! The listening socket, and that no two monitors have the same one.
//!
//! The path's lock is held while a monitor looks whether somebody listens and begins to listen itself, and again while it
//! stops.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::Result;
use crate::monitor::lock::Lock;
use crate::monitor::{refuse_other_file, unusable};
use crate::sys::files;
use crate::sys::raw::{self, Deadline, Errno, SocketAddress};

/// Connections that wait to be accepted; the kernel caps it at net.core.somaxconn.
pub(super) const BACKLOG: i32 = 1024;
/// How long a monitor that starts waits for one that is there to take its connection. One that does not is stopped or
/// overloaded, but it is there.
const PROBE: Duration = Duration::from_secs(1);

/// A socket that this process alone listens at.
pub(in crate::monitor) struct Endpoint {
    pub listener: OwnedFd,
    path: PathBuf,
    /// Device and inode of the socket file: whether it is still ours when we end.
    file: (u64, u64),
}

impl Endpoint {
    /// Begins to listen at `path`; None where another monitor does.
    pub(super) fn claim(path: &Path) -> Result<Option<Self>> {
        let lock = Lock::take(path)?;
        if somebody_listens(path)? {
            return Ok(None);
        }
        let error = |errno| unusable(path, errno);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(error)?;
        let address = SocketAddrUnix::new(path).map_err(error)?;
        // Mode 0600 from the start: bind(2) makes the file by the process's umask.
        files::with_private_umask(|| rustix::net::bind(&listener, &address)).map_err(error)?;
        rustix::net::listen(&listener, BACKLOG).map_err(error)?;
        let file = identity(path).ok_or_else(|| unusable(path, "the socket vanished at once"))?;
        drop(lock);
        Ok(Some(Self { listener, path: path.to_owned(), file }))
    }

    /// Stops listening, unless a host has just connected: `accept` says whether it took one in.
    pub(super) fn release(self, accept: impl FnOnce(&OwnedFd) -> bool) -> Option<Self> {
        // Without the lock (the directory may be gone) there is nothing left to protect.
        let lock = Lock::take(&self.path);
        if accept(&self.listener) {
            return Some(self);
        }
        // Another monitor's socket is not ours to remove. Where there is none any more, the lock is all that is left.
        if identity(&self.path).is_none_or(|found| found == self.file) {
            let _ = std::fs::remove_file(&self.path);
            lock.into_iter().for_each(Lock::remove);
        }
        None
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Whether a monitor is there. A socket that nobody listens at is removed; anything else is left alone and an error.
pub(in crate::monitor) fn somebody_listens(path: &Path) -> Result<bool> {
    refuse_other_file(path)?;
    match raw::connect(&SocketAddress::new(path.as_os_str().as_encoded_bytes()), Deadline::after(PROBE)) {
        Ok(_) | Err(Errno(libc::ETIMEDOUT)) => Ok(true),
        Err(Errno(libc::ENOENT)) => Ok(false),
        Err(Errno(libc::ECONNREFUSED)) => {
            std::fs::remove_file(path).map_err(|error| unusable(path, format_args!("a stale socket: {error}")))?;
            Ok(false)
        }
        Err(errno) => Err(unusable(path, errno)),
    }
}
