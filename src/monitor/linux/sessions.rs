//! The connections: their limits, receiving, and sending.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};

use super::messages::{self, Message};
use crate::sys::{descriptors, raw};
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
    /// From the socket's peer credentials.
    pid: i32,
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
    /// A message of the process, and the descriptor that came with it.
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
            // A connection has a socket and, where it is its host's first, a pidfd and the page's descriptor.
            (limit - (DESCRIPTORS_OWN + for_children).min(limit / 2)) / 3
        };
        let max = descriptors::raise_limit().map_or(SESSIONS_MAX, fit).clamp(SESSIONS_MIN, SESSIONS_MAX);
        Self { sessions: BTreeMap::new(), last_id: 0, max, buffer: vec![0; wire::MESSAGE_MAX] }
    }

    /// Adds a connection of a process; gives its id, or None where a limit is reached.
    pub(super) fn admit(&mut self, socket: OwnedFd, pid: i32) -> Option<u64> {
        if self.sessions.len() >= self.max {
            log::warn!("refused process {pid}: {} connections are open already", self.max);
            return None;
        }
        let share = (self.max / 4).max(SHARE_MIN);
        if self.sessions.len() >= share && self.of(pid).len() >= share {
            log::warn!("refused process {pid}: it has {share} connections already");
            return None;
        }
        self.last_id += 1;
        self.sessions.insert(self.last_id, Session { socket, pid });
        Some(self.last_id)
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
        let Some(Session { socket, pid }) = self.sessions.get(&id) else { return Received::Nothing };
        let (length, descriptor) = match receive(socket, &mut self.buffer) {
            Ok((length @ 1.., descriptor)) => (length, descriptor),
            Err(Errno::AGAIN | Errno::INTR) => return Received::Nothing,
            // The peer has closed with an answer unread, which the kernel reports before what the peer had sent
            // (net/unix/af_unix.c).
            Err(Errno::CONNRESET) => return Received::Skipped,
            // Closed, or broken; or, which looks the same, a message of no bytes.
            Ok((0, _)) | Err(_) => {
                if !raw::is_hung_up(socket.as_raw_fd()) {
                    log::warn!("process {pid}: an empty message: its connection is closed");
                }
                return Received::End;
            }
        };
        match messages::interpret(&self.buffer, length, *pid) {
            Ok(message) => Received::Message(*pid, message, descriptor),
            Err(bad) => {
                log::warn!("process {pid}: {bad}: its connection is closed");
                Received::End
            }
        }
    }

    /// Sends without waiting. False for a peer that does not read its answers: its connection is to be ended.
    pub(super) fn send(&self, id: u64, bytes: &[u8]) -> bool {
        let Some(Session { socket, pid }) = self.sessions.get(&id) else { return true };
        let sent = rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        sent.inspect_err(|errno| log::warn!("process {pid}: cannot answer: {errno}: its connection is closed")).is_ok()
    }
}

/// Receives one message; gives its real length, also where it does not fit (recv(2), MSG_TRUNC), and its first descriptor.
/// Further ones are closed.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> rustix::io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((received.bytes, descriptor))
}
