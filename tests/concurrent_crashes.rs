//! Threads of one process that crash at the same instant: one reports, and its signal ends the process.

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use common::{Host, Sandbox};

/// Far below the default deadline of 10 s, which a thread that waits for another one must not use up.
const PROMPTLY: Duration = Duration::from_secs(5);

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("crash_at_once.c", "crash_at_once", &[]))
}

fn crash_together(threads: usize) {
    for round in 0..20 {
        let sandbox = Sandbox::new();
        let ended = host().run(&sandbox, &["crash", &threads.to_string()]);
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "round {round}: {ended:?}");
        assert!(ended.took < PROMPTLY, "round {round} took {:?}", ended.took);
        let dump = sandbox.only_dump();
        assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
        assert_ne!(dump.crashing_thread(), ended.pid, "the main thread does not crash");
        dump.check_basics(&host().path, dump.crashing_thread());
        assert_eq!(dump.thread_count(), threads + 1);
    }
}

#[test]
fn two_threads_leave_one_dump() {
    crash_together(2);
}

#[test]
fn sixteen_threads_leave_one_dump() {
    crash_together(16);
}

#[test]
fn threads_that_their_own_handler_saves_live_on() {
    // The dump is the first one's; the others go to the handler that was there before us, as without us.
    for kind in ["recover", "recover-below"] {
        let sandbox = Sandbox::new();
        let ended = host().run(&sandbox, &[kind, "4"]);
        assert_eq!((ended.status.code(), ended.said("recovered")), (Some(0), ""), "{kind}: {ended:?}");
        assert!(ended.took < PROMPTLY, "{kind} took {:?}", ended.took);
        let dump = sandbox.only_dump();
        dump.check_basics(&host().path, dump.crashing_thread());
    }
}
