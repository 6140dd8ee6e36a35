//! The monitor's side of the page. The host may have written anything there: every number is checked, and nothing is
//! mapped.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::offset_of;
use std::path::{Path, PathBuf};

use super::layout::*;
use super::log::{self, Line};
use super::source::{Source, number};
use crate::sys::files;

/// What a host has put into its page.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Entries {
    pub annotations: BTreeMap<String, String>,
    pub thread_annotations: Vec<ThreadAnnotation>,
    pub attachments: BTreeSet<PathBuf>,
    /// Length by address.
    pub memory: BTreeMap<u64, u64>,
    /// Oldest first.
    pub log: Vec<Line>,
    /// What could not be read, and why.
    pub missing: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThreadAnnotation {
    pub tid: u32,
    pub key: String,
    pub value: String,
    /// Nanoseconds of CLOCK_BOOTTIME. A thread that began later is another one with the same id.
    pub set_at: u64,
}

/// The host's heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// The timeout in milliseconds; 0 for no heartbeat.
    pub within: u32,
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub stamp: u64,
}

/// Reads the heartbeat alone.
pub(crate) fn heartbeat(source: &impl Source) -> io::Result<Heartbeat> {
    const AT: usize = offset_of!(Page, heartbeat_timeout_ms);
    const STAMP: usize = offset_of!(Page, heartbeat_stamp) - AT;
    let bytes = source.read(AT, STAMP + size_of::<u64>())?;
    Ok(Heartbeat { within: number(&bytes), stamp: number(&bytes[STAMP..]) })
}

/// Reads everything. A part that cannot be read is noted in `missing`; the others are read all the same.
pub(crate) fn entries(source: &impl Source) -> Entries {
    let mut entries = Entries::default();
    let header = match header(source) {
        Ok(header) => header,
        Err(reason) => {
            entries.missing.push(format!("annotations: {reason}"));
            return entries;
        }
    };
    let mut missing = Vec::new();
    let mut table = |name: &str, read: io::Result<Vec<(Vec<u8>, Vec<u8>)>>| {
        read.unwrap_or_else(|error| {
            missing.push(format!("{name}: {error}"));
            Vec::new()
        })
    };
    for (key, value) in table("annotations", Annotations::read(source, offset_of!(Page, annotations))) {
        entries.annotations.insert(text(&key), text(&value));
    }
    for (key, value) in table("thread annotations", ThreadAnnotations::read(source, offset_of!(Page, threads))) {
        let (Some((tid, key)), Some((set_at, value))) = (key.split_first_chunk(), value.split_first_chunk()) else {
            continue;
        };
        let (tid, set_at) = (u32::from_ne_bytes(*tid), u64::from_ne_bytes(*set_at));
        let (key, value) = (text(key), text(value));
        entries.thread_annotations.retain(|other| (other.tid, &other.key) != (tid, &key));
        entries.thread_annotations.push(ThreadAnnotation { tid, key, value, set_at });
    }
    for (path, _) in table("attachments", Attachments::read(source, offset_of!(Page, attachments))) {
        entries.attachments.extend(absolute(&path).map(Path::to_owned));
    }
    for (start, length) in table("memory ranges", MemoryRanges::read(source, offset_of!(Page, memory))) {
        if let (Ok(start), Ok(length)) = (start.try_into(), length.try_into()) {
            let (start, length) = (u64::from_ne_bytes(start), u64::from_ne_bytes(length));
            entries.memory.extend((length <= MEMORY_RANGE as u64).then_some((start, length)));
        }
    }
    match log::read(source, offset_of!(Page, log), header.log_next, header.log_cells) {
        Ok(lines) => entries.log = lines,
        Err(error) => missing.push(format!("log: {error}")),
    }
    entries.missing = missing;
    entries
}

struct Header {
    log_cells: u32,
    log_next: u64,
}

fn header(source: &impl Source) -> Result<Header, String> {
    const LENGTH: usize = offset_of!(Page, log_next) + size_of::<u64>();
    let bytes = source.read(0, LENGTH).map_err(|error| error.to_string())?;
    if number::<8, u64>(&bytes) != MAGIC {
        return Err("what lies at the page's address is no page".to_owned());
    }
    let version: u32 = number(&bytes[offset_of!(Page, version)..]);
    if version != VERSION {
        return Err(format!("the page has version {version}, this monitor reads version {VERSION}"));
    }
    Ok(Header {
        log_cells: number(&bytes[offset_of!(Page, log_cells)..]),
        log_next: number(&bytes[offset_of!(Page, log_next)..]),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn absolute(bytes: &[u8]) -> Option<&Path> {
    let path = files::path_from_bytes(bytes).filter(|path| path.is_absolute() && path.file_name().is_some())?;
    (!bytes.contains(&0)).then_some(path)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The bytes of a value, as another process sees them.
    pub(in crate::page) struct Bytes(Vec<u8>);

    impl Bytes {
        pub(in crate::page) fn of<T>(value: &T) -> Self {
            // SAFETY: a live value without padding; no other thread writes to it meanwhile.
            Self(unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }.to_vec())
        }
    }

    /// As a host has it that has set nothing.
    pub(in crate::page) fn empty_page() -> Box<Page> {
        use std::sync::atomic::Ordering;
        // SAFETY: all-zero bytes are a page.
        let page: Box<Page> = unsafe { Box::new_zeroed().assume_init() };
        page.magic.store(MAGIC, Ordering::Relaxed);
        page.version.store(VERSION, Ordering::Relaxed);
        page.log_cells.store(512, Ordering::Relaxed);
        page
    }

    #[test]
    fn an_empty_page_has_nothing_and_no_page_says_so() {
        let page = empty_page();
        assert_eq!(entries(&Bytes::of(&*page)), Entries::default());
        let no_page = entries(&Bytes(vec![7; PAGE_BYTES]));
        assert_eq!(no_page.missing, ["annotations: what lies at the page's address is no page"]);
        assert_eq!(entries(&Bytes(Vec::new())).missing.len(), 1);
    }

    #[test]
    fn whatever_lies_in_the_tables_is_read_within_their_bounds() {
        let page = empty_page();
        for fill in [0xff_u8, 1, 0x41, 0x80] {
            let mut bytes = Bytes::of(&*page);
            bytes.0[offset_of!(Page, memory)..].fill(fill);
            let entries = entries(&bytes);
            assert!(entries.memory.len() <= MEMORY_RANGES && entries.annotations.len() <= ANNOTATIONS);
            assert!(entries.attachments.iter().all(|path| path.is_absolute()));
        }
    }

    impl Source for Bytes {
        fn read(&self, offset: usize, length: usize) -> io::Result<Vec<u8>> {
            let end = offset.checked_add(length).filter(|end| *end <= self.0.len());
            Ok(self.0[offset..end.ok_or(io::ErrorKind::UnexpectedEof)?].to_vec())
        }
    }
}
