//! The lock of a socket's path, which one of several monitors that start at once gets, and the check of what lies there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::status::CM_ERR_SOCKET;
use crate::sys::files;

/// A lock file beside the socket, `<socket>.lock`, that this process has locked (flock(2)); given back when dropped.
pub(super) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits until no other process has the lock.
    pub(super) fn take(socket: &Path) -> Result<Self> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let error = |cause: io::Error| unusable(socket, format_args!("lock file {}: {cause}", path.display()));
        loop {
            let file = files::open_or_create_private(&path).map_err(error)?;
            match file.lock() {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(error)?,
            }
            // A monitor that ended meanwhile has removed the file; another process may have locked a new one.
            if files::is_still_at(&file, &path) {
                return Ok(Self { _file: file, path });
            }
        }
    }

    /// Removes the file; a process that waits for the lock makes another. On Windows it stays, because a process that waits
    /// there could not notice.
    pub(super) fn remove(self) {
        if cfg!(unix) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Refuses a path at which something other than a socket lies. A socket that no process listens at may be replaced.
pub(super) fn refuse_other_file(path: &Path) -> Result<()> {
    if files::is_no_socket(path) {
        return Err(unusable(path, "what lies there is not a socket and is left alone"));
    }
    Ok(())
}

/// The error for a socket path at which no monitor can listen.
pub(super) fn unusable(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(CM_ERR_SOCKET, format!("cannot listen at {}: {why}", path.display()))
}
