//! System calls by the processor's own instruction.
//!
//! libc's wrappers write errno, which is thread-local: a thread whose thread pointer is wrong would crash in them again. Some
//! are also cancellation points (pthreads(7)), or are interposed by sanitizers. Nothing here uses thread-local storage.
//!
//! Signal safety: everything here may be called by a signal handler.

use std::arch::asm;
use std::ffi::{c_int, c_long, c_void};

/// An errno value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub i32);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

/// What a raw system call gives.
pub(crate) type SysResult<T> = Result<T, Errno>;

/// The largest errno value; the kernel returns -1 to -4095 for errors (include/linux/err.h).
const ERRNO_MAX: isize = 4095;

/// Calls the kernel with up to six arguments, each cast to a word.
///
/// # Safety
/// What the call does with its arguments has to be sound.
macro_rules! syscall {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::sys::syscall::call($number, $crate::sys::syscall::six([$($argument as usize),*]))
    };
}
pub(crate) use syscall;

/// Fills up with zeros.
pub(crate) const fn six<const N: usize>(arguments: [usize; N]) -> [usize; 6] {
    let mut all = [0; 6];
    let mut index = 0;
    while index < N {
        all[index] = arguments[index];
        index += 1;
    }
    all
}

fn check(result: isize) -> SysResult<usize> {
    if (-ERRNO_MAX..0).contains(&result) { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// One system call, for [`syscall!`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn call(number: c_long, arguments: [usize; 6]) -> SysResult<usize> {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the kernel's calling convention (syscall(2)); what the call does is the caller's promise.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    check(result)
}

/// What a process made by [`clone`] runs; it ends with the exit code that this gives.
pub(crate) type ChildMain = extern "C" fn(*mut c_void) -> c_int;

/// Makes a process that runs `main` on the stack that ends at `top` (clone(2)), and gives its pid.
///
/// # Safety
/// `flags` hold no `CLONE_SETTLS` or other flag that needs a further argument. `top` is the 16-aligned end of a stack that
/// nothing else uses while the child runs, and `main` may be called in it with `argument`.
pub(crate) unsafe fn clone(flags: c_int, top: *mut c_void, main: ChildMain, argument: *mut c_void) -> SysResult<i32> {
    let result: isize;
    // SAFETY: the parent goes on behind the block with all its registers but the clobbered ones; the child runs on its own
    // stack and never leaves the block.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "mov edi, eax",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone as isize => result,
            in("rdi") flags as usize, in("rsi") top, in("rdx") 0, in("r10") 0, in("r8") 0,
            in("r12") main, in("r13") argument,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x21",
            "blr x20",
            "mov x8, {exit}",
            "svc 0",
            "brk 1",
            "2:",
            exit = const libc::SYS_exit,
            in("x8") libc::SYS_clone,
            inlateout("x0") flags as isize => result,
            in("x1") top, in("x2") 0, in("x3") 0, in("x4") 0,
            in("x20") main, in("x21") argument,
        );
    }
    check(result).map(|pid| pid as i32)
}
