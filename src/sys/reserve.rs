//! Memory for the time when malloc(3) has none. Rust ends the process where an allocation fails, and a host is promised a
//! status; so what the C API's calls need then comes from here. Not for signal handlers, which allocate nothing.
//!
//! The reserve is static memory in slots. A thread whose allocation has failed takes a slot and fills it from its start; after
//! the call it gives the slot up, which is free again once the last block in it is. Only what outlives its call, as the
//! settings of an installation do, holds a slot for longer.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::lock::this_thread;

/// The largest blocks of a call have 64 KiB: a message, and the stacks that start a monitor.
const SLOT: usize = 128 * 1024;
/// As many calls can be out of memory at the same time.
const SLOTS: usize = 16;
const ALIGNMENT: usize = 4096;

/// Takes no memory until it is used.
#[repr(align(4096))]
struct Memory(UnsafeCell<[[u8; SLOT]; SLOTS]>);

// SAFETY: only addresses are taken of it here; each byte is used by the owner of a block.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([[0; SLOT]; SLOTS]));

struct Slot {
    /// The thread that fills it, or 0.
    owner: AtomicUsize,
    /// Bytes from its start. Its owner's alone.
    used: AtomicUsize,
    /// Blocks that were not freed. Only the owner makes more.
    blocks: AtomicUsize,
}

static SLOT_STATES: [Slot; SLOTS] =
    [const { Slot { owner: AtomicUsize::new(0), used: AtomicUsize::new(0), blocks: AtomicUsize::new(0) } }; SLOTS];

impl Slot {
    fn is_free(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == 0 && self.blocks.load(Ordering::Acquire) == 0
    }

    /// Makes `thread` the owner of a free slot.
    fn take(&self, thread: usize) -> bool {
        if self.owner.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        if self.blocks.load(Ordering::Acquire) != 0 {
            self.owner.store(0, Ordering::Release);
            return false;
        }
        self.used.store(0, Ordering::Relaxed);
        true
    }

    /// The offset of a new block. For the owner.
    fn add(&self, layout: Layout) -> Option<usize> {
        let start = self.used.load(Ordering::Relaxed).checked_next_multiple_of(layout.align())?;
        let end = start.checked_add(layout.size()).filter(|end| *end <= SLOT && layout.align() <= ALIGNMENT)?;
        self.used.store(end, Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
        Some(start)
    }
}

/// Whether a call whose allocations fail would get a slot.
pub(crate) fn has_room() -> bool {
    SLOT_STATES.iter().any(Slot::is_free)
}

/// At the end of a call: the calling thread's slots are for others.
pub(crate) fn give_up() {
    let me = this_thread();
    let mine = SLOT_STATES.iter().filter(|slot| slot.owner.load(Ordering::Relaxed) == me);
    mine.for_each(|slot| slot.owner.store(0, Ordering::Release));
}

/// Null where the reserve is used up, too.
fn allocate(layout: Layout) -> *mut u8 {
    let me = this_thread();
    let mine = |slot: &Slot| slot.owner.load(Ordering::Relaxed) == me;
    let add = |(index, slot): (usize, &Slot)| {
        Some(MEMORY.0.get().cast::<u8>().wrapping_add(index * SLOT + slot.add(layout)?))
    };
    let slots = || SLOT_STATES.iter().enumerate();
    let in_mine = slots().filter(|(_, slot)| mine(slot)).find_map(add);
    let in_new = || slots().filter(|(_, slot)| slot.take(me)).find_map(add);
    in_mine.or_else(in_new).unwrap_or(ptr::null_mut())
}

/// The slot that a block lies in.
fn slot_of(block: *mut u8) -> Option<&'static Slot> {
    SLOT_STATES.get(block.addr().checked_sub(MEMORY.0.get().addr())? / SLOT)
}

/// The allocator of the library's own code: malloc(3), and the reserve where that fails.
struct Allocator;

/// A program has one of these, so a program in Rust that has its own is built without the feature.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: a block is malloc's, or lies in a slot where nothing else does until the slot's last block was freed.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() { allocate(layout) } else { block }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            return block;
        }
        let block = allocate(layout);
        if !block.is_null() {
            // SAFETY: a new block of this size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match slot_of(block) {
            Some(slot) => {
                slot.blocks.fetch_sub(1, Ordering::Release);
            }
            // SAFETY: the caller's promise is passed on.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if slot_of(block).is_none() {
            // SAFETY: the caller's promise is passed on.
            let moved = unsafe { System.realloc(block, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller's promise: the size is not too large for the alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: two blocks of at least so many bytes; the old one is not used any more.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}
