//! Any words in the page of a host.

#![no_main]

libfuzzer_sys::fuzz_target!(|changes: &[u8]| {
    crash_monitor::monitor::fuzzing::reads_page(changes);
});
