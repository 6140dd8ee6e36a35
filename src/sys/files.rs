//! Files and directories that are their owner's alone, and paths as bytes. Not for signal handlers.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a directory and its missing parents, on Unix with mode 0700 each. One that exists is left as it is.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// How to open a file that, where this makes it, is its owner's alone: on Unix with mode 0600.
pub(crate) fn private() -> OpenOptions {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Opens a file for reading and writing that is its owner's alone where this makes it; follows no symbolic link.
pub(crate) fn open_or_create_private(path: &Path) -> io::Result<File> {
    let mut options = private();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
    options.read(true).write(true).create(true).truncate(false).open(path)
}

/// Whether an open file still has the name `path`. Windows says no more than whether anything has it.
pub(crate) fn is_still_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    let same = {
        use std::os::unix::fs::MetadataExt;
        let identity = |file: std::fs::Metadata| (file.dev(), file.ino());
        file.metadata().map(identity).ok() == std::fs::symlink_metadata(path).map(identity).ok()
    };
    #[cfg(windows)]
    let same = file.metadata().is_ok() && path.exists();
    same
}

/// Runs `make`, of which files and sockets are their owner's alone: the calling process has one thread.
pub(crate) fn with_private_umask<T>(make: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    let before = {
        use rustix::fs::Mode;
        rustix::process::umask(Mode::XUSR | Mode::RWXG | Mode::RWXO)
    };
    let made = make();
    #[cfg(unix)]
    rustix::process::umask(before);
    made
}

/// Whether files can be made in a directory, as far as the system tells beforehand.
#[cfg(unix)]
pub(crate) fn check_writable(directory: &Path) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    Ok(accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Whether files can be made in a directory, as far as the system tells beforehand.
#[cfg(windows)]
pub(crate) fn check_writable(directory: &Path) -> io::Result<()> {
    std::fs::metadata(directory).map(drop)
}

/// Whether there is a program at `path`.
pub(crate) fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    let allowed = rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    #[cfg(windows)]
    let allowed = true;
    path.is_file() && allowed
}

/// Whether anything but a socket lies at `path`. Windows shows a socket as an empty file.
pub(crate) fn is_no_socket(path: &Path) -> bool {
    let Ok(found) = std::fs::symlink_metadata(path) else { return false };
    #[cfg(unix)]
    let socket = std::os::unix::fs::FileTypeExt::is_socket(&found.file_type());
    #[cfg(windows)]
    let socket = !found.is_dir() && found.len() == 0;
    !socket
}

/// Renames, but replaces nothing: then the error is `AlreadyExists`.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system knows the flag (renameat2(2)).
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            other => return other.map_err(io::Error::from),
        }
    }
    // A link replaces nothing either.
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}

/// A path as C and our messages have it: on Unix the file system's own bytes, on Windows UTF-8, where other bytes are
/// none.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> Option<&Path> {
    #[cfg(unix)]
    let path = Some(Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes)));
    #[cfg(windows)]
    let path = std::str::from_utf8(bytes).ok().map(Path::new);
    path
}
