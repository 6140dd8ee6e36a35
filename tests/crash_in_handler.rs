//! What the handler itself cannot survive ends the process at once, as the crash would have; the monitor sees that end.
//! And how little it needs.

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use common::{Host, Sandbox, process};

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("broken.c", "broken", &[]))
}

/// Every crash of a host with something broken ends it by SIGSEGV, which the kernel forces on a process whose handler
/// cannot run or faults in turn, and leaves a record of that.
fn ends_without_a_dump(kind: &str) {
    for how in ["segv", "abort", "overflow"] {
        let sandbox = Sandbox::new();
        let ended = host().run(&sandbox, &[kind, how]);
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{kind} {how}: {ended:?}");
        assert!(ended.took < Duration::from_secs(5), "{kind} {how} took {:?}", ended.took);
        sandbox.wait_for_monitors_end();
        let [record] = &sandbox.files()[..] else { panic!("{kind} {how}: {:?}", sandbox.files()) };
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        assert_eq!(record["kind"], "death", "{kind} {how}: {record}");
        assert_eq!(record["pid"], ended.pid);
        let exit = &record["exit"];
        let name = exit["signal"].get("name").unwrap_or(exit);
        assert!(process::is_exit(name, &"SIGSEGV".into()), "{kind} {how}: {record}");
    }
}

#[test]
fn an_alternate_stack_that_cannot_be_written() {
    ends_without_a_dump("stack-without-access");
}

#[test]
fn an_alternate_stack_with_no_room_for_the_handler() {
    ends_without_a_dump("stack-too-small");
}

#[test]
fn the_librarys_own_data_read_only() {
    ends_without_a_dump("data-read-only");
}

#[test]
fn an_alternate_stack_as_small_as_that_of_a_rust_thread_is_enough() {
    for (how, signal) in [("segv", libc::SIGSEGV), ("abort", libc::SIGABRT), ("overflow", libc::SIGSEGV)] {
        let sandbox = Sandbox::new();
        let ended = host().run(&sandbox, &["small-stack", how]);
        assert_eq!(ended.signal(), Some(signal), "{how}: {ended:?}");
        let dump = sandbox.only_dump();
        assert_eq!(dump.signal(), signal, "{how}");
        dump.check_basics(&host().path, ended.pid);
    }
}

/// What the handler itself takes of the stack over the kernel's frame, in bytes, at most. On x86-64 between 800 and 900 were
/// measured, and between 1,100 and 1,200 where it starts a monitor.
const HANDLER_NEEDS: usize = 2048;

fn kill_monitor(sandbox: &Sandbox) {
    let monitor = rustix::process::Pid::from_raw(sandbox.monitor_pid().expect("a monitor") as i32).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn the_handler_needs_little_over_the_kernels_frame() {
    for (how, signal) in [("segv", libc::SIGSEGV), ("abort", libc::SIGABRT), ("overflow", libc::SIGSEGV)] {
        for monitor_is_there in [true, false] {
            let sandbox = Sandbox::new();
            let mut running = host().start(&sandbox, &["stack-beyond-frame", how, &HANDLER_NEEDS.to_string()]);
            running.wait_for("ready");
            if !monitor_is_there {
                kill_monitor(&sandbox);
            }
            running.go_on();
            let ended = running.end();
            assert_eq!(ended.signal(), Some(signal), "{how}: {ended:?}");
            sandbox.only_dump().check_basics(&host().path, ended.pid);
        }
    }
}

/// The handler and what it starts go by nothing on the heap, which an overflow may have overwritten.
#[test]
fn nothing_on_the_heap_is_needed() {
    for monitor_is_there in [true, false] {
        let sandbox = Sandbox::new();
        let mut running = host().start(&sandbox, &["heap-overwritten", "segv"]);
        running.wait_for("ready");
        if !monitor_is_there {
            kill_monitor(&sandbox);
        }
        running.go_on();
        let ended = running.end();
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
        let dump = sandbox.only_dump();
        assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
        dump.check_basics(&host().path, ended.pid);
    }
}

/// A thread that is cancelled (pthread_cancel(3)) while it crashes crashes all the same.
#[test]
fn cancellation_does_not_interrupt_the_handler() {
    let host = Host::build("cancelled_crash.c", "cancelled_crash", &[]);
    for (how, signal) in [("segv", libc::SIGSEGV), ("abort", libc::SIGABRT), ("trap", libc::SIGTRAP)] {
        let sandbox = Sandbox::new();
        let ended = host.run(&sandbox, &[how]);
        assert_eq!(ended.signal(), Some(signal), "{how}: {ended:?}");
        let dump = sandbox.only_dump();
        assert_eq!(dump.signal(), signal, "{how}");
        dump.check_basics(&host.path, ended.crashing_thread());
    }
}
