//! The crash context: crash-handler's type, filled from what the kernel gives a handler. Everything here may be called by a
//! signal handler.
//!
//! The type comes through minidump-writer, which re-exports it: using it through crash-handler would link crash-handler's
//! replacement of pthread_create as well.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;

use minidump_writer::crash_context::CrashContext;

use super::decision::Origin;
use super::event::Event;
use crate::sys::raw;

/// Static, because the handler may run on a small alternate stack of the host's.
struct Buffer(UnsafeCell<MaybeUninit<CrashContext>>);

// SAFETY: only the one thread that has claimed the report uses it.
unsafe impl Sync for Buffer {}

static BUFFER: Buffer = Buffer(UnsafeCell::new(MaybeUninit::zeroed()));

/// Describes a signal. For the one thread that has claimed the report.
///
/// Every byte is initialized, padding included, because all of them are sent to the monitor.
pub(super) fn describe(event: &Event) -> &'static [u8] {
    let buffer = BUFFER.0.get().cast::<CrashContext>();
    // SAFETY: the claim lets one thread at a time come here. All-zero bytes are a valid crash context, and the members are
    // written one by one, so that padding stays zero.
    unsafe {
        buffer.write_bytes(0, 1);
        let context = &mut *buffer;
        copy_ucontext(context, event);
        fill_siginfo(context, event);
        context.pid = raw::getpid();
        context.tid = raw::gettid();
        std::slice::from_raw_parts(buffer.cast(), size_of::<CrashContext>())
    }
}

/// Copies the registers and the floating-point state.
///
/// # Safety
/// The event is the kernel's.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_ucontext(context: &mut CrashContext, event: &Event) {
    // The kernel's structure ends with a signal mask of one word (arch/x86/include/uapi/asm/ucontext.h); libc's is longer.
    let to = &raw mut context.context;
    let start = to.cast::<u8>();
    // SAFETY: a member of a live structure.
    let mask = unsafe { (&raw const (*to).uc_sigmask).cast::<u8>() };
    let length = mask.addr() - start.addr() + size_of::<u64>();
    // SAFETY: the kernel's structure is so long, and the crash context begins with the same one.
    unsafe { ptr::copy_nonoverlapping(event.context.cast::<u8>(), start, length) };
    let floats = context.context.uc_mcontext.fpregs;
    if !floats.is_null() {
        // SAFETY: the kernel's FXSAVE area, in the signal's frame.
        unsafe { ptr::copy_nonoverlapping(floats, &raw mut context.float_state, 1) };
    }
}

/// Copies the registers and the floating-point state.
///
/// # Safety
/// The event is the kernel's.
#[cfg(target_arch = "aarch64")]
unsafe fn copy_ucontext(context: &mut CrashContext, event: &Event) {
    const FPSIMD_MAGIC: u32 = 0x4650_8001;
    // SAFETY: the kernel's structure is as long as libc's here (arch/arm64/include/uapi/asm/ucontext.h).
    unsafe { ptr::copy_nonoverlapping(event.context.cast(), &raw mut context.context, 1) };
    // The reserved part begins with the floating-point record, which a magic number marks (sigcontext.h).
    let reserved = &raw const context.context.uc_mcontext.__reserved;
    let floats = &raw mut context.float_state;
    // SAFETY: the reserved part is larger than the record and aligned for it; the two do not overlap.
    unsafe {
        if reserved.cast::<u32>().read() == FPSIMD_MAGIC {
            ptr::copy_nonoverlapping(reserved.cast(), floats, 1);
        }
    }
}

/// Fills in the siginfo, which a crash context holds in signalfd(2)'s layout: there the fault address is at byte 72, and not
/// at 16 as in the siginfo_t of sigaction(2).
fn fill_siginfo(context: &mut CrashContext, event: &Event) {
    // SAFETY: the kernel's siginfo for this signal.
    let info = unsafe { &*event.info };
    let to = &mut context.siginfo;
    to.ssi_signo = info.si_signo as u32;
    to.ssi_errno = info.si_errno;
    to.ssi_code = info.si_code;
    match event.origin() {
        // SAFETY: a raised signal's siginfo holds an address; every bit pattern is one.
        Origin::Raised => to.ssi_addr = unsafe { info.si_addr() } as u64,
        // SAFETY: a sent signal's siginfo holds its sender; every bit pattern is one.
        Origin::Sent => (to.ssi_pid, to.ssi_uid) = unsafe { (info.si_pid() as u32, info.si_uid()) },
    }
}
