//! The program that this library is part of. Not for signal handlers.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

static CAN_BE_MONITOR: AtomicBool = AtomicBool::new(false);

/// Notes that this program calls `cm_run_monitor`, so it can be started again as the monitor.
pub(crate) fn set_can_be_monitor() {
    CAN_BE_MONITOR.store(true, Ordering::Relaxed);
}

/// Whether [`set_can_be_monitor`] was called.
pub(crate) fn can_be_monitor() -> bool {
    CAN_BE_MONITOR.load(Ordering::Relaxed)
}

/// Whether this process runs with more rights than its user has: then its environment is not to be trusted.
#[cfg(target_os = "linux")]
pub(crate) fn is_privileged() -> bool {
    // SAFETY: no pointers (getauxval(3)).
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether this process runs with more rights than its user has: then its environment is not to be trusted.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn is_privileged() -> bool {
    // SAFETY: no arguments (issetugid(2)).
    unsafe { libc::issetugid() != 0 }
}

/// Whether this process runs with more rights than its user has: Windows has no programs that do by their file.
#[cfg(windows)]
pub(crate) fn is_privileged() -> bool {
    false
}

/// The file that holds this library's code: the shared library, or the program it is linked into.
#[cfg(unix)]
pub(crate) fn own_file() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: all-zero bytes are a valid Dl_info.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: an address of this library and room for the answer.
    let found = unsafe { libc::dladdr(own_file as *const () as *const _, &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr(3) gives a NUL-terminated string that lives as long as the library is loaded.
    let name = unsafe { std::ffi::CStr::from_ptr(info.dli_fname) };
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    // The main program's name may be its argv[0], which is a path only where it holds a slash (dladdr(3)).
    if path.components().count() > 1 { path.canonicalize().ok() } else { std::env::current_exe().ok() }
}

/// The file that holds this library's code. A DLL usually lies beside the program, where is searched in any case.
#[cfg(windows)]
pub(crate) fn own_file() -> Option<PathBuf> {
    None
}

/// The file of this process's program, to start it once more.
#[cfg(target_os = "linux")]
pub(crate) fn own_executable() -> io::Result<PathBuf> {
    // By this name the kernel starts the same file even where it was replaced or deleted meanwhile.
    Ok(PathBuf::from("/proc/self/exe"))
}

/// The file of this process's program, to start it once more.
#[cfg(not(target_os = "linux"))]
pub(crate) fn own_executable() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// This process's command line.
#[cfg(target_os = "linux")]
pub(crate) fn arguments() -> Vec<OsString> {
    use std::os::unix::ffi::OsStringExt;
    // What std has is empty where the C library does not pass it to shared libraries, as musl.
    let Ok(bytes) = std::fs::read("/proc/self/cmdline") else { return std::env::args_os().collect() };
    bytes.split(|byte| *byte == 0).map(|argument| OsString::from_vec(argument.to_vec())).collect()
}

/// This process's command line.
#[cfg(not(target_os = "linux"))]
pub(crate) fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}
