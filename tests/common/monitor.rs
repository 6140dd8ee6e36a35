//! Monitors that a test's hosts have started.

use std::path::Path;
use std::time::Instant;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::PATIENCE;

/// Waits, without a fixed time, until `condition` holds; fails the test after [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::yield_now();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// The pid of the process that listens at the socket, by its peer credentials.
pub fn pid_at(socket: &Path) -> Option<u32> {
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).ok()?;
    rustix::net::connect(&fd, &SocketAddrUnix::new(socket).ok()?).ok()?;
    let credentials = rustix::net::sockopt::socket_peercred(&fd).ok()?;
    Some(credentials.pid.as_raw_nonzero().get() as u32)
}

/// Lets the monitor at the socket end by itself, as it does after its last host; ends one that does not.
pub fn end_all(socket: &Path) {
    let start = Instant::now();
    while let Some(pid) = pid_at(socket) {
        if start.elapsed() > PATIENCE / 3 {
            // The pid comes from the socket inside this test's own directory: it is a monitor this test caused.
            if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
