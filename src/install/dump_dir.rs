//! The directory that dumps are written to.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::status::CM_ERR_DUMP_DIR;
use crate::sys::files;

/// Makes the directory and its missing parents, all with mode 0700, and checks that files can be made in it.
pub(super) fn make(path: &Path) -> Result<()> {
    let error = |what: &str, cause: &dyn std::fmt::Display| {
        Error::new(CM_ERR_DUMP_DIR, format!("{what} dump_dir {}: {cause}", path.display()))
    };
    files::make_private_dir(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => error("cannot use", &"it is a file, not a directory"),
        _ => error("cannot make", &cause),
    })?;
    files::check_writable(path).map_err(|cause| error("cannot write to", &cause))
}
