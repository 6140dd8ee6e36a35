//! Why a process that a crash signal has ended has reported no crash, as far as that can be known.

use super::signal_names;
use crate::sys::signals::{self, Mask};

/// In words, for a wait status that is a crash signal's; `blocked` is what the main thread had blocked at its end. The other
/// threads' entries in /proc go before the process's end can be noticed.
pub(super) fn why(status: Option<i32>, blocked: Option<Mask>) -> Option<String> {
    let status = status.filter(|status| libc::WIFSIGNALED(*status))?;
    let number = libc::WTERMSIG(status);
    if !signals::CRASH_SIGNALS.contains(&number) {
        return None;
    }
    let name = signal_names::signal(number);
    let known = match blocked.map(signals::crash_signals_in) {
        None => "Which signals were blocked is not known: the process had been waited for already.".to_owned(),
        Some(blocked) if blocked.is_empty() => {
            // The kernel unblocks the signal of a fault before it ends the process by it (kernel/signal.c,
            // force_sig_info_to_task).
            format!(
                "The main thread had no crash signal but perhaps {name} blocked; what other threads had is not known."
            )
        }
        Some(blocked) => {
            let names: Vec<_> = blocked.into_iter().map(signal_names::signal).collect();
            format!("The main thread had {} blocked.", names.join(", "))
        }
    };
    Some(format!(
        "the crash was not reported: the signal was blocked, or the stack was used up in a thread without an alternate one, or \
         the program had replaced the handler or vetoed the report, or the handler could not reach the monitor. {known}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_for_crash_signals_alone() {
        assert_eq!(why(None, Some(Mask::MAX)), None);
        assert_eq!(why(Some(7 << 8), Some(Mask::MAX)), None);
        assert_eq!(why(Some(libc::SIGKILL), Some(Mask::MAX)), None);
        const CORE: i32 = 0x80;
        assert!(why(Some(libc::SIGSEGV | CORE), None).unwrap().contains("waited for already"));
    }

    #[test]
    fn what_is_known_of_the_main_thread_is_said() {
        let said = |blocked| why(Some(libc::SIGBUS), Some(blocked)).unwrap();
        let [segv, term] = [libc::SIGSEGV, libc::SIGTERM].map(signals::bit);
        assert!(said(segv | term).ends_with("The main thread had SIGSEGV blocked."));
        assert!(said(term).contains("no crash signal but perhaps SIGBUS"));
    }
}
