//! A pointer of each thread's own, by a key of the system (pthread_key_create(3), FlsAlloc).
//!
//! Not `thread_local!`: where there is no memory for one, or for its destructor, the dynamic loader and glibc end the process.
//! A destructor here also runs for threads that C made.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;

use once_cell::race::OnceNonZeroUsize;

/// Called at a thread's end with its value, if it is not NULL.
type Destructor = unsafe extern "C" fn(*mut c_void);

pub(crate) struct ThreadValue {
    /// The key plus one. Threads at the same time may make one key too many; in exchange there is no lock that a forked child
    /// could find locked.
    key: OnceNonZeroUsize,
    destructor: Option<Destructor>,
}

impl ThreadValue {
    /// The destructor has to stay loaded, as all of the library does (it is linked with `-z nodelete`).
    pub(crate) const fn new(destructor: Option<Destructor>) -> Self {
        Self { key: OnceNonZeroUsize::new(), destructor }
    }

    /// NULL where this thread has set none.
    pub(crate) fn get(&self) -> *mut c_void {
        self.key.get().map_or(std::ptr::null_mut(), |key| system::get(key.get() - 1))
    }

    /// Sets the value of the calling thread; the one before is the caller's to free. Fails where there is no memory for it, or
    /// the process has no further key.
    pub(crate) fn set(&self, value: *mut c_void) -> io::Result<()> {
        let make = || system::make(self.destructor).map(|key| NonZeroUsize::MIN.saturating_add(key));
        system::set(self.key.get_or_try_init(make)?.get() - 1, value)
    }
}

#[cfg(unix)]
mod system {
    use super::{Destructor, c_void, io};

    pub(super) fn make(destructor: Option<Destructor>) -> io::Result<usize> {
        let mut key = 0;
        // SAFETY: room for one key; the destructor stays loaded.
        check(unsafe { libc::pthread_key_create(&raw mut key, destructor) }).map(|()| key as usize)
    }

    pub(super) fn get(key: usize) -> *mut c_void {
        // SAFETY: a key of ours.
        unsafe { libc::pthread_getspecific(key as libc::pthread_key_t) }
    }

    pub(super) fn set(key: usize, value: *mut c_void) -> io::Result<()> {
        // SAFETY: a key of ours, whose destructor takes such values.
        check(unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, value) })
    }

    fn check(error: i32) -> io::Result<()> {
        if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
    }
}

#[cfg(windows)]
mod system {
    use super::{Destructor, c_void, io};

    /// What FlsAlloc gives for an error.
    const OUT_OF_INDEXES: u32 = u32::MAX;

    // fibersapi.h, in kernel32. On 64-bit Windows its calling convention is C's.
    unsafe extern "C" {
        fn FlsAlloc(destructor: Option<Destructor>) -> u32;
        fn FlsGetValue(key: u32) -> *mut c_void;
        fn FlsSetValue(key: u32, value: *mut c_void) -> i32;
    }

    pub(super) fn make(destructor: Option<Destructor>) -> io::Result<usize> {
        // SAFETY: the destructor stays loaded.
        match unsafe { FlsAlloc(destructor) } {
            OUT_OF_INDEXES => Err(io::Error::last_os_error()),
            key => Ok(key as usize),
        }
    }

    pub(super) fn get(key: usize) -> *mut c_void {
        // SAFETY: a key of ours.
        unsafe { FlsGetValue(key as u32) }
    }

    pub(super) fn set(key: usize, value: *mut c_void) -> io::Result<()> {
        // SAFETY: a key of ours, whose destructor takes such values.
        if unsafe { FlsSetValue(key as u32, value) } == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
