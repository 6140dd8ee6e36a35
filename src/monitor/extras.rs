//! What a host wants in its dumps besides itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::limits;

/// One thing more, or one less.
pub(super) enum Extra {
    Annotation { key: String, value: Option<String> },
    Attachment(PathBuf),
    Memory { start: u64, length: u64 },
}

/// All of a host's.
#[derive(Debug, Default, Clone)]
pub(super) struct Extras {
    pub annotations: BTreeMap<String, String>,
    pub attachments: BTreeSet<PathBuf>,
    /// Length by address.
    pub memory: BTreeMap<u64, u64>,
}

impl Extras {
    /// Takes one in; false where that breaks a limit which an honest host has kept itself.
    pub(super) fn take(&mut self, extra: Extra) -> bool {
        match extra {
            Extra::Annotation { key, value: None } => _ = self.annotations.remove(&key),
            Extra::Annotation { key, value: Some(value) } => {
                if key.len() > limits::ANNOTATION_KEY || value.len() > limits::ANNOTATION_VALUE {
                    return false;
                }
                self.annotations.insert(key, value);
            }
            Extra::Attachment(path) => _ = self.attachments.insert(path),
            Extra::Memory { start, length: 0 } => _ = self.memory.remove(&start),
            Extra::Memory { start, length } => _ = self.memory.insert(start, length),
        }
        self.annotations.len() <= limits::ANNOTATIONS
            && self.attachments.len() <= limits::ATTACHMENTS
            && self.memory.len() <= limits::MEMORY_RANGES
            && self.memory.values().all(|length| *length <= limits::MEMORY_RANGE as u64)
    }
}
