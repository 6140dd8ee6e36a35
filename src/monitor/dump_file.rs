//! How a dump gets onto the disk: under a temporary name until it is whole, then under its own.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many dumps of one name are told apart by a counter.
const COUNTER_MAX: u32 = 1000;

/// A dump being written. Dropped before [`DumpFile::publish`], it leaves nothing behind.
pub(super) struct DumpFile {
    pub file: File,
    temporary: PathBuf,
    directory: PathBuf,
    stem: String,
    published: bool,
}

impl DumpFile {
    /// Makes the directory where it is missing, and the temporary file in it.
    pub(super) fn create(directory: &Path, app_name: &str, pid: i32) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let stem = format!("{app_name}-{seconds}-{pid}");
        // The writer's own pid makes the name unique among the dumpers alive.
        let temporary = directory.join(format!(".{stem}.{}.tmp", std::process::id()));
        // create_new is O_EXCL, which follows no symbolic link either (open(2)).
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { file, temporary, directory: directory.to_owned(), stem, published: false })
    }

    /// Gives the whole dump its name: `<app>-<unix time>-<pid>.dmp`, with `-2`, `-3` … before the dot where that exists.
    pub(super) fn publish(mut self) -> io::Result<(File, PathBuf)> {
        for counter in 1..=COUNTER_MAX {
            let suffix = if counter == 1 { String::new() } else { format!("-{counter}") };
            let path = self.directory.join(format!("{}{suffix}.dmp", self.stem));
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            let cwd = rustix::fs::CWD;
            match rustix::fs::renameat_with(cwd, &self.temporary, cwd, &path, flags) {
                Ok(()) => {
                    self.published = true;
                    return Ok((self.file.try_clone()?, path));
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::Error::other(format!("{COUNTER_MAX} dumps named {} exist already", self.stem)))
    }
}

impl Drop for DumpFile {
    fn drop(&mut self) {
        if !self.published {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn names_do_not_collide_and_nothing_half_written_stays() {
        let directory = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for _ in 0..3 {
            let dump = DumpFile::create(directory.path(), "app", 42).unwrap();
            names.push(dump.publish().unwrap().1);
        }
        drop(DumpFile::create(directory.path(), "app", 42).unwrap());
        let mut found: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().path()).collect();
        found.sort();
        names.sort();
        assert_eq!(found, names);
        assert!(names.iter().all(|path| path.metadata().unwrap().mode() & 0o777 == 0o600));
    }
}
