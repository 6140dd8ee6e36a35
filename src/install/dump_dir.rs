//! The directory that dumps are written to.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};

use crate::error::{Error, Result};
use crate::status::CM_ERR_DUMP_DIR;

/// Makes the directory and its missing parents, all with mode 0700, and checks that files can be made in it.
pub(super) fn make(path: &Path) -> Result<()> {
    let error = |what: &str, cause: &dyn std::fmt::Display| {
        Error::new(CM_ERR_DUMP_DIR, format!("{what} dump_dir {}: {cause}", path.display()))
    };
    // With recursive(true), a directory that exists is no error.
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => error("cannot use", &"it is a file, not a directory"),
        _ => error("cannot make", &cause),
    })?;
    rustix::fs::accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|cause| error("cannot write to", &cause))
}
