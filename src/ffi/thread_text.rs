//! Texts that a call leaves for its thread.

use std::ffi::{c_char, c_void};

use crate::sys::thread_value::ThreadValue;

/// A text of each thread's own, in memory of malloc's: where there is none the call that has it fails or does without, while
/// one of Rust's would end the process.
pub(super) struct ThreadText(ThreadValue);

impl ThreadText {
    pub(super) const fn new() -> Self {
        Self(ThreadValue::new(Some(free)))
    }

    /// The calling thread's text, which is valid until it sets another one, or ends.
    pub(super) fn get(&self) -> Option<*const c_char> {
        let text = self.0.get();
        (!text.is_null()).then_some(text.cast_const().cast())
    }

    /// Keeps a text, which ends at its first NUL. None where there is no memory for it; the one before is gone either way.
    pub(super) fn set(&self, text: &[u8]) -> Option<*const c_char> {
        let before = self.0.get();
        // SAFETY: no pointers.
        let copy = unsafe { libc::malloc(text.len() + 1) };
        if self.0.set(copy).is_err() {
            // SAFETY: made above and known to nobody, or NULL.
            unsafe { libc::free(copy) };
            return None;
        }
        // SAFETY: made here, and replaced.
        unsafe { libc::free(before) };
        if copy.is_null() {
            return None;
        }
        // SAFETY: new memory for the text and its NUL.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), copy.cast(), text.len());
            copy.cast::<u8>().add(text.len()).write(0);
        }
        self.get()
    }
}

unsafe extern "C" fn free(text: *mut c_void) {
    // SAFETY: made by `set`, and its thread has ended.
    unsafe { libc::free(text) }
}
