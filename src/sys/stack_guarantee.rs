//! Room on a thread's stack for handling its overflow.

use std::io;

/// In bytes; what crash-handler and minidumper's client need fits several times.
const ROOM: u32 = 64 * 1024;

unsafe extern "system" {
    /// processthreadsapi.h, in kernel32.
    fn SetThreadStackGuarantee(bytes: *mut u32) -> i32;
}

/// Keeps the room for the calling thread. Not for exception handlers.
pub(crate) fn ensure() -> io::Result<()> {
    let mut bytes = ROOM;
    // SAFETY: a pointer to a live number, which the call replaces by what it was before.
    if unsafe { SetThreadStackGuarantee(&raw mut bytes) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
