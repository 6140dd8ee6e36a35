//! After the report the process ends exactly as it would have without the library.

#![allow(unsafe_code)] // Sets a limit between fork and exec.

mod common;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::sync::OnceLock;

use common::{Host, Sandbox};

#[test]
fn the_handler_before_us_gets_its_turn_with_the_original_siginfo() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["handled-segv", "11"]);
    assert_eq!((ended.status.code(), ended.said("handler ")), (Some(42), "11 1 0xdead000"), "{ended:?}");
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);

    // A sent signal: who sent it is in its siginfo, here raise(3), which is tgkill (SI_TKILL).
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["handled", &libc::SIGSEGV.to_string()]);
    assert_eq!(ended.status.code(), Some(42), "{ended:?}");
    let said = ended.said("handler ");
    assert!(said.starts_with(&format!("{} {} ", libc::SIGSEGV, libc::SI_TKILL)), "{said}");
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);
}

#[test]
fn a_signal_that_the_host_ignored_stays_ignored() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["ignored", &libc::SIGTRAP.to_string()]);
    assert!(ended.output.contains("survived"), "{ended:?}");
    assert_eq!(sandbox.only_dump().signal(), libc::SIGSEGV, "armed for the real crash, and no dump of the other");
}

#[test]
fn a_core_file_is_written_as_the_limits_say() {
    for limit in [0, libc::RLIM_INFINITY] {
        let dumped = |arguments: &[&str]| {
            let sandbox = Sandbox::new();
            let mut command = Host::c().command(&sandbox, arguments);
            command.current_dir(sandbox.path());
            // SAFETY: setrlimit is async-signal-safe and nothing else happens between fork and exec.
            unsafe {
                command.pre_exec(move || {
                    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
                    if libc::setrlimit(libc::RLIMIT_CORE, &limit) == 0 {
                        Ok(())
                    } else {
                        Err(std::io::Error::last_os_error())
                    }
                });
            }
            common::Running::start(&mut command).end().status.core_dumped()
        };
        // The rival is the same crash without us.
        assert_eq!(dumped(&["segv"]), dumped(&["uninstall", "segv"]), "limit {limit}");
    }
}

/// `tests/hosts/exit_beside_crash.c`.
fn exiting() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("exit_beside_crash.c", "exit_beside_crash", &[]))
}

#[test]
fn an_exit_that_is_under_way_does_not_overtake_the_signal() {
    let host = exiting();
    for (threads, rounds) in [("0", 20), ("50", 20), ("1000", 3)] {
        for _ in 0..rounds {
            let sandbox = Sandbox::new();
            let ended = host.run(&sandbox, &[threads]);
            assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{threads} threads: {ended:?}");
            sandbox.only_dump().check_basics(&host.path, ended.crashing_thread());
        }
    }
}

#[test]
fn an_exit_that_is_under_way_does_not_overtake_the_programs_own_handler() {
    for threads in ["0", "50"] {
        for _ in 0..5 {
            let sandbox = Sandbox::new();
            let ended = exiting().run(&sandbox, &[threads, "ends"]);
            assert_eq!(ended.status.code(), Some(42), "{threads} threads: {ended:?}");
            sandbox.only_dump().check_basics(&exiting().path, ended.crashing_thread());
        }
    }
}

#[test]
fn a_handler_of_the_programs_own_that_needs_another_thread_waits_for_it_no_longer_than_half_a_second() {
    for threads in ["0", "50"] {
        let sandbox = Sandbox::new();
        let ended = exiting().run(&sandbox, &[threads, "needs-main"]);
        assert_eq!(ended.status.code(), Some(43), "{threads} threads: {ended:?}");
        let waited = ended.took.as_millis();
        assert!((500..5000).contains(&waited), "{ended:?}");
        sandbox.only_dump().check_basics(&exiting().path, ended.crashing_thread());
    }
}
