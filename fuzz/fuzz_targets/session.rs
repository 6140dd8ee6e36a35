//! Any bytes as a message to the monitor.

#![no_main]

libfuzzer_sys::fuzz_target!(|message: &[u8]| {
    crash_monitor::monitor::fuzzing::accepts(message);
});
