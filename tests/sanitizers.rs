//! Hosts built with gcc's AddressSanitizer (with its LeakSanitizer) and UndefinedBehaviorSanitizer. Both find nothing to
//! complain about in what the library does, and after our dump they have their say as ever.
//!
//! With ASan's default, `handle_segv=1`, its handler was there before ours and gets its turn after the dump. A report that
//! is no signal (a use after free) ends the process by _exit, without a dump, unless `abort_on_error=1`.

mod common;

use std::sync::OnceLock;

use common::{Ended, Host, Running, Sandbox};

fn address() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("sanitized.c", "sanitized-address", &["-fsanitize=address"]))
}

fn undefined() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("sanitized.c", "sanitized-undefined", &["-fsanitize=undefined"]))
}

/// Runs a host; gives also the sanitizer's report, empty where there is none.
fn run(host: &Host, kind: &str, options: &str) -> (Ended, String, Sandbox) {
    let sandbox = Sandbox::new();
    let report = sandbox.path().join("report");
    let options = format!("log_path={}:{options}", report.display());
    let mut command = host.command(&sandbox, &[kind]);
    let ended = Running::start(command.env("ASAN_OPTIONS", &options).env("UBSAN_OPTIONS", &options)).end();
    let report = report.with_extension(ended.pid.to_string());
    (ended, std::fs::read_to_string(report).unwrap_or_default(), sandbox)
}

/// Installing, using, uninstalling and ending is nothing that a sanitizer reports.
fn nothing_to_report(host: &Host, options: &str) {
    for kind in ["install-only", "uninstalled", "installed"] {
        let (ended, report, sandbox) = run(host, kind, options);
        assert_eq!((ended.status.code(), report.as_str()), (Some(0), ""), "{kind}");
        sandbox.wait_for_monitors_end();
        assert_eq!(sandbox.files(), Vec::<std::path::PathBuf>::new(), "{kind}");
    }
}

#[test]
fn address_and_leak_sanitizer_have_nothing_to_report() {
    nothing_to_report(address(), "detect_leaks=1:detect_stack_use_after_return=1");
    // And leaks are what they look for.
    let (ended, report, _sandbox) = run(address(), "leak", "detect_leaks=1");
    assert_eq!(ended.status.code(), Some(1), "{report}");
    assert!(report.contains("SUMMARY: AddressSanitizer: 1234 byte(s) leaked in 1 allocation(s)."), "{report}");
}

#[test]
fn undefined_behaviour_sanitizer_has_nothing_to_report() {
    nothing_to_report(undefined(), "halt_on_error=1");
    let (_, report, _sandbox) = run(undefined(), "signed-overflow", "");
    assert!(report.contains("signed integer overflow"), "{report}");
}

#[test]
fn a_crash_under_address_sanitizer_leaves_our_dump_and_its_report() {
    let (ended, report, sandbox) = run(address(), "segv", "");
    assert_eq!(ended.status.code(), Some(1), "as ASan ends a process");
    assert!(report.contains("AddressSanitizer: SEGV on unknown address 0x00000dead000"), "{report}");
    let dump = sandbox.only_dump();
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
    dump.check_basics(&address().path, ended.pid);

    // A thread has ASan's alternate stack, of 32 KiB, and keeps it.
    let (ended, report, sandbox) = run(address(), "thread-overflow", "");
    assert_eq!(ended.status.code(), Some(1));
    assert!(report.contains("AddressSanitizer: stack-overflow"), "{report}");
    let dump = sandbox.only_dump();
    assert_eq!(dump.signal(), libc::SIGSEGV);
    dump.check_basics(&address().path, ended.crashing_thread());
}

#[test]
fn an_abort_under_address_sanitizer_leaves_our_dump() {
    let (ended, _, sandbox) = run(address(), "abort", "");
    assert_eq!(ended.signal(), Some(libc::SIGABRT));
    sandbox.only_dump().check_basics(&address().path, ended.pid);

    // So does its own report where it is told to end by abort(3).
    let (ended, report, sandbox) = run(address(), "use-after-free", "abort_on_error=1");
    assert_eq!(ended.signal(), Some(libc::SIGABRT));
    assert!(report.contains("AddressSanitizer: heap-use-after-free"), "{report}");
    let dump = sandbox.only_dump();
    assert_eq!(dump.signal(), libc::SIGABRT);
    dump.check_basics(&address().path, ended.pid);
}

#[test]
fn a_crash_under_undefined_behaviour_sanitizer_leaves_our_dump() {
    for (kind, signal) in [("segv", libc::SIGSEGV), ("abort", libc::SIGABRT), ("thread-overflow", libc::SIGSEGV)] {
        let (ended, _, sandbox) = run(undefined(), kind, "");
        assert_eq!(ended.signal(), Some(signal), "{kind}");
        let dump = sandbox.only_dump();
        assert_eq!(dump.signal(), signal, "{kind}");
        dump.check_basics(&undefined().path, ended.crashing_thread());
    }
}

#[test]
fn a_sanitizer_that_keeps_a_signal_to_itself_makes_the_install_fail() {
    for (options, signals) in [("handle_segv=2", "[11]"), ("allow_user_segv_handler=0", "[7, 8, 11]")] {
        let (ended, report, sandbox) = run(address(), "install-only", options);
        assert_eq!(ended.said("status "), crash_monitor::CM_ERR_HANDLER.to_string(), "{options}: {report}");
        assert!(ended.said("message ").contains(signals), "{options}: {ended:?}");
        sandbox.wait_for_monitors_end();
    }
}
