//! The page's memory: a memfd, of which the monitor gets a descriptor, mapped at one address for the process's whole life.
//!
//! A child of fork(2) shares its parent's mapping until it makes a copy of its own in the same place: at once where fork(3)
//! calls our handler, at its first write where the child was made by a raw system call. A word that the kernel sets to zero in
//! every child (madvise(2), `MADV_WIPEONFORK`) says whether the page is the process's own.
//!
//! All calls go through rustix or [`raw`], which make system calls themselves: no errno, no cancellation point, no allocation.

use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags};
use rustix::process::Resource;

use super::layout::{LOG_CELLS_DEFAULT, MAGIC, PAGE_BYTES, Page, VERSION};
use super::log;
use crate::sys::raw::{self, FileIdentity};

/// The page of this process, or of a parent; null before the first use. Its address never changes.
static PAGE: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());
/// Points to one of the three states below, in memory that the kernel clears in a child.
static OWNER: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
const PARENTS: u32 = 0;
const COPYING: u32 = 1;
const OURS: u32 = 2;

/// The memfd's descriptor; -1 for none. The host may have closed it and given its number to something else: then its
/// device or its inode is another one: inode numbers of two file systems may be the same.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
static DEVICE: AtomicU64 = AtomicU64::new(0);
static INODE: AtomicU64 = AtomicU64::new(0);

/// Our descriptor is at least this, so that the next file that the host opens has the number that it would have without us. It
/// is below 64, the length of a process's first table of descriptors: where the process has threads the kernel takes
/// milliseconds to make a longer one (fs/file.c, `expand_fdtable`).
const DESCRIPTOR_MIN: RawFd = 48;

/// The page, to be written to by this process; made where there is none yet. None where there is no memory for it, or where
/// this call has interrupted the making of a child's copy.
pub(super) fn writable() -> Option<&'static Page> {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: only ever set to a page that stays mapped.
    let page = if page.is_null() { create().ok()? } else { unsafe { &*page } };
    let owner = owner()?;
    (owner.load(Ordering::Acquire) == OURS || make_own_copy(page, owner)).then_some(page)
}

/// Where the page is; 0 where nothing was written to it yet.
pub(super) fn address() -> u64 {
    PAGE.load(Ordering::Acquire).addr() as u64
}

/// The memfd, where there is one and its number still means it.
pub(super) fn descriptor() -> Option<BorrowedFd<'static>> {
    let fd = DESCRIPTOR.load(Ordering::Acquire);
    // SAFETY: a number to ask about; what it means is checked next.
    let fd = (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })?;
    let kept = FileIdentity { device: DEVICE.load(Ordering::Acquire), inode: INODE.load(Ordering::Acquire) };
    (raw::identity(fd.as_raw_fd()) == Ok(kept)).then_some(fd)
}

/// For the child of a fork(3), before anything else of the host runs in it.
pub(super) fn after_fork_in_child() {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: only ever set to a page that stays mapped.
    if let (Some(page), Some(owner)) = (unsafe { page.as_ref() }, owner()) {
        // Kernels before 4.14 have not cleared it.
        owner.store(PARENTS, Ordering::Release);
        make_own_copy(page, owner);
    }
}

fn owner() -> Option<&'static AtomicU32> {
    // SAFETY: only ever set to a word that stays mapped.
    unsafe { OWNER.load(Ordering::Acquire).as_ref() }
}

fn create() -> Result<&'static Page, Errno> {
    make_owner()?;
    let (page, memfd) = map()?;
    // SAFETY: just mapped, and not shared yet.
    let new = unsafe { &*page };
    new.magic.store(MAGIC, Ordering::Relaxed);
    new.version.store(VERSION, Ordering::Relaxed);
    new.log_cells.store(LOG_CELLS_DEFAULT as u32, Ordering::Relaxed);
    match PAGE.compare_exchange(ptr::null_mut(), page, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            memfd.into_iter().for_each(keep);
            Ok(new)
        }
        Err(other) => {
            unmap(page.cast());
            // SAFETY: another thread, or the signal handler that interrupted this one, was faster.
            Ok(unsafe { &*other })
        }
    }
}

fn make_owner() -> Result<(), Errno> {
    if owner().is_some() {
        return Ok(());
    }
    let bytes = rustix::param::page_size();
    // SAFETY: a new mapping at an address of the kernel's choice.
    let word = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), bytes, READ_WRITE, MapFlags::PRIVATE)? };
    // SAFETY: the mapping just made. Kernels before 4.14 refuse; then `after_fork_in_child` does it alone.
    let _ = unsafe { rustix::mm::madvise(word, bytes, Advice::LinuxWipeOnFork) };
    let word = word.cast::<AtomicU32>();
    // SAFETY: the mapping just made, all zero.
    unsafe { &*word }.store(OURS, Ordering::Relaxed);
    if OWNER.compare_exchange(ptr::null_mut(), word, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        // SAFETY: the mapping just made, of which no other thread knows.
        let _ = unsafe { rustix::mm::munmap(word.cast(), bytes) };
    }
    Ok(())
}

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

/// New memory for a page, all zero: of a memfd that can neither grow nor shrink, or, where none can be had, of this process
/// alone.
fn map() -> Result<(*mut Page, Option<Memfd>), Errno> {
    let memfd = sealed_memfd().ok();
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe {
        match &memfd {
            Some(memfd) => rustix::mm::mmap(ptr::null_mut(), PAGE_BYTES, READ_WRITE, MapFlags::SHARED, &*memfd.0, 0)?,
            None => rustix::mm::mmap_anonymous(ptr::null_mut(), PAGE_BYTES, READ_WRITE, MapFlags::PRIVATE)?,
        }
    };
    Ok((memory.cast(), memfd))
}

/// Closed by a system call of ours: the one of std is a thread cancellation point (pthreads(7)).
struct Memfd(ManuallyDrop<OwnedFd>);

impl Drop for Memfd {
    fn drop(&mut self) {
        close(self.0.as_raw_fd());
    }
}

fn sealed_memfd() -> Result<Memfd, Errno> {
    // A file above this limit would cost the host a SIGXFSZ (setrlimit(2), RLIMIT_FSIZE).
    if rustix::process::getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < PAGE_BYTES as u64) {
        return Err(Errno::FBIG);
    }
    let memfd = rustix::fs::memfd_create(c"crash-monitor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let memfd = Memfd(ManuallyDrop::new(memfd));
    rustix::fs::ftruncate(&*memfd.0, PAGE_BYTES as u64)?;
    rustix::fs::fcntl_add_seals(&*memfd.0, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memfd)
}

fn unmap(memory: *mut std::ffi::c_void) {
    // SAFETY: made by `map`, and not shared yet.
    let _ = unsafe { rustix::mm::munmap(memory, PAGE_BYTES) };
}

/// Puts a copy of the page in its place; false where there is no memory for it, or another thread is doing so.
fn make_own_copy(page: &Page, owner: &AtomicU32) -> bool {
    match owner.compare_exchange(PARENTS, COPYING, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(state) => return state == OURS,
    }
    let copied = map().and_then(|(new, memfd)| {
        // SAFETY: just mapped, and not shared yet.
        copy(unsafe { &*new }, page);
        let (from, to) = (new.cast(), ptr::from_ref(page).cast_mut().cast());
        // SAFETY: the new mapping takes the old one's place in one step, with memory of the same layout; in this process
        // no thread writes to the old one, which was the parent's.
        let moved = unsafe { rustix::mm::mremap_fixed(from, PAGE_BYTES, PAGE_BYTES, MremapFlags::MAYMOVE, to) };
        if moved.is_err() {
            unmap(from);
        }
        moved.map(|_| memfd)
    });
    match copied {
        Ok(memfd) => {
            let before = descriptor().map(|fd| fd.as_raw_fd());
            DESCRIPTOR.store(-1, Ordering::Release);
            // The parent's, which this process has inherited.
            before.into_iter().for_each(close);
            memfd.into_iter().for_each(keep);
            owner.store(OURS, Ordering::Release);
            true
        }
        Err(_) => {
            owner.store(PARENTS, Ordering::Release);
            false
        }
    }
}

fn close(fd: RawFd) {
    // SAFETY: ours, and not used again.
    unsafe { rustix::io::close(fd) };
}

/// Keeps the memfd open, out of the host's way.
fn keep(memfd: Memfd) {
    let Ok(FileIdentity { device, inode }) = raw::identity(memfd.0.as_raw_fd()) else { return };
    // Where the limit of open files is lower, it stays where it is.
    let fd = match rustix::io::fcntl_dupfd_cloexec(&*memfd.0, DESCRIPTOR_MIN) {
        Ok(moved) => moved.into_raw_fd(),
        Err(_) => ManuallyDrop::new(memfd).0.as_raw_fd(),
    };
    DEVICE.store(device, Ordering::Release);
    INODE.store(inode, Ordering::Release);
    DESCRIPTOR.store(fd, Ordering::Release);
}

/// Copies everything but the heartbeat, which the parent has started for itself.
fn copy(to: &Page, from: &Page) {
    to.magic.store(MAGIC, Ordering::Relaxed);
    to.version.store(VERSION, Ordering::Relaxed);
    to.memory.copy_from(&from.memory);
    to.annotations.copy_from(&from.annotations);
    to.attachments.copy_from(&from.attachments);
    to.threads.copy_from(&from.threads);
    log::copy(to, from);
}
