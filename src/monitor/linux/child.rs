//! A child of the monitor. Nothing that it does holds up the monitor.
//!
//! Its end comes by pidfd, and its result, where it has one, as one message on a socket. So it makes no difference whether
//! the child closes its descriptors, starts children of its own, or execs another program.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, WaitOptions};

use crate::sys::{process, raw};

/// The longest result in bytes: two paths and an error text.
const RESULT_MAX: usize = 16 * 1024;

pub(super) struct Child {
    pub pid: i32,
    /// None on kernels before 5.3.
    pidfd: Option<OwnedFd>,
    /// None once the result has come.
    result: Option<OwnedFd>,
}

/// The child's end of the socket for its result.
pub(super) struct ResultSender(OwnedFd);

impl ResultSender {
    pub(super) fn send(&self, result: &[u8]) {
        let result = &result[..result.len().min(RESULT_MAX)];
        // The monitor may have ended; the files are there all the same.
        let _ = rustix::net::send(&self.0, result, SendFlags::NOSIGNAL);
    }
}

impl Child {
    /// Forks a child that does `work` and ends. It closes its copies of the descriptors `not_for_child`.
    pub(super) fn start(not_for_child: &[RawFd], work: impl FnOnce(ResultSender)) -> std::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (result, sender) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let pid = process::fork(not_for_child, || {
            work(ResultSender(sender));
            0
        })?;
        Ok(Self { pid, pidfd: process::pidfd(pid), result: Some(result) })
    }

    /// A descriptor that becomes readable when the child ends.
    pub(super) fn end(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(OwnedFd::as_fd)
    }

    /// A descriptor that becomes readable when the result is there.
    pub(super) fn result(&self) -> Option<BorrowedFd<'_>> {
        self.result.as_ref().map(OwnedFd::as_fd)
    }

    /// The result, with the descriptor that it came on, where it is there: once. It is empty where none will come.
    pub(super) fn take_result(&mut self) -> Option<(OwnedFd, Vec<u8>)> {
        let mut bytes = vec![0; RESULT_MAX];
        let length = match rustix::net::recv(self.result.as_ref()?, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return None,
            Err(_) => 0,
        };
        bytes.truncate(length);
        Some((self.result.take()?, bytes))
    }

    /// The monitor's descriptors.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.pidfd.iter().chain(&self.result).map(AsRawFd::as_raw_fd)
    }

    pub(super) fn kill(&self) {
        // Only `reap` waits for the child, so its id is its own until then.
        raw::kill(self.pid);
    }

    /// How the child has ended; None where it has not. Never waits.
    pub(super) fn reap(&self) -> Option<End> {
        let pid = Pid::from_raw(self.pid)?;
        let (_, status) = match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(waited) => waited?,
            // Other code of a program that is its own monitor has waited for it.
            Err(_) => return Some(End(None)),
        };
        let fate = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) if code == i32::from(process::PANICKED) => Some("panicked".to_owned()),
            (_, Some(signal)) => Some(format!("was ended by signal {signal}")),
            _ => None,
        };
        Some(End(fate))
    }
}

/// How a child has ended: a description of a failure, or None.
pub(super) struct End(pub Option<String>);
