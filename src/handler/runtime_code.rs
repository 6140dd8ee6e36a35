//! Ranges of code whose faults belong to a language runtime: Go turns a nil dereference there into a panic.
//!
//! The ranges lie in a page of their own that is writable only while one is added.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::sys::sealed::Pages;

/// How many ranges there can be; a program has one or two runtimes.
pub(crate) const RANGES_MAX: usize = 16;

/// A range is visible to the handler once its end is set. None is ever removed.
struct Range {
    begin: AtomicUsize,
    end: AtomicUsize,
}

/// Null where there is no range yet.
static RANGES: AtomicPtr<[Range; RANGES_MAX]> = AtomicPtr::new(ptr::null_mut());

/// May be called by a signal handler.
fn ranges() -> &'static [Range] {
    // SAFETY: null, or pages that are never unmapped, in which zeros are valid ranges.
    match unsafe { RANGES.load(Ordering::SeqCst).as_ref() } {
        Some(ranges) => ranges,
        None => &[],
    }
}

/// Adds a range of addresses, `begin` included, `end` not; false where there is no room. Not for signal handlers.
pub(super) fn add(pages: &mut Option<Pages>, begin: usize, end: usize) -> io::Result<bool> {
    let pages = match pages {
        Some(pages) => pages,
        none => none.insert(Pages::map(0, size_of::<[Range; RANGES_MAX]>())?),
    };
    pages.open()?;
    let start = pages.sealed_start().cast::<[Range; RANGES_MAX]>();
    // SAFETY: pages that are never unmapped, with room for the ranges; zeros are valid ones.
    let opened = unsafe { &*start };
    // A child that was forked amid a change may have forgotten the pages and not the ranges.
    for range in ranges() {
        put(opened, range.begin.load(Ordering::SeqCst), range.end.load(Ordering::SeqCst));
    }
    let has_room = put(opened, begin, end);
    RANGES.store(start, Ordering::SeqCst);
    pages.seal()?;
    Ok(has_room)
}

fn put(ranges: &[Range], begin: usize, end: usize) -> bool {
    for range in ranges {
        let taken = range.end.load(Ordering::SeqCst) != 0;
        if !taken {
            range.begin.store(begin, Ordering::SeqCst);
            range.end.store(end, Ordering::SeqCst);
        }
        if !taken || (range.begin.load(Ordering::SeqCst), range.end.load(Ordering::SeqCst)) == (begin, end) {
            return true;
        }
    }
    false
}

/// Whether a range was added. May be called by a signal handler.
pub(super) fn is_any() -> bool {
    ranges().first().is_some_and(|range| range.end.load(Ordering::SeqCst) != 0)
}

/// Whether an instruction at `address` belongs to a runtime. May be called by a signal handler.
pub(super) fn contains(address: usize) -> bool {
    ranges().iter().any(|range| {
        let end = range.end.load(Ordering::SeqCst);
        (range.begin.load(Ordering::SeqCst)..end).contains(&address)
    })
}
