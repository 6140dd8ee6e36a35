//! Signals as records name them, and their codes (sigaction(2), asm-generic/siginfo.h).

use minidump_writer::crash_context::CrashContext;
use serde_json::{Value, json};

use super::sender;
use crate::sys::signals::SI_KERNEL;

/// The signal of a crash.
pub(super) fn of_crash(context: &CrashContext) -> Value {
    let (number, code) = (context.siginfo.ssi_signo as i32, context.siginfo.ssi_code);
    json!({
        "number": number,
        "name": signal(number),
        "code": code,
        "code_name": code_name(number, code),
        "sender": sender::of_crash(context).map(|sender| sender.to_json()),
    })
}

/// How a process has ended; `status` is its wait status (wait(2)), where that is known.
pub(super) fn of_exit(status: Option<i32>) -> Value {
    match status {
        None => json!("unknown"),
        Some(status) if libc::WIFSIGNALED(status) => {
            let number = libc::WTERMSIG(status);
            json!({ "signal": { "number": number, "name": signal(number) }, "core": libc::WCOREDUMP(status) })
        }
        Some(status) => json!({ "status": libc::WEXITSTATUS(status) }),
    }
}

/// The name of a signal that ends processes; `SIG<number>` for the others.
pub(super) fn signal(number: i32) -> String {
    let name = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return format!("SIG{number}"),
    };
    name.to_owned()
}

/// The name of a signal's code; its number where it has none.
fn code_name(signal: i32, code: i32) -> String {
    let sent: &[(i32, &str)] = &[
        (0, "SI_USER"),
        (-1, "SI_QUEUE"),
        (-2, "SI_TIMER"),
        (-3, "SI_MESGQ"),
        (-4, "SI_ASYNCIO"),
        (-5, "SI_SIGIO"),
        (-6, "SI_TKILL"),
        (SI_KERNEL, "SI_KERNEL"),
    ];
    // Codes count from 1.
    let raised: &[&str] = match signal {
        libc::SIGILL => &[
            "ILL_ILLOPC",
            "ILL_ILLOPN",
            "ILL_ILLADR",
            "ILL_ILLTRP",
            "ILL_PRVOPC",
            "ILL_PRVREG",
            "ILL_COPROC",
            "ILL_BADSTK",
        ],
        libc::SIGFPE => &[
            "FPE_INTDIV",
            "FPE_INTOVF",
            "FPE_FLTDIV",
            "FPE_FLTOVF",
            "FPE_FLTUND",
            "FPE_FLTRES",
            "FPE_FLTINV",
            "FPE_FLTSUB",
        ],
        libc::SIGSEGV => &["SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR"],
        libc::SIGBUS => &["BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO"],
        libc::SIGTRAP => &["TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT"],
        _ => &[],
    };
    let raised = usize::try_from(code).ok().and_then(|code| raised.get(code.checked_sub(1)?));
    let sent = sent.iter().find(|(number, _)| *number == code).map(|(_, name)| name);
    raised.or(sent).map_or_else(|| code.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_signals_own_or_the_senders() {
        assert_eq!(code_name(libc::SIGSEGV, 1), "SEGV_MAPERR");
        assert_eq!(code_name(libc::SIGFPE, 1), "FPE_INTDIV");
        assert_eq!(code_name(libc::SIGABRT, -6), "SI_TKILL");
        assert_eq!(code_name(libc::SIGSEGV, 128), "SI_KERNEL");
        assert_eq!(code_name(libc::SIGSEGV, 77), "77");
        assert_eq!(signal(64), "SIG64");
    }
}
