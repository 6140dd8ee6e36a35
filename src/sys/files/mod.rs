//! Files and directories that are their owner's alone, and paths as bytes. Not for signal handlers.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

pub(crate) use platform::{
    check_writable, is_executable, is_no_socket, is_still_at, path_from_bytes, with_private_umask,
};

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a directory and its missing parents, on Unix with mode 0700 each. One that exists is left as it is.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    platform::private_dir().recursive(true).create(path)
}

/// How to open a file that, where this makes it, is its owner's alone: on Unix with mode 0600.
pub(crate) fn private() -> OpenOptions {
    platform::private_file()
}

/// Opens a file for reading and writing that is its owner's alone where this makes it; follows no symbolic link.
pub(crate) fn open_or_create_private(path: &Path) -> io::Result<File> {
    platform::follow_no_link(&mut private()).read(true).write(true).create(true).truncate(false).open(path)
}

/// Renames, but replaces nothing: then the error is `AlreadyExists`.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match platform::rename_new(from, to) {
        // A link replaces nothing either.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        done => done,
    }
}
