//! Copying the files that a host has attached.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Take};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::process::Rights;
use crate::monitor::report_files::NewFile;
use crate::page::layout::ATTACHMENTS;

/// How many bytes of each file are copied.
const ATTACHMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Extensions that a copy must not have: the dump and the record have them.
const TAKEN: [&str; 2] = ["dmp", "json"];

/// How many bytes of all files together are copied while the host waits. More could take long: the kernel blocks a process
/// that writes faster than the disk.
const WHILE_HOST_WAITS: u64 = 4 * 1024 * 1024;

/// The attachments of one dump, copied to `<stem>.<name>` in the dump directory.
pub(super) struct Attachments {
    all: Vec<Attachment>,
    rights: Rights,
    directory: PathBuf,
    stem: String,
    /// Whether something was left to be copied later.
    unfinished: bool,
}

struct Attachment {
    /// As the host gave it.
    path: PathBuf,
    /// The open file, positioned at the end of what has been copied and limited to 64 MiB, and its name.
    source: Option<(Take<File>, String)>,
    /// The copy and its name, once the file was not empty.
    copy: Option<(File, String)>,
    failure: Option<String>,
}

impl Attachments {
    /// Copies the files as they are now, or as much of them as a host can wait for.
    pub(super) fn copy(files: &BTreeSet<PathBuf>, rights: Rights, directory: &Path, stem: &str) -> Self {
        let new = |path: &PathBuf| Attachment { path: path.clone(), source: None, copy: None, failure: None };
        let all = files.iter().map(new).collect();
        let (directory, stem) = (directory.to_owned(), stem.to_owned());
        let mut attachments = Self { all, rights, directory, stem, unfinished: false };
        attachments.copy_at_most(WHILE_HOST_WAITS);
        attachments
    }

    /// Copies what was appended since, what was left over, and files that did not exist or were empty before.
    pub(super) fn copy_what_is_new(&mut self) {
        self.copy_at_most(u64::MAX);
    }

    fn copy_at_most(&mut self, mut bytes: u64) {
        self.unfinished = false;
        for at in 0..self.all.len() {
            let names: Vec<String> = self.names().collect();
            let free =
                |name: &String| !TAKEN.contains(&name.as_str()) && !names.contains(&format!("{}.{name}", self.stem));
            let copied = self.all[at].copy_at_most(bytes, &self.rights, &self.directory, &self.stem, free);
            bytes -= copied.as_ref().map_or(0, |copied| *copied);
            self.unfinished |= bytes == 0;
            self.all[at].failure = copied.err().map(|error| error.to_string());
        }
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The names of the copies.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.all.iter().filter_map(|attachment| attachment.copy.as_ref()).map(|(_, name)| name.clone())
    }

    /// What could not be copied, and why.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        let failure = |of: &Attachment| Some(format!("attachment {}: {}", of.path.display(), of.failure.as_ref()?));
        self.all.iter().filter_map(failure)
    }
}

impl Attachment {
    /// Gives how many bytes it has copied.
    fn copy_at_most(
        &mut self,
        bytes: u64,
        rights: &Rights,
        directory: &Path,
        stem: &str,
        free: impl Fn(&String) -> bool,
    ) -> io::Result<u64> {
        let (source, name) = match &mut self.source {
            Some(source) => source,
            None => self.source.insert(open_with(rights, &self.path)?),
        };
        let mut source = source.take(bytes);
        if let Some((copy, _)) = &mut self.copy {
            return io::copy(&mut source, copy);
        }
        // An empty file gets no copy. Tested by a read, because the length of a file of /proc is 0.
        if bytes == 0 || matches!(source.get_ref().get_ref().read_at(&mut [0], 0), Ok(0)) {
            return Ok(0);
        }
        let mut new = NewFile::create(directory, stem)?;
        let copied = io::copy(&mut source, &mut new.file)?;
        if copied > 0 {
            let numbered = (2..=ATTACHMENTS + TAKEN.len()).map(|number| format!("{number}.{name}"));
            let free_name = std::iter::once(name.clone()).chain(numbered).find(free);
            let (copy, path) = new.publish(free_name.as_ref().unwrap_or(name))?;
            self.copy = Some((copy, path.file_name().unwrap_or_default().to_string_lossy().into_owned()));
        }
        Ok(copied)
    }
}

/// Opens a file with a host's rights; gives its name too.
fn open_with(rights: &Rights, path: &Path) -> io::Result<(Take<File>, String)> {
    let open = || Ok((open(path)?, name(path)?));
    match rights {
        Rights::Monitors => open(),
        Rights::Of(identity) => identity.act(open),
        Rights::Unknown => Err(io::Error::other("the process is gone, and with it what its user is")),
    }
}

fn open(path: &Path) -> io::Result<Take<File>> {
    // Checked before, because opening a device may have effects; and after, because the path may mean another file by then.
    // O_NONBLOCK, because opening a pipe, or a file on which another process has a lease, would wait.
    let regular = |file: io::Result<Metadata>| match file?.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is not a regular file")),
    };
    regular(path.metadata())?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    regular(file.metadata())?;
    Ok(file.take(ATTACHMENT_BYTES))
}

/// The file's name. For a descriptor, `/proc/PID/fd/N`, it is the name of the file that is open there. Where that file has no
/// name in any directory the kernel appends ` (deleted)`, and puts `memfd:` before the name of a memfd_create(2).
fn name(path: &Path) -> io::Result<String> {
    let is_descriptor = path.starts_with("/proc") && path.parent().is_some_and(|parent| parent.ends_with("fd"));
    let file = if is_descriptor { path.read_link()? } else { path.to_owned() };
    let name = file.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_string_lossy().into_owned();
    if !is_descriptor {
        return Ok(name);
    }
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    Ok(name.strip_prefix("memfd:").unwrap_or(name).to_owned())
}
