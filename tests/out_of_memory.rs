//! No call ends its host where memory runs out: each gives a status with a message, and works again once there is memory.

mod common;

use std::process::Command;
use std::sync::OnceLock;

use common::{Host, Running, Sandbox};

const CALLS: &str = "tests/hosts/memory.c";

/// `tests/hosts/failing_malloc.c` and `memory.c` as one program.
fn linked() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("failing_malloc.c", "memory", &[CALLS]))
}

/// Has the host make all calls, and checks that it was there until the last.
fn make_all_calls(mut command: Command) {
    // Having called cm_run_monitor the program could be its own monitor, but not at its very beginning.
    let monitor = common::dist().join("bin/crash-monitor");
    let ended = Running::start(command.env("CRASH_MONITOR_PATH", monitor)).end();
    let last = ended.output.lines().rfind(|line| line.starts_with("call "));
    assert_eq!(ended.status.code(), Some(0), "{last:?} of:\n{}", ended.output);
    assert_eq!(ended.said("done"), "");
}

fn mode(mode: &str) {
    let sandbox = Sandbox::new();
    let mut command = Command::new(&linked().path);
    command.arg(sandbox.dumps()).arg(mode);
    make_all_calls(command);
}

#[test]
fn every_call_has_a_status_where_one_allocation_fails() {
    mode("once");
}

#[test]
fn every_call_has_a_status_where_all_allocations_fail_from_one_on() {
    mode("on");
}

#[test]
fn every_call_has_a_status_where_the_heap_is_at_its_limit() {
    mode("full");
}

/// A library that is loaded at run time has its thread-local variables made by the dynamic loader, which ends the process where
/// it has no memory for them.
#[test]
fn every_call_has_a_status_in_a_library_that_was_loaded_at_run_time() {
    let plugin = Host::build("memory.c", "memory.so", &["-shared", "-fPIC"]);
    let program = Host::build("failing_malloc.c", "failing_malloc", &["-rdynamic", "-Wl,--as-needed"]);
    let sandbox = Sandbox::new();
    let mut command = Command::new(&program.path);
    command.arg(sandbox.dumps()).arg("on").arg(&plugin.path);
    make_all_calls(command);
}

#[test]
fn every_function_of_the_header_is_called_so() {
    let header = include_str!("../include/crash_monitor.h");
    let calls = std::fs::read_to_string(CALLS).unwrap();
    let declared = header.lines().filter_map(|line| line.split_once("CM_API ")?.1.split_once('('));
    let names = declared.filter_map(|(before, _)| before.rsplit([' ', '*']).next());
    let functions: Vec<_> = names.filter(|name| name.starts_with("cm_")).collect();
    assert!(functions.len() > 40, "{functions:?}");
    for name in functions {
        let named = [format!("{name}("), format!("{name}, CM_OK")];
        assert!(named.iter().any(|call| calls.contains(call)), "{name}");
    }
}
