//! What a host may add to its dumps, and how much: the host refuses more, and a monitor ends a session that sends it.

use std::time::Duration;

/// Annotations of one process; Crashpad's limits for keys and values in bytes.
pub(crate) const ANNOTATIONS: usize = 64;
pub(crate) const ANNOTATION_KEY: usize = 256;
pub(crate) const ANNOTATION_VALUE: usize = 20 * 1024;
/// Attached files of one process, and how many bytes of each are copied.
pub(crate) const ATTACHMENTS: usize = 16;
pub(crate) const ATTACHMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Memory ranges of one process, and the length of each in bytes.
pub(crate) const MEMORY_RANGES: usize = 64;
pub(crate) const MEMORY_RANGE: usize = 1024 * 1024;
/// The reason of a dump on demand, in bytes.
pub(crate) const REASON: usize = 1024;
/// A promise to say something more often than this is not one that a busy machine can keep.
pub(crate) const HEARTBEAT_MIN: Duration = Duration::from_millis(10);
