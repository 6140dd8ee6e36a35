//! What a host adds to its dumps: kept here, so that it can be given before `cm_install` and told again to a new monitor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::limits;
use crate::status::{CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT, CM_ERR_NULL_ARGUMENT};
use crate::wire::{self, Payload};

#[derive(Default)]
pub(super) struct Extras {
    annotations: BTreeMap<String, String>,
    attachments: BTreeSet<PathBuf>,
    /// Length by address.
    memory: BTreeMap<u64, u64>,
}

pub(super) static EXTRAS: Mutex<Option<Extras>> = Mutex::new(None);

/// A user message of minidumper: number and payload.
pub(super) struct Message {
    pub number: u32,
    pub payload: Vec<u8>,
}

fn extras() -> MutexGuard<'static, Option<Extras>> {
    EXTRAS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps an annotation, or removes it where `value` is None; gives what the monitor is to be told.
pub(super) fn set_annotation(key: &str, value: Option<&str>) -> Result<Message> {
    if key.is_empty() {
        return Err(Error::new(CM_ERR_INVALID_ARGUMENT, "the annotation's key is empty: give 1 to 256 bytes"));
    }
    at_most("the length of the annotation's key", key.len(), limits::ANNOTATION_KEY, "bytes")?;
    at_most("the length of the annotation's value", value.map_or(0, str::len), limits::ANNOTATION_VALUE, "bytes")?;
    let mut extras = extras();
    let annotations = &mut extras.get_or_insert_default().annotations;
    match value {
        None => _ = annotations.remove(key),
        Some(value) => {
            if !annotations.contains_key(key) {
                at_most("the number of annotations", annotations.len() + 1, limits::ANNOTATIONS, "annotations")?;
            }
            annotations.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(annotation(key, value))
}

/// Keeps a file to be copied beside dumps.
pub(super) fn attach_file(path: &Path) -> Result<Message> {
    if path.as_os_str().is_empty() {
        return Err(Error::new(CM_ERR_INVALID_ARGUMENT, "path is empty: give a file's path"));
    }
    let path = std::path::absolute(path)
        .map_err(|error| Error::system(format_args!("cannot make {} absolute", path.display()), error))?;
    if path.file_name().is_none() {
        return Err(Error::new(CM_ERR_INVALID_ARGUMENT, format!("{} is no file: give a file's path", path.display())));
    }
    let mut extras = extras();
    let attachments = &mut extras.get_or_insert_default().attachments;
    if !attachments.contains(&path) {
        at_most("the number of attached files", attachments.len() + 1, limits::ATTACHMENTS, "files")?;
    }
    let message = attachment(&path);
    attachments.insert(path);
    Ok(message)
}

/// Keeps a range of memory that goes into dumps.
pub(super) fn add_memory(start: u64, length: usize) -> Result<Message> {
    if start == 0 {
        return Err(Error::new(CM_ERR_NULL_ARGUMENT, "start is NULL: give an address"));
    }
    if length == 0 {
        return Err(Error::new(CM_ERR_INVALID_ARGUMENT, "length is 0: give at least 1 byte"));
    }
    at_most("the length of the memory", length, limits::MEMORY_RANGE, "bytes")?;
    let mut extras = extras();
    let ranges = &mut extras.get_or_insert_default().memory;
    if !ranges.contains_key(&start) {
        at_most("the number of memory ranges", ranges.len() + 1, limits::MEMORY_RANGES, "ranges")?;
    }
    ranges.insert(start, length as u64);
    Ok(memory(start, length as u64))
}

/// Forgets the range of memory that begins at `start`.
pub(super) fn remove_memory(start: u64) -> Result<Message> {
    let known = extras().get_or_insert_default().memory.remove(&start).is_some();
    if !known {
        return Err(Error::new(
            CM_ERR_INVALID_ARGUMENT,
            format!("no memory was added at {start:#x}: give an address that cm_add_memory was given"),
        ));
    }
    Ok(memory(start, 0))
}

/// Everything there is, for a monitor that knows nothing yet.
pub(super) fn all() -> Vec<Message> {
    let extras = extras();
    let Some(extras) = extras.as_ref() else { return Vec::new() };
    let annotations = extras.annotations.iter().map(|(key, value)| annotation(key, Some(value)));
    let attachments = extras.attachments.iter().map(|path| attachment(path));
    let memory = extras.memory.iter().map(|(start, length)| memory(*start, *length));
    annotations.chain(attachments).chain(memory).collect()
}

fn annotation(key: &str, value: Option<&str>) -> Message {
    let payload = Payload::default().string(key.as_bytes());
    let payload = value.into_iter().fold(payload, |payload, value| payload.string(value.as_bytes()));
    Message { number: wire::USER_ANNOTATION, payload: payload.0 }
}

fn attachment(path: &Path) -> Message {
    let payload = Payload::default().string(path.as_os_str().as_encoded_bytes());
    Message { number: wire::USER_ATTACHMENT, payload: payload.0 }
}

fn memory(start: u64, length: u64) -> Message {
    Message { number: wire::USER_MEMORY, payload: Payload::default().long(start).long(length).0 }
}

/// Refuses what is over a limit, naming it.
pub(super) fn at_most(what: &str, value: usize, limit: usize, unit: &str) -> Result<()> {
    if value <= limit {
        return Ok(());
    }
    Err(Error::new(CM_ERR_LIMIT, format!("{what} is {value}: the limit is {limit} {unit}")))
}
