//! The lock of a socket path: of several monitors that start at once one wins, the others see it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::unusable;
use crate::error::Result;
use crate::sys::files;

/// A lock file beside the socket, `<socket>.lock`, that this process has locked (flock(2)); given back when dropped.
pub(super) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits until nobody else has the lock.
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
            // A monitor that ended meanwhile has removed the file: then somebody else may hold the lock of a new one.
            if files::is_still_at(&file, &path) {
                return Ok(Self { _file: file, path });
            }
        }
    }

    /// Removes the file; who waits for it makes another. On Windows it stays: who waits there could not see that it is gone.
    pub(super) fn remove(self) {
        if cfg!(unix) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
