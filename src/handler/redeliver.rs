//! Has the kernel deliver a signal again, or ends the process where that is refused. Everything here may be called by a signal
//! handler.
//!
//! A sandbox may refuse each of the calls. They are tried in this order: the signal with its siginfo (rt_tgsigqueueinfo(2)),
//! the signal without it (tgkill(2)), the signal to the process (kill(2)), an instruction that raises it, and last exit
//! status 128 + the signal, which is what a shell shows for the signal.

use std::arch::asm;

use super::event::Event;
use super::frozen::Frozen;
use crate::sys::raw::{self, Errno};
use crate::sys::signals::{self, Action, Mask};
use crate::sys::syscall::syscall;
use crate::sys::valgrind;

/// Sets the disposition of a crash signal: the kernel's, or that of a library which interposes sigaction(2). False where it
/// was refused.
pub(super) fn set_disposition(frozen: Option<&Frozen>, signal: i32, action: &Action) -> bool {
    let interposed = frozen.is_some_and(|frozen| frozen.handlers.interposed & signals::bit(signal) != 0);
    // libc's sigaction(2) may use thread-locals and locks. In such a host so does the handler that has called ours.
    let set = if interposed { signals::libc_set(signal, action) } else { signals::set(signal, action) };
    set.is_ok()
}

/// The signal ends the process by its default action once the handler has returned.
pub(super) fn by_default(frozen: Option<&Frozen>, event: &Event) {
    if set_disposition(frozen, event.signal, &Action::DEFAULT) {
        again(event, !event.recurs());
    } else {
        end_process(event.signal);
    }
}

/// Has the kernel deliver the signal again when the handler returns, to the disposition that it has by then. Without that a
/// sent signal would be lost, and so would a trap, after which the program would continue.
///
/// A fault happens again by itself. With `queue` false that is relied on: a handler that called ours may have unblocked the
/// signal (HotSpot's has), and a queued one would interrupt that handler. With `queue` true the signal comes for certain:
/// another thread may have changed what made the instruction fault.
pub(super) fn again(event: &Event, queue: bool) {
    // Valgrind ends with an error of its own where a process sends itself a positive `si_code`, as the kernel's signals have.
    let emulated = event.code() > 0 && valgrind::is_running();
    if queue && !(emulated && event.recurs()) {
        let with_siginfo = || if emulated { Err(Errno(libc::EPERM)) } else { signals::queue(event.signal, event.info) };
        let sent = with_siginfo()
            .or_else(|_| signals::send_to_self(event.signal))
            .or_else(|_| signals::send_to_process(event.signal));
        if sent.is_err() && !event.recurs() {
            end_process(event.signal);
        }
    }
    // The kernel drops a queued signal to the first process of a pid name space (pid_namespaces(7)).
    if raw::getpid() == 1 && event.signal == libc::SIGTRAP {
        step_back(event);
    }
}

/// Has a thread run its breakpoint instruction again: on x86-64 the kernel has left it after int3.
#[cfg(target_arch = "x86_64")]
fn step_back(event: &Event) {
    // The code of a breakpoint instruction's SIGTRAP.
    if event.code() == signals::SI_KERNEL {
        // SAFETY: the kernel's context for this signal.
        unsafe { (*event.ucontext()).uc_mcontext.gregs[libc::REG_RIP as usize] -= 1 };
    }
}

/// Nothing is needed: on AArch64 the kernel has left the thread at its breakpoint instruction, brk.
#[cfg(target_arch = "aarch64")]
fn step_back(_event: &Event) {}

/// Ends the process where our handler cannot be replaced, or the signal cannot be sent.
///
/// A fault while its signal is blocked makes the kernel set the default action and end the process by that signal
/// (`force_sig_info_to_task` in kernel/signal.c), whatever a sandbox refuses.
fn end_process(signal: i32) -> ! {
    signals::set_mask(Mask::MAX);
    fault(signal);
    // SAFETY: an integer only; the call does not return.
    let _ = unsafe { syscall!(libc::SYS_exit_group, 128 + signal) };
    loop {
        fault(libc::SIGSEGV);
    }
}

/// Runs an instruction for which the kernel raises `signal`, where there is one.
fn fault(signal: i32) {
    // SAFETY: the instructions do nothing but fault, with the signal blocked, and so do not return.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        match signal {
            libc::SIGSEGV => asm!("mov eax, dword ptr [0]", out("eax") _),
            libc::SIGILL => asm!("ud2"),
            libc::SIGTRAP => asm!("int3"),
            libc::SIGFPE => asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _),
            // Misaligned, with the alignment check on.
            libc::SIGBUS => asm!(
                "pushfq",
                "or dword ptr [rsp], 0x40000",
                "popfq",
                "mov eax, dword ptr [rsp + 1]",
                out("eax") _
            ),
            _ => {}
        }
    }
    // SAFETY: as above. There is no instruction here for SIGFPE and SIGBUS that faults on every processor.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        match signal {
            libc::SIGSEGV => asm!("str xzr, [{zero}]", zero = in(reg) 0_u64),
            libc::SIGILL => asm!("udf #0"),
            libc::SIGTRAP => asm!("brk #0"),
            _ => {}
        }
    }
}
