//! The connections: their limits, receiving, and sending.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use rustix::net::SendFlags;

use super::messages::{self, Message};
use crate::monitor::hosts::Description;
use crate::sys::{ancillary, descriptors, raw};
use crate::wire;

/// Connections served at a time; one more is closed at once. Fewer where the process may not open that many files.
const SESSIONS_MAX: usize = 1024;
/// At least a host's connection and that of a dump on demand.
const SESSIONS_MIN: usize = 2;
/// Of all connections one host may have a quarter, or this many.
const SHARE_MIN: usize = 32;
/// The monitor's own descriptors besides those of connections and children: epoll, listener, signals, log, standard ones.
const DESCRIPTORS_OWN: usize = 16;

struct Session {
    socket: OwnedFd,
    /// From the socket's peer credentials; [`NOBODY`] once that process has ended and children of it have the connection.
    pid: i32,
    /// The connection over which a child's own one came.
    through: Option<u64>,
    /// What the hello has said, of which a connection has one.
    hello: Option<Bequest>,
}

/// No process has this id.
const NOBODY: i32 = 0;

/// What a child gets that reports over its parent's connection. It does not describe itself, because it may have other rights
/// than its parent, and the files are made with the monitor's.
#[derive(Clone)]
pub(super) struct Bequest {
    pub description: Description,
    /// Where the page is: at the same address in the child.
    pub page: u64,
    /// The dump directory as it was at the hello.
    pub directory: Option<Rc<OwnedFd>>,
}

/// All connections.
pub(super) struct Sessions {
    sessions: BTreeMap<u64, Session>,
    last_id: u64,
    max: usize,
    buffer: Vec<u8>,
}

/// What has come in on a connection.
pub(super) enum Received {
    /// A message of a process, and the descriptor that came with it.
    Message(i32, Message, Option<OwnedFd>),
    /// Nothing for now.
    Nothing,
    /// Nothing this time, but there may be more.
    Skipped,
    /// The peer has closed, or has sent a bad message: the connection is to be ended.
    End,
}

impl Sessions {
    /// Keeps `for_children` of the process's descriptors free, as far as that leaves enough. A monitor without a descriptor
    /// could not even accept a connection to close it, and epoll would report that connection again and again.
    pub(super) fn new(for_children: usize) -> Self {
        let fit = |limit: u64| {
            let limit = limit as usize;
            // A connection has a socket and, where it is its host's first, a pidfd, the page and the dump directory.
            (limit - (DESCRIPTORS_OWN + for_children).min(limit / 2)) / 4
        };
        let max = descriptors::raise_limit().map_or(SESSIONS_MAX, fit).clamp(SESSIONS_MIN, SESSIONS_MAX);
        Self { sessions: BTreeMap::new(), last_id: 0, max, buffer: vec![0; wire::MESSAGE_MAX] }
    }

    /// Adds a connection of a process, which has come over another one or was accepted; gives its id, or None where a limit is
    /// reached.
    pub(super) fn admit(&mut self, socket: OwnedFd, pid: i32, through: Option<u64>) -> Option<u64> {
        if self.sessions.len() >= self.max {
            log::warn!("refused process {pid}: {} connections are open already", self.max);
            return None;
        }
        let share = (self.max / 4).max(SHARE_MIN);
        let of_same = |session: &&Session| session.pid == pid || (through.is_some() && session.through == through);
        if self.sessions.len() >= share && self.sessions.values().filter(of_same).count() >= share {
            log::warn!("refused process {pid}: it, or its parent's children, have {share} connections already");
            return None;
        }
        self.last_id += 1;
        self.sessions.insert(self.last_id, Session { socket, pid, through, hello: None });
        Some(self.last_id)
    }

    /// Notes what a hello has said; false for a further one on the same connection.
    pub(super) fn set_hello(&mut self, id: u64, hello: Bequest) -> bool {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.hello.is_none()) else { return false };
        session.hello = Some(hello);
        true
    }

    /// What a child gets that reports over this connection; None before a hello.
    pub(super) fn bequest(&self, id: u64) -> Option<Bequest> {
        self.sessions.get(&id)?.hello.clone()
    }

    /// The process of this connection has ended. Where children of it still have the connection it is kept for them; says
    /// whether it is.
    pub(super) fn leave_to_children(&mut self, id: u64) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let kept = session.hello.is_some() && !raw::is_hung_up(session.socket.as_raw_fd());
        if kept {
            session.pid = NOBODY;
        }
        kept
    }

    /// Whether there is a connection that only children have.
    pub(super) fn any_left_to_children(&self) -> bool {
        self.sessions.values().any(|session| session.pid == NOBODY)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<(OwnedFd, i32)> {
        self.sessions.remove(&id).map(|session| (session.socket, session.pid))
    }

    /// The connections of a process.
    pub(super) fn of(&self, pid: i32) -> Vec<u64> {
        self.sessions.iter().filter(|(_, session)| session.pid == pid).map(|(id, _)| *id).collect()
    }

    pub(super) fn socket(&self, id: u64) -> Option<BorrowedFd<'_>> {
        self.sessions.get(&id).map(|session| session.socket.as_fd())
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.sessions.values().map(|session| session.socket.as_raw_fd())
    }

    /// Receives one message. What is wrong with it, or with the connection, is logged.
    pub(super) fn receive(&mut self, id: u64) -> Received {
        // An earlier event of the same batch may have ended the session.
        let Some(Session { socket, pid, .. }) = self.sessions.get(&id) else { return Received::Nothing };
        let ancillary::Received { length, sender, descriptor } =
            match ancillary::receive(socket.as_fd(), &mut self.buffer) {
                Ok(received) if received.length > 0 => received,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    return Received::Nothing;
                }
                // The peer has closed with an answer unread, which the kernel reports before what the peer had sent
                // (net/unix/af_unix.c).
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Received::Skipped,
                // Closed, or broken; or, which looks the same, a message of no bytes.
                Ok(_) | Err(_) => {
                    if !raw::is_hung_up(socket.as_raw_fd()) {
                        log::warn!("process {pid}: an empty message: its connection is closed");
                    }
                    return Received::End;
                }
            };
        match messages::interpret(&self.buffer, length, sender) {
            // A forked child, or a process that was handed the connection, may have other rights than its host.
            Ok(message) if sender != *pid && !matches!(message, Message::ChildCrash(_)) => {
                log::warn!("process {pid}: a message of process {sender} over its connection, which is closed");
                Received::End
            }
            Ok(message) => Received::Message(sender, message, descriptor),
            Err(bad) => {
                log::warn!("process {pid}: {bad}: its connection is closed");
                Received::End
            }
        }
    }

    /// Sends without waiting. False for a peer that does not read its answers: its connection is to be ended.
    pub(super) fn send(&self, id: u64, bytes: &[u8]) -> bool {
        let Some(Session { socket, pid, .. }) = self.sessions.get(&id) else { return true };
        let sent = rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        sent.inspect_err(|errno| log::warn!("process {pid}: cannot answer: {errno}: its connection is closed")).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_children_of_a_connection_have_the_share_of_one_process() {
        let mut sessions = Sessions::new(0);
        let (_other, socket) = UnixStream::pair().unwrap();
        let mut admit = |pid, through| sessions.admit(socket.try_clone().unwrap().into(), pid, through);
        let link = admit(1, None);
        let admitted = (2..1000).filter(|child| admit(*child, link).is_some()).count();
        assert!((SHARE_MIN..=SESSIONS_MAX / 4).contains(&admitted), "{admitted}");
        assert!(admit(1000, None).is_some() && admit(1001, Some(u64::MAX)).is_some(), "others are served");
    }
}
