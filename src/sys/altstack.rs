//! Alternate signal stacks (sigaltstack(2)). Not for signal handlers.

use std::ffi::c_void;
use std::io;
use std::ptr;

use super::thread_value::ThreadValue;

/// Room for our handler, besides the frame that the kernel puts on the stack.
const HANDLER_SPACE: usize = 64 * 1024;
/// A stack that the host made is kept if it has this much room besides the kernel's frame; Go's 32 KiB have.
const HANDLER_SPACE_MIN: usize = 16 * 1024;

/// Size in bytes of the largest signal frame of this processor (getauxval(3), `AT_MINSIGSTKSZ`): AVX-512 and AMX
/// registers make it larger than libc's constant. Kernels before 5.14 do not say.
fn kernel_frame() -> usize {
    // SAFETY: no pointers; 0 for an unknown entry.
    let size = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    size.max(libc::MINSIGSTKSZ)
}

/// Makes sure that the calling thread has an alternate stack large enough for the handler. One that we make is
/// unmapped when the thread ends.
pub(crate) fn ensure() -> io::Result<()> {
    let current = current()?;
    if current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= kernel_frame() + HANDLER_SPACE_MIN {
        return Ok(());
    }
    let page = rustix::param::page_size();
    let usable = (HANDLER_SPACE + kernel_frame()).next_multiple_of(page);
    let mut start = OURS.get();
    if start.is_null() {
        start = map_with_guard(page, usable)?;
        if let Err(error) = OURS.set(start) {
            unmap(start);
            return Err(error);
        }
    }
    let stack = libc::stack_t { ss_sp: start.wrapping_byte_add(page), ss_flags: 0, ss_size: usable };
    // SAFETY: the stack is a fresh mapping that lives until the thread's destructor has taken it out of use.
    if unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn current() -> io::Result<libc::stack_t> {
    let mut stack = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: room for one stack_t.
    if unsafe { libc::sigaltstack(ptr::null(), &raw mut stack) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stack)
}

/// Maps `page` inaccessible bytes and `usable` bytes above them: an overflow of the stack faults.
fn map_with_guard(page: usize, usable: usize) -> io::Result<*mut c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), page + usable, libc::PROT_NONE, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a part of the mapping just made.
    if unsafe { libc::mprotect(start.wrapping_byte_add(page), usable, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: the mapping just made, not in use.
        unsafe { libc::munmap(start, page + usable) };
        return Err(error);
    }
    Ok(start)
}

/// The stack that we have made for a thread.
static OURS: ThreadValue = ThreadValue::new(Some(on_thread_exit));

extern "C" fn on_thread_exit(start: *mut c_void) {
    unmap(start);
}

/// Takes the calling thread's stack that begins at `start` out of use, if it still is in use, and unmaps it.
fn unmap(start: *mut c_void) {
    let page = rustix::param::page_size();
    let ours = start.wrapping_byte_add(page);
    if current().is_ok_and(|stack| stack.ss_sp == ours) {
        let disable = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: a live stack_t; a thread that still runs on the stack gets EPERM, and then it must stay.
        if unsafe { libc::sigaltstack(&raw const disable, ptr::null_mut()) } != 0 {
            return;
        }
    }
    let usable = (HANDLER_SPACE + kernel_frame()).next_multiple_of(page);
    // SAFETY: a mapping made by `ensure` for this thread, no longer its alternate stack.
    unsafe { libc::munmap(start, page + usable) };
}
