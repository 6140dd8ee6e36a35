//! The library that users get, loaded as a program loads it.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;

use crate::common;

type Install = unsafe extern "C" fn(*const c_char, *const c_char) -> i32;

pub struct Library(*mut c_void);

impl Library {
    /// For as long as the process lives.
    pub fn load() -> Self {
        let path = c_path(&common::dist().join("lib/libcrash_monitor.so"));
        // SAFETY: a NUL-terminated path.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        // SAFETY: dlerror(3) gives a string after a failure.
        assert!(!library.is_null(), "{}", unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy());
        Self(library)
    }

    /// # Safety
    /// `F` is the function's type, as crash_monitor.h has it.
    pub unsafe fn function<F: Copy>(&self, name: &CStr) -> F {
        // SAFETY: a library that stays loaded and a NUL-terminated name.
        let function = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!function.is_null(), "the library has no {name:?}");
        // SAFETY: a function pointer of this type, by the caller's word.
        unsafe { std::mem::transmute_copy::<*mut c_void, F>(&function) }
    }

    /// Arms this process.
    pub fn install(&self, directory: &Path) {
        let dumps = c_path(&directory.join("dumps"));
        // SAFETY: its type in the header; a NUL-terminated path, and NULL, which is allowed.
        let status = unsafe { self.function::<Install>(c"cm_install")(dumps.as_ptr(), std::ptr::null()) };
        assert_eq!(status, 0, "cm_install");
    }
}

pub fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).expect("a path")
}
