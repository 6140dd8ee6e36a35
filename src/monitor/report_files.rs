//! Files in a dump directory: each has a temporary name until it is whole, then its own.

use std::fs::{DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::sys::files;

/// How many files of one name are told apart by a counter.
const COUNTER_MAX: u32 = 1000;

/// A time since 2001 has this many digits; an earlier one, of a clock that was not set, is padded.
const TIME_DIGITS: usize = 10;

/// The age at which a temporary file is abandoned: longer than any writer may take.
const ABANDONED: Duration = Duration::from_secs(3600);

/// What the files of one crash have in common: `<app>-<unix time>-<pid>`.
pub(super) fn stem(app_name: &str, pid: i32) -> String {
    format!("{app_name}-{:0digits$}-{pid}", UNIX_EPOCH.elapsed().unwrap_or_default().as_secs(), digits = TIME_DIGITS)
}

/// Whether it is what the files of one crash have in common, with a counter or without.
pub(super) fn is_stem(name: &str) -> bool {
    // The last two or three parts are numbers, one of them as long as a time; the application's name may end with numbers.
    let numbers = name.rsplit('-').take_while(|part| is_number(part));
    numbers.skip(1).take(2).any(|number| number.len() >= TIME_DIGITS) && !name.starts_with('.')
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A file being written. Dropped before [`NewFile::publish`], it leaves nothing behind.
pub(super) struct NewFile {
    pub file: File,
    temporary: PathBuf,
    directory: PathBuf,
    stem: String,
}

impl NewFile {
    /// Makes the directory where it is missing, and the temporary file in it.
    pub(super) fn create(directory: &Path, stem: &str) -> io::Result<Self> {
        files::make_private_dir(directory)?;
        // The writer's own pid makes the name unique among the writers alive.
        let temporary = directory.join(format!(".{stem}.{}.tmp", std::process::id()));
        // create_new is O_EXCL, which follows no symbolic link either (open(2)).
        let file = files::private().read(true).write(true).create_new(true).open(&temporary)?;
        Ok(Self { file, temporary, directory: directory.to_owned(), stem: stem.to_owned() })
    }

    /// Gives the whole file its name, `<stem>.<extension>`, with `-2`, `-3` … before the dot where that exists.
    pub(super) fn publish(self, extension: &str) -> io::Result<(File, PathBuf)> {
        for counter in 1..=COUNTER_MAX {
            let suffix = if counter == 1 { String::new() } else { format!("-{counter}") };
            let path = self.directory.join(format!("{}{suffix}.{extension}", self.stem));
            match files::rename_new(&self.temporary, &path) {
                Ok(()) => return Ok((self.file.try_clone()?, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{COUNTER_MAX} files named {}.{extension} exist already", self.stem)))
    }

    /// Puts the whole file in the place of the one at `path`.
    #[cfg(target_os = "linux")]
    pub(super) fn replace(self, path: &Path) -> io::Result<(File, PathBuf)> {
        std::fs::rename(&self.temporary, path)?;
        Ok((self.file.try_clone()?, path.to_owned()))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After it was published there is no file of this name.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Removes the temporary files of process `writer`, which was ended while it wrote.
#[cfg(target_os = "linux")]
pub(super) fn remove_temporary(directory: &Path, writer: i32) {
    for (entry, _) in temporaries(directory).filter(|(_, of)| *of == writer.to_string()) {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Removes temporary files that are too old to belong to a living writer: their writers and monitors were killed.
pub(super) fn remove_abandoned(directory: &Path) {
    for (entry, _) in temporaries(directory) {
        let modified = entry.metadata().and_then(|file| file.modified()).ok();
        if modified.is_some_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The temporary files in a directory, and the pids of their writers.
fn temporaries(directory: &Path) -> impl Iterator<Item = (DirEntry, String)> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let (stem, writer) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
        (is_stem(stem) && is_number(writer)).then(|| (entry, writer.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn names_do_not_collide_and_nothing_half_written_stays() {
        let directory = tempfile::tempdir().unwrap();
        let create = || NewFile::create(directory.path(), "app-1000000001-42").unwrap();
        for expected in ["app-1000000001-42.dmp", "app-1000000001-42-2.dmp", "app-1000000001-42-3.dmp"] {
            let (file, path) = create().publish("dmp").unwrap();
            assert_eq!(path, directory.path().join(expected));
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        }
        drop(create());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_was_abandoned_goes_and_what_is_being_written_stays() {
        let directory = tempfile::tempdir().unwrap();
        for (name, age) in [
            (".app-1000000001-42.7.tmp", 7200),
            (".app-1000000002-42.8.tmp", 60),
            ("app-1000000001-42.dmp", 7200),
            (".own.tmp", 7200),
        ] {
            let file = File::create(directory.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        remove_abandoned(directory.path());
        let mut left: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".app-1000000002-42.8.tmp", ".own.tmp", "app-1000000001-42.dmp"]);
    }
}
