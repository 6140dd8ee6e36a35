//! Whether the process runs in Valgrind, which emulates signals. May be called by a signal handler.

use std::arch::asm;

/// `VG_USERREQ__RUNNING_ON_VALGRIND` in Valgrind's valgrind.h.
const RUNNING_ON_VALGRIND: usize = 0x1001;

/// Asks by Valgrind's client request: a sequence of instructions that does nothing on a processor, and that Valgrind
/// recognizes ("The Client Request mechanism" in its manual).
pub(crate) fn is_running() -> bool {
    let request = [RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0];
    let depth: usize;
    // SAFETY: the rotations add up to none, and the last instruction does nothing; Valgrind reads the live request.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &raw const request,
            inlateout("rdx") 0_usize => depth,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            in("x4") &raw const request,
            inlateout("x3") 0_usize => depth,
            options(nostack),
        );
    }
    depth != 0
}
