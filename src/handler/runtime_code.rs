//! Code whose faults are a language runtime's own business: Go turns a nil dereference into a panic that way.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many ranges there can be: a program has one or two runtimes.
pub(crate) const RANGES_MAX: usize = 16;

/// A range is visible to the handler once its end is set; none is ever taken back.
struct Range {
    begin: AtomicUsize,
    end: AtomicUsize,
}

static RANGES: [Range; RANGES_MAX] =
    [const { Range { begin: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; RANGES_MAX];

/// Adds a range of addresses, `begin` included, `end` not; false where there is no room. Not for signal handlers, and for
/// one thread at a time.
pub(crate) fn add(begin: usize, end: usize) -> bool {
    for range in &RANGES {
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

/// Whether an instruction at `address` belongs to a runtime.
pub(super) fn contains(address: usize) -> bool {
    RANGES.iter().any(|range| {
        let end = range.end.load(Ordering::SeqCst);
        (range.begin.load(Ordering::SeqCst)..end).contains(&address)
    })
}
