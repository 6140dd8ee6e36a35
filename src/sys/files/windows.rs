//! Files as Windows has them: who may use one is decided by the directory that it is made in.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

pub(super) fn private_dir() -> DirBuilder {
    DirBuilder::new()
}

pub(super) fn private_file() -> OpenOptions {
    File::options()
}

pub(super) fn follow_no_link(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// std's rename replaces.
pub(super) fn rename_new(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether anything has the name `path`: whether it is this open file, std does not say.
pub(crate) fn is_still_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Runs `make`.
pub(crate) fn with_private_umask<T>(make: impl FnOnce() -> T) -> T {
    make()
}

/// Whether the directory is there: whether files can be made in it shows when one is made.
pub(crate) fn check_writable(directory: &Path) -> io::Result<()> {
    std::fs::read_dir(directory).map(drop)
}

/// Whether there is a file at `path`.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// Whether anything but a socket lies at `path`; a socket looks like an empty file.
pub(crate) fn is_no_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() || found.len() > 0)
}

/// A path as C and our messages have it: UTF-8.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> Option<&Path> {
    std::str::from_utf8(bytes).ok().map(Path::new)
}
