//! Language runtimes that deal with faults of their own: they get them first, and what they deal with leaves no dump.

mod common;

use std::sync::OnceLock;

use common::{Ended, Host, Sandbox};

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("runtime.c", "runtime", &[]))
}

/// A thousand faults that the runtime deals with leave nothing; then one that it does not leaves a dump.
fn thousand_faults_and_a_crash(arguments: &[&str]) -> Ended {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, arguments);
    assert_eq!(ended.said("recovered "), "1000 of 1000", "{arguments:?}");
    assert_eq!(ended.said("armed "), "0", "{arguments:?}");
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{arguments:?}: {ended:?}");
    let dump = sandbox.only_dump();
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000), "{arguments:?}");
    dump.check_basics(&host().path, ended.pid);
    ended
}

#[test]
fn a_handler_that_moves_the_program_counter() {
    thousand_faults_and_a_crash(&["move", "strategy"]);
}

#[test]
fn a_handler_that_jumps_out() {
    thousand_faults_and_a_crash(&["jump", "strategy"]);
}

#[test]
fn a_handler_that_faults_itself() {
    // A runtime probes memory in its handler, which SA_NODEFER makes possible.
    thousand_faults_and_a_crash(&["nested", "strategy"]);
    thousand_faults_and_a_crash(&["nested", "code"]);
}

#[test]
fn a_handler_that_returns_with_nothing_changed_is_not_asked_for_ever() {
    thousand_faults_and_a_crash(&["leave", "strategy"]);
}

#[test]
fn a_handler_for_a_range_of_code() {
    thousand_faults_and_a_crash(&["move", "code"]);
}

#[test]
fn errno_is_what_it_was_after_a_fault_dealt_with() {
    // The handler before us leaves it alone, and so do we.
    for by in ["strategy", "code"] {
        let ended = thousand_faults_and_a_crash(&["move", by]);
        assert_eq!(ended.said("errno "), "1234", "{by}");
    }
}

#[test]
fn there_can_be_sixteen_ranges() {
    use crash_monitor::{CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT, CM_ERR_NULL_ARGUMENT, CM_OK};
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, &["ranges"]);
    for range in 1..=16 {
        assert_eq!(ended.said(&format!("range {range} ")), CM_OK.to_string());
    }
    assert_eq!(ended.said("range 17 "), CM_ERR_LIMIT.to_string());
    assert!(ended.said("message ").contains("16"), "{ended:?}");
    assert_eq!(ended.said("same "), CM_OK.to_string(), "it counts once");
    assert_eq!(ended.said("empty "), CM_ERR_INVALID_ARGUMENT.to_string());
    assert_eq!(ended.said("null "), CM_ERR_NULL_ARGUMENT.to_string());
}
