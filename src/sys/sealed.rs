//! Pages for the data that a signal handler uses: filled in normal context, then read-only, so that an overflow of the heap or
//! of static data cannot redirect the handler. Not for signal handlers, which only read what was sealed.

use std::ffi::c_void;
use std::io;
use std::ptr;

/// Every item in sealed pages begins at a multiple of this.
const ALIGNMENT: usize = 16;

/// A mapping of two parts: writable bytes, and behind them pages that are read-only but while [`Pages::open`]ed. It stays
/// mapped for the process's life: a handler may still read it.
pub(crate) struct Pages {
    start: *mut u8,
    writable: usize,
    sealed: usize,
}

// SAFETY: the owner of the address range alone changes it.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps so many bytes of each part, rounded up to whole pages.
    pub(crate) fn map(writable: usize, sealed: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let (writable, sealed) = (writable.next_multiple_of(page), sealed.next_multiple_of(page));
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), writable + sealed, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), writable, sealed })
    }

    /// Room in bytes for what is sealed.
    pub(crate) fn capacity(&self) -> usize {
        self.sealed
    }

    /// Where the writable part begins. It ends at [`Self::sealed_start`].
    pub(crate) fn writable_start(&self) -> *mut c_void {
        self.start.cast()
    }

    /// Where the sealed part begins.
    pub(crate) fn sealed_start(&self) -> *mut u8 {
        self.start.wrapping_add(self.writable)
    }

    /// Makes the sealed part writable until [`Self::seal`].
    pub(crate) fn open(&self) -> io::Result<()> {
        self.protect(libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Makes the sealed part read-only.
    pub(crate) fn seal(&self) -> io::Result<()> {
        self.protect(libc::PROT_READ)
    }

    fn protect(&self, protection: i32) -> io::Result<()> {
        // SAFETY: a part of a mapping of ours; a handler reads it under either protection.
        match unsafe { libc::mprotect(self.sealed_start().cast(), self.sealed, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// How much an item of so many bytes takes of the sealed part.
pub(crate) const fn room(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// Places items one behind the other in opened pages.
pub(crate) struct Placer<'a> {
    pages: &'a Pages,
    used: usize,
}

impl<'a> Placer<'a> {
    /// The first `reserved` bytes are left free.
    pub(crate) fn new(pages: &'a Pages, reserved: usize) -> Self {
        Self { pages, used: room(reserved) }
    }

    /// Copies items; they stay as they are until the pages are opened again.
    ///
    /// # Panics
    /// Where there is no room: the caller has counted it with [`room`].
    pub(crate) fn place<T: Copy>(&mut self, items: &[T]) -> &'static [T] {
        const { assert!(align_of::<T>() <= ALIGNMENT) };
        let bytes = size_of_val(items);
        assert!(self.used + bytes <= self.pages.capacity(), "the sealed pages are too small");
        let start = self.pages.sealed_start().wrapping_add(self.used).cast::<T>();
        self.used += room(bytes);
        // SAFETY: the range lies in the opened part of the mapping, is aligned, and nothing else was placed there. It is
        // never unmapped.
        unsafe {
            ptr::copy_nonoverlapping(items.as_ptr(), start, items.len());
            std::slice::from_raw_parts(start, items.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the kernel may write there for us.
    fn is_writable(address: *const u8) -> bool {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"x").unwrap();
        // SAFETY: the kernel refuses, or writes the byte that is there already.
        let result = unsafe { libc::read(std::os::fd::AsRawFd::as_raw_fd(&read), address.cast_mut().cast(), 1) };
        result == 1
    }

    #[test]
    fn what_was_placed_is_read_only_once_sealed() {
        let pages = Pages::map(8, 100).unwrap();
        pages.open().unwrap();
        let mut placer = Placer::new(&pages, 8);
        let (bytes, words) = (placer.place(b"x23"), placer.place(&[4_u64, 5]));
        assert!(is_writable(bytes.as_ptr()));
        pages.seal().unwrap();
        assert_eq!((bytes, words), (&b"x23"[..], &[4, 5][..]));
        assert!(!is_writable(bytes.as_ptr()));
        assert!(is_writable(pages.writable_start().cast()));
        pages.open().unwrap();
        assert!(is_writable(bytes.as_ptr()));
    }
}
