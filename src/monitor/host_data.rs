//! What a host wants in its dumps besides its own memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::limits;

/// One entry more, or one less.
pub(super) enum Change {
    Annotation { key: String, value: Option<String> },
    Attachment(PathBuf),
    Memory { start: u64, length: u64 },
}

/// All entries of one host.
#[derive(Debug, Default, Clone)]
pub(super) struct HostData {
    pub annotations: BTreeMap<String, String>,
    pub attachments: BTreeSet<PathBuf>,
    /// Length by address.
    pub memory: BTreeMap<u64, u64>,
}

impl HostData {
    /// Makes a change. False, and then nothing has changed, where it breaks a limit that an honest host keeps itself.
    pub(super) fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Annotation { key, value: None } => _ = self.annotations.remove(&key),
            Change::Annotation { key, value: Some(value) } => {
                let fits = key.len() <= limits::ANNOTATION_KEY && value.len() <= limits::ANNOTATION_VALUE;
                if !fits || is_full(self.annotations.len(), self.annotations.contains_key(&key), limits::ANNOTATIONS) {
                    return false;
                }
                self.annotations.insert(key, value);
            }
            Change::Attachment(path) => {
                if is_full(self.attachments.len(), self.attachments.contains(&path), limits::ATTACHMENTS) {
                    return false;
                }
                self.attachments.insert(path);
            }
            Change::Memory { start, length: 0 } => _ = self.memory.remove(&start),
            Change::Memory { start, length } => {
                let fits = length <= limits::MEMORY_RANGE as u64;
                if !fits || is_full(self.memory.len(), self.memory.contains_key(&start), limits::MEMORY_RANGES) {
                    return false;
                }
                self.memory.insert(start, length);
            }
        }
        true
    }
}

/// Whether there is no room for one more that is not there yet.
fn is_full(count: usize, is_there: bool, limit: usize) -> bool {
    !is_there && count >= limit
}
