//! Files as Unix has them.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, Mode, RenameFlags};
use rustix::io::Errno;

pub(super) fn private_dir() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

pub(super) fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

pub(super) fn follow_no_link(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NOFOLLOW)
}

/// `Unsupported` where the file system does not know the flag (renameat2(2)).
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(io::ErrorKind::Unsupported.into()),
        done => Ok(done?),
    }
}

/// Whether an open file still has the name `path`.
pub(crate) fn is_still_at(file: &File, path: &Path) -> bool {
    let identity = |file: Metadata| (file.dev(), file.ino());
    let opened = file.metadata().map(identity).ok();
    opened.is_some() && opened == std::fs::symlink_metadata(path).map(identity).ok()
}

/// Runs `make`, of which files and sockets are their owner's alone: the calling process has one thread.
pub(crate) fn with_private_umask<T>(make: impl FnOnce() -> T) -> T {
    let before = rustix::process::umask(Mode::XUSR | Mode::RWXG | Mode::RWXO);
    let made = make();
    rustix::process::umask(before);
    made
}

/// Whether files can be made in a directory, as far as the system tells beforehand.
pub(crate) fn check_writable(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Whether there is a program at `path`.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

/// Whether anything but a socket lies at `path`.
pub(crate) fn is_no_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket())
}

/// A path as C and our messages have it: the file system's own bytes.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> Option<&Path> {
    Some(Path::new(OsStr::from_bytes(bytes)))
}
