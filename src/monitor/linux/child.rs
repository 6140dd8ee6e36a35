//! A child of the monitor. Nothing that it does holds up the monitor.
//!
//! Its end comes by pidfd, and its result, where it has one, as one message on a socket. So it makes no difference whether
//! the child closes its descriptors, starts children of its own, or execs another program. A child that was forked before
//! there was work for it gets that by the same socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, WaitOptions};

use crate::sys::{process, raw};

/// The longest result in bytes: two paths and an error text.
const RESULT_MAX: usize = 16 * 1024;
/// The longest work in bytes, and its most descriptors.
const WORK_MAX: usize = 64 * 1024;
const WORK_DESCRIPTORS: usize = 4;

pub(super) struct Child {
    pub pid: i32,
    /// None on kernels before 5.3.
    pidfd: Option<OwnedFd>,
    /// None once the result has come.
    result: Option<OwnedFd>,
}

/// The child's end of the socket to the monitor.
pub(super) struct ToMonitor(OwnedFd);

impl ToMonitor {
    pub(super) fn send_result(&self, result: &[u8]) {
        let result = &result[..result.len().min(RESULT_MAX)];
        // The monitor may have ended; the files are there all the same.
        let _ = rustix::net::send(&self.0, result, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Waits for work. None where the monitor has none any more: it has ended.
    pub(super) fn receive_work(&self) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
        let mut bytes = vec![0; WORK_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(WORK_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let receive =
            || rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
        let length = rustix::io::retry_on_intr(receive).ok()?.bytes;
        bytes.truncate(length);
        let descriptors = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors = descriptors.flatten().collect();
        (length > 0).then_some((bytes, descriptors))
    }
}

impl Child {
    /// Forks a child that does `work` and ends. It closes its copies of the descriptors `not_for_child`.
    pub(super) fn start(not_for_child: &[RawFd], work: impl FnOnce(ToMonitor)) -> std::io::Result<Self> {
        let (ours, childs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // With a copy of the monitor's end it would wait for work that nobody can send any more.
        let not_for_child = [not_for_child, &[ours.as_raw_fd()]].concat();
        let pid = process::fork(&not_for_child, || {
            work(ToMonitor(childs));
            0
        })?;
        Ok(Self { pid, pidfd: process::pidfd(pid), result: Some(ours) })
    }

    /// Sends work to a child that waits for it. Fails where the child has ended, or the work is too long.
    pub(super) fn send_work(&self, work: &[u8], descriptors: &[BorrowedFd<'_>]) -> std::io::Result<()> {
        let socket = self.result.as_ref().filter(|_| work.len() <= WORK_MAX).ok_or(rustix::io::Errno::MSGSIZE)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(WORK_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(socket, &[IoSlice::new(work)], &mut control, flags)?;
        Ok(())
    }

    /// Ends a child that waits for work, and frees what is left of it.
    pub(super) fn end_waiting(mut self) {
        // It sees the end of the connection; unless it is stopped, which SIGKILL ends.
        self.result = None;
        self.kill();
        let _ = Pid::from_raw(self.pid).map(|pid| rustix::process::waitpid(Some(pid), WaitOptions::empty()));
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
