//! Files that a host wants kept with its dump.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::dump_file::NewFile;
use crate::limits;

/// A file and what became of it: the copy's name, or why there is none.
pub(super) type Copied = (PathBuf, Result<String, String>);

/// Copies the files to `<stem>.<name>` in the dump directory, at most 64 MiB of each.
pub(super) fn copy(files: &BTreeSet<PathBuf>, directory: &Path, stem: &str) -> Vec<Copied> {
    let one = |path: &PathBuf| (path.clone(), copy_one(path, directory, stem).map_err(|error| error.to_string()));
    files.iter().map(one).collect()
}

fn copy_one(path: &Path, directory: &Path, stem: &str) -> io::Result<String> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_string_lossy().into_owned();
    // Not followed: a pipe or device would block.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut copy = NewFile::create(directory, stem)?;
    io::copy(&mut File::open(path)?.take(limits::ATTACHMENT_BYTES), &mut copy.file)?;
    let (_, path) = copy.publish(&name)?;
    Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}
