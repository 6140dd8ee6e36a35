//! The log: a ring of the process's last lines, also called breadcrumbs.
//!
//! The ring consists of cells of 128 bytes, numbered from the process's start on; a line takes as many as it needs. A writer
//! takes numbers with one atomic addition, claims each cell, fills it, and marks it with its number. Writers never wait: where
//! another writer has claimed a cell, or has used it for a later line already, the line is dropped.

use std::sync::atomic::{Ordering, fence};

use super::layout::{CELL_TEXT as TEXT, Cell, LOG_CELLS_MAX, LOG_LINE, Page};
use super::source::{Source, number};

/// How important a line is, with the numbers that the C API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error = 1,
    Warning = 2,
    Info = 3,
    Debug = 4,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::Error, Self::Warning, Self::Info, Self::Debug];

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|level| *level as u32 == number)
    }

    pub(crate) fn name(self) -> &'static str {
        ["error", "warning", "info", "debug"][self as usize - 1]
    }
}

/// In a cell's mark, while it is filled.
const WRITING: u64 = 1 << 63;

/// What a cell holds of a line.
#[derive(Clone, Copy)]
struct Part {
    tid: u32,
    /// Bytes of text in this cell.
    length: u8,
    level: u8,
    index: u8,
    /// How many cells the line has.
    count: u8,
}

impl Part {
    fn to_word(self) -> u64 {
        let [a, b, c, d] = self.tid.to_ne_bytes();
        u64::from_ne_bytes([a, b, c, d, self.length, self.level, self.index, self.count])
    }

    fn from_word(word: u64) -> Self {
        let [a, b, c, d, length, level, index, count] = word.to_ne_bytes();
        Self { tid: u32::from_ne_bytes([a, b, c, d]), length, level, index, count }
    }
}

/// Adds a line of at most [`LOG_LINE`] bytes.
pub(super) fn add(page: &Page, level: Level, text: &[u8], tid: i32, time: u64) {
    let cells = ring(page);
    let count = text.len().div_ceil(TEXT).max(1);
    if count > cells {
        return;
    }
    let first = page.log_next.fetch_add(count as u64, Ordering::Relaxed);
    for index in 0..count {
        let bytes = &text[index * TEXT..text.len().min((index + 1) * TEXT)];
        let part = Part {
            tid: tid as u32,
            length: bytes.len() as u8,
            level: level as u8,
            index: index as u8,
            count: count as u8,
        };
        let number = first + index as u64;
        if !page.log[(number % cells as u64) as usize].fill(number, time, part, bytes) {
            return;
        }
    }
}

fn ring(page: &Page) -> usize {
    (page.log_cells.load(Ordering::Relaxed) as usize).min(LOG_CELLS_MAX)
}

impl Cell {
    /// False where another writer has the cell.
    fn fill(&self, number: u64, time: u64, part: Part, bytes: &[u8]) -> bool {
        let before = self.mark.load(Ordering::Relaxed);
        let free = before & WRITING == 0 && before <= number;
        let claim = |to| self.mark.compare_exchange(before, to, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if !free || !claim(WRITING | (number + 1)) {
            return false;
        }
        // Who sees what follows sees the mark.
        fence(Ordering::Release);
        self.time.store(time, Ordering::Relaxed);
        self.part.store(part.to_word(), Ordering::Relaxed);
        for (word, bytes) in self.text.iter().zip(bytes.chunks(size_of::<u64>())) {
            let mut whole = [0; size_of::<u64>()];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
        }
        self.mark.store(number + 1, Ordering::Release);
        true
    }

    fn copy_from(&self, other: &Self) {
        self.time.store(other.time.load(Ordering::Relaxed), Ordering::Relaxed);
        self.part.store(other.part.load(Ordering::Relaxed), Ordering::Relaxed);
        for (to, from) in self.text.iter().zip(&other.text) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Copies another page's log, which may change meanwhile, into that of a page which no other thread uses yet.
pub(super) fn copy(to: &Page, from: &Page) {
    let cells = ring(from);
    to.log_cells.store(cells as u32, Ordering::Relaxed);
    for index in 0..cells.min(from.log_next.load(Ordering::Acquire) as usize) {
        let (to, from) = (&to.log[index], &from.log[index]);
        let mark = from.mark.load(Ordering::Acquire);
        to.copy_from(from);
        fence(Ordering::Acquire);
        // A cell that is being written to holds a line of the other process.
        let whole = mark & WRITING == 0 && from.mark.load(Ordering::Relaxed) == mark;
        to.mark.store(if whole { mark } else { 0 }, Ordering::Relaxed);
    }
    // Last, because a cell with a later number than the next one could never be used again.
    to.log_next.store(from.log_next.load(Ordering::Acquire), Ordering::Relaxed);
}

/// A line as its reader has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Nanoseconds since 1970.
    pub time: u64,
    pub level: Level,
    pub tid: u32,
    pub text: String,
}

/// The whole lines of a log that lies at `offset` of an untrusted source, oldest first; `next` and `cells` are the page's
/// numbers.
pub(super) fn read(source: &impl Source, offset: usize, next: u64, cells: u32) -> std::io::Result<Vec<Line>> {
    let cells = u64::from(cells).min(LOG_CELLS_MAX as u64);
    // Far more lines than any process writes: the sums below do not overflow.
    let next = next.min(u64::MAX >> 1);
    let used = cells.min(next);
    let bytes = source.read(offset, used as usize * size_of::<Cell>())?;
    let whole = |wanted: u64| {
        let at = (wanted % cells) as usize * size_of::<Cell>();
        let cell = &bytes[at..at + size_of::<Cell>()];
        let part = Part::from_word(number(&cell[16..]));
        let length = part.length as usize;
        (number::<8, u64>(cell) == wanted + 1 && length <= TEXT)
            .then(|| (part, number(&cell[8..]), &cell[24..24 + length]))
    };
    let mut lines = Vec::new();
    for first in next - used..next {
        let Some((Part { tid, level, index: 0, count, .. }, time, _)) = whole(first) else { continue };
        let Some(level) = Level::from_number(level.into()) else { continue };
        let parts = (0..count).map(|index| {
            let (part, _, text) = whole(first + u64::from(index)).filter(|_| first + u64::from(index) < next)?;
            (part.index == index && part.count == count && part.tid == tid).then_some(text)
        });
        let Some(parts) = parts.collect::<Option<Vec<_>>>() else { continue };
        let text = parts.concat();
        if text.len() <= LOG_LINE {
            lines.push(Line { time, level, tid, text: String::from_utf8_lossy(&text).into_owned() });
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::page::read::tests::{Bytes, empty_page};

    fn lines(page: &Page) -> Vec<String> {
        let next = page.log_next.load(Ordering::Relaxed);
        let cells = page.log_cells.load(Ordering::Relaxed);
        let lines = read(&Bytes::of(page), offset_of!(Page, log), next, cells).unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn the_last_lines_that_fit_are_there_whole() {
        let page = empty_page();
        page.log_cells.store(32, Ordering::Relaxed);
        let text = |line: usize| format!("line {line} {}", "x".repeat(line * 37 % 500));
        (0..1000).for_each(|line| add(&page, Level::Info, text(line).as_bytes(), 7, 1));
        let lines = lines(&page);
        assert!((7..33).contains(&lines.len()), "{}", lines.len());
        assert_eq!(lines, (1000 - lines.len()..1000).map(text).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_that_was_interrupted_is_left_out_and_costs_no_other() {
        let page = empty_page();
        add(&page, Level::Error, b"before", 7, 1);
        let claimed = page.log_next.fetch_add(1, Ordering::Relaxed);
        page.log[claimed as usize].mark.store(WRITING | (claimed + 1), Ordering::Relaxed);
        add(&page, Level::Error, b"after", 7, 1);
        assert_eq!(lines(&page), ["before", "after"]);
        // A whole round later the cell is still its writer's.
        (0..page.log_cells.load(Ordering::Relaxed)).for_each(|_| add(&page, Level::Debug, b"", 7, 1));
        assert_eq!(lines(&page).len(), page.log_cells.load(Ordering::Relaxed) as usize - 1);
    }

    #[test]
    fn threads_that_write_at_once_tear_no_line() {
        let page = empty_page();
        page.log_cells.store(64, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let page = &page;
                scope.spawn(move || {
                    let text = [b'a' + thread; 300];
                    (0..20_000).for_each(|round| add(page, Level::Info, &text[..round % 300], thread.into(), 1));
                });
            }
        });
        let lines = read(&Bytes::of(&*page), offset_of!(Page, log), page.log_next.load(Ordering::Relaxed), 64).unwrap();
        assert!(!lines.is_empty());
        for line in lines {
            assert!(line.text.bytes().all(|byte| u32::from(byte - b'a') == line.tid), "{line:?}");
        }
    }

    #[test]
    fn a_copy_of_a_log_that_others_write_to_has_its_last_lines_and_takes_more() {
        let (page, done) = (empty_page(), std::sync::atomic::AtomicBool::new(false));
        page.log_cells.store(16, Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    add(&page, Level::Info, &[b'x'; 200], 7, 1);
                }
            });
            let own = |_| {
                let child = empty_page();
                copy(&child, &page);
                add(&child, Level::Info, b"the child's", 8, 1);
                lines(&child).last().is_some_and(|line| line == "the child's")
            };
            let lost = (0..1000).map(own).filter(|has_own| !has_own).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(lost, 0);
        });
    }

    #[test]
    fn whatever_the_page_says_is_read_without_harm() {
        let page = empty_page();
        add(&page, Level::Info, b"text", 7, 1);
        for (next, cells) in [(u64::MAX, u32::MAX), (u64::MAX, 1), (1, 0), (3, 1), (1 << 40, 512)] {
            let lines = read(&Bytes::of(&*page), offset_of!(Page, log), next, cells).unwrap();
            assert!(lines.len() <= 1);
        }
    }
}
