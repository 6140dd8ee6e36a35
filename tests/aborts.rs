//! What the C library has said before it aborted the process, in dump and record.

mod common;

use std::sync::OnceLock;

use common::{Ended, Host, Sandbox};
use minidump::{MinidumpAssertion, MinidumpCrashpadInfo};
use serde_json::Value;

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("aborts.c", "aborts", &["-fstack-protector-all", "-Wno-use-after-free"]))
}

/// Runs a host that is to abort; gives what its dump says that the C library has said. The record says the same.
fn said(arguments: &[&str]) -> (Option<String>, Ended) {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, arguments);
    assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended:?}");
    let dump = sandbox.only_dump();
    dump.check_basics(&host().path, ended.crashing_thread());
    let record = sandbox.only_record();
    assert_eq!(record["failed"], serde_json::json!([]), "{record}");
    let annotations: MinidumpCrashpadInfo = dump.dump.get_stream().expect("annotations");
    let text = annotations.simple_annotations.get("abort_message").cloned();
    assert_eq!(record["abort_message"], text.clone().map_or(Value::Null, Value::from));
    let assertion = dump.dump.get_stream::<MinidumpAssertion>().ok().and_then(|stream| stream.expression());
    assert_eq!(assertion, text.as_ref().map(|text| text.chars().take(127).collect()));
    (text, ended)
}

#[test]
fn a_failed_assertion_is_told() {
    let (text, _) = said(&["assert"]);
    let text = text.expect("a text");
    assert!(text.starts_with("aborts: ") && text.contains("aborts.c:"), "{text}");
    assert!(text.ends_with("main: Assertion `argc == 77 && \"sums up\"' failed."), "{text}");
}

#[test]
fn a_smashed_stack_is_told() {
    assert_eq!(said(&["smash"]).0.as_deref(), Some("*** stack smashing detected ***: terminated"));
}

#[test]
fn a_corrupt_heap_is_told() {
    let (text, _) = said(&["free-twice"]);
    assert!(text.as_ref().is_some_and(|text| text.contains("double free")), "{text:?}");
}

#[test]
fn where_the_c_library_has_said_nothing_there_is_no_text() {
    assert_eq!(said(&["abort"]).0, None);
}

#[test]
fn lies_in_the_c_librarys_memory_cost_nothing_but_the_text() {
    for (lie, length) in [("none", None), ("empty", None), ("wild", None), ("long", Some(4092))] {
        let (text, _) = said(&["lie", lie]);
        assert_eq!(text.map(|text| text.len()), length, "{lie}");
    }
}
