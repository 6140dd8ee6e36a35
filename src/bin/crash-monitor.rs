//! The `crash-monitor` executable: the monitor as a program of its own.
fn main() {
    let _ = crash_monitor::ffi::cm_run_monitor();
}
