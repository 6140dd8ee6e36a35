//! A function of the host that runs in its signal handler.

#![allow(unsafe_code)] // C's function pointers; every block says why it may be called.

use std::ffi::c_void;

/// The host's own function that is called in the crashing thread before the report.
#[derive(Clone, Copy)]
pub(crate) struct CrashCallback {
    function: CrashFunction,
    /// A pointer that only the function looks at.
    user_data: usize,
}

/// Signal, siginfo, context and user data; gives anything but 0 for no report.
pub(crate) type CrashFunction = unsafe extern "C" fn(i32, *const c_void, *const c_void, *mut c_void) -> i32;

impl CrashCallback {
    /// # Safety
    /// The function may be called by a signal handler in any thread, with `user_data`, as long as the process lives.
    pub(crate) unsafe fn new(function: CrashFunction, user_data: *mut c_void) -> Self {
        Self { function, user_data: user_data.addr() }
    }

    /// Calls the function; true where the host wants no report of this crash. May be called by a signal handler.
    ///
    /// # Safety
    /// The pointers are the kernel's for this signal.
    #[cfg(target_os = "linux")]
    pub(crate) unsafe fn vetoes(&self, signal: i32, info: *const c_void, context: *const c_void) -> bool {
        // SAFETY: promised to `new` and by the caller.
        unsafe { (self.function)(signal, info, context, self.user_data as *mut c_void) != 0 }
    }
}

/// Whether two configurations name the same function.
impl PartialEq for CrashCallback {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.function, other.function) && self.user_data == other.user_data
    }
}

impl Eq for CrashCallback {}

impl std::fmt::Debug for CrashCallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CrashCallback({:#x})", self.function as usize)
    }
}
