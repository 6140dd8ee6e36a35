//! The page's layout, version and limits: the one file that host and monitor have to agree on.
//!
//! All numbers are native-endian; both sides run on the same machine. All-zero bytes are an empty page but for the magic
//! number, the version and the size of the log, which the host writes first.

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::table::Table;
use crate::settings::{LOG_BYTES_DEFAULT, LOG_BYTES_MAX};

/// The first eight bytes.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"cm-page\0");
/// Version of this layout; a monitor reads no other one.
pub(crate) const VERSION: u32 = 1;

/// Annotations of one process; Crashpad's limits for keys and values in bytes.
pub(crate) const ANNOTATIONS: usize = 64;
pub(crate) const ANNOTATION_KEY: usize = 256;
pub(crate) const ANNOTATION_VALUE: usize = 20 * 1024;
/// Annotations of all threads together, with their keys and values in bytes.
pub(crate) const THREAD_ANNOTATIONS: usize = 256;
pub(crate) const THREAD_ANNOTATION_KEY: usize = 64;
pub(crate) const THREAD_ANNOTATION_VALUE: usize = 512;
/// Attached files of one process; `PATH_MAX` without its NUL (linux/limits.h).
pub(crate) const ATTACHMENTS: usize = 16;
pub(crate) const ATTACHMENT_PATH: usize = 4095;
/// Memory ranges of one process, and the length of each in bytes.
pub(crate) const MEMORY_RANGES: usize = 64;
pub(crate) const MEMORY_RANGE: usize = 1024 * 1024;
/// One log line in bytes; a longer one is cut.
pub(crate) const LOG_LINE: usize = 1024;

/// The reason of a dump on demand, in bytes.
pub(crate) const REASON: usize = 1024;
/// The shortest heartbeat timeout; a busy machine cannot keep a shorter one.
pub(crate) const HEARTBEAT_MIN: Duration = Duration::from_millis(10);

/// Writers at one moment, those included that a signal handler has interrupted: each fills a buffer before it publishes it.
const WRITERS: usize = 16;

/// In front of each thread annotation's key: the thread id. In front of its value: when it was set.
pub(super) const THREAD_ID: usize = size_of::<u32>();
pub(super) const SET_AT: usize = size_of::<u64>();

const fn words(bytes: usize) -> usize {
    bytes.div_ceil(size_of::<u64>())
}

pub(super) type Annotations =
    Table<ANNOTATIONS, { ANNOTATIONS + WRITERS }, { words(ANNOTATION_KEY) + words(ANNOTATION_VALUE) }>;
pub(super) type Attachments = Table<ATTACHMENTS, { ATTACHMENTS + WRITERS }, { words(ATTACHMENT_PATH) }>;
pub(super) type MemoryRanges = Table<MEMORY_RANGES, { MEMORY_RANGES + WRITERS }, { words(8) + words(8) }>;
pub(super) type ThreadAnnotations = Table<
    THREAD_ANNOTATIONS,
    { THREAD_ANNOTATIONS + WRITERS },
    { words(THREAD_ID + THREAD_ANNOTATION_KEY) + words(SET_AT + THREAD_ANNOTATION_VALUE) },
>;

/// The whole page. Only the parts that were written to take memory.
#[repr(C)]
pub(crate) struct Page {
    pub magic: AtomicU64,
    pub version: AtomicU32,
    /// Cells of the log in use; the rest of `log` is never touched.
    pub log_cells: AtomicU32,
    /// The number of the next cell: it lies at this number modulo `log_cells`.
    pub log_next: AtomicU64,
    /// The heartbeat's timeout in milliseconds; 0 for no heartbeat.
    pub heartbeat_timeout_ms: AtomicU32,
    pub reserved: AtomicU32,
    /// When the last heartbeat was given, in nanoseconds of CLOCK_MONOTONIC_COARSE.
    pub heartbeat_stamp: AtomicU64,
    pub memory: MemoryRanges,
    pub annotations: Annotations,
    pub attachments: Attachments,
    pub threads: ThreadAnnotations,
    pub log: [Cell; LOG_CELLS_MAX],
}

/// Bytes of text in a cell.
pub(super) const CELL_TEXT: usize = 13 * size_of::<u64>();

/// A part of a log line.
#[repr(C)]
pub(crate) struct Cell {
    /// The cell's number plus one; with the highest bit while it is filled.
    pub(super) mark: AtomicU64,
    /// In nanoseconds of CLOCK_REALTIME.
    pub(super) time: AtomicU64,
    /// Thread id, length, level, index and count: see the log.
    pub(super) part: AtomicU64,
    pub(super) text: [AtomicU64; CELL_TEXT / size_of::<u64>()],
}

/// Cells in the largest log.
pub(super) const LOG_CELLS_MAX: usize = LOG_BYTES_MAX as usize / size_of::<Cell>();
/// Cells in the log of a process that does not ask for another size.
pub(super) const LOG_CELLS_DEFAULT: usize = LOG_BYTES_DEFAULT as usize / size_of::<Cell>();

/// The page's length in bytes, whole pages of the processor.
pub(crate) const PAGE_BYTES: usize = size_of::<Page>().next_multiple_of(64 * 1024);

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_offsets_are_those_of_the_design_document() {
        let document = include_str!("../../docs/design.md").replace(',', "");
        let parts = [
            (offset_of!(Page, magic), "u64 | magic number"),
            (offset_of!(Page, version), "u32 | version of the layout: 1"),
            (offset_of!(Page, log_cells), "u32 | cells of the log in use: 512"),
            (offset_of!(Page, log_next), "u64 | number of the next log cell"),
            (offset_of!(Page, heartbeat_timeout_ms), "u32 | the heartbeat's timeout"),
            (offset_of!(Page, heartbeat_stamp), "u64 | the last heartbeat"),
            (offset_of!(Page, memory), "table of 64 slots 80 buffers of 2 words | memory"),
            (offset_of!(Page, annotations), "table of 64 slots 80 buffers of 2592 words | annotations"),
            (offset_of!(Page, attachments), "table of 16 slots 32 buffers of 512 words | attached files"),
            (offset_of!(Page, threads), "table of 256 slots 272 buffers of 74 words | thread annotations"),
            (offset_of!(Page, log), "8192 cells of 128 bytes | the log"),
            (size_of::<Page>(), "| zeros up to 3014656"),
        ];
        for (offset, meaning) in parts {
            assert!(document.contains(&format!("| {offset} | {meaning}")), "docs/design.md lacks {offset}: {meaning}");
        }
        assert_eq!(PAGE_BYTES, 3_014_656);
    }
}
