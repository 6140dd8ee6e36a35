//! Who may connect, and how many.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::SocketFlags;

use super::event_loop::{Monitor, Token};
use super::host_page::HostPage;
use super::hosts::Host;
use super::session::Session;
use crate::sys::{descriptors, process, raw};

/// Connections served at a time; one more is closed at once. Fewer where the process may not open that many files.
const SESSIONS_MAX: usize = 1024;
/// At least the two of one host, with what is kept to spare.
const SESSIONS_MIN: usize = 2;
/// Descriptors kept for everything but connections: epoll, listener, signals, log, standard ones, dumpers' pipes.
const DESCRIPTORS_KEPT: usize = 32;

/// How many connections fit. A monitor without a descriptor left could not accept one more to close it, of which epoll
/// would tell it over and over, nor start a dumper.
pub(super) fn sessions_max() -> usize {
    // A connection has a socket and, where it is its host's first, a pidfd.
    let fit = |descriptors: u64| (descriptors as usize).saturating_sub(DESCRIPTORS_KEPT) / 2;
    descriptors::raise_limit().map_or(SESSIONS_MAX, fit).clamp(SESSIONS_MIN, SESSIONS_MAX)
}

impl Monitor {
    /// Takes in those who wait to be, up to a number.
    pub(super) fn accept(&mut self, at_most: usize) {
        if let Some(endpoint) = self.endpoint.take() {
            self.accept_waiting(&endpoint.listener, at_most);
            self.endpoint = Some(endpoint);
        }
    }

    /// Takes in those who wait, up to a number; says whether anybody did. Bounded: who connects again and again is not to
    /// keep the others from being served.
    pub(super) fn accept_waiting(&mut self, listener: &OwnedFd, at_most: usize) -> bool {
        let mut accepted = false;
        for _ in 0..at_most {
            match rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => {
                    accepted = true;
                    self.admit(socket);
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                Err(rustix::io::Errno::AGAIN) => return accepted,
                Err(errno) => {
                    log::error!("cannot accept a connection: {errno}");
                    return accepted;
                }
            }
        }
        accepted
    }

    fn admit(&mut self, socket: OwnedFd) {
        let Ok(peer) = raw::peer_credentials(socket.as_raw_fd()) else { return };
        let uid = rustix::process::geteuid().as_raw();
        if peer.uid != uid {
            log::warn!("refused process {} of user {}: this monitor serves user {uid}", peer.pid, peer.uid);
            return;
        }
        if self.sessions.len() >= self.sessions_max {
            log::warn!("refused process {}: {} connections are open already", peer.pid, self.sessions_max);
            return;
        }
        let id = self.new_id();
        if !self.watch(socket.as_fd(), Token::Session(id)) {
            return;
        }
        self.wait_for_first = false;
        self.sessions.insert(id, Session { socket, pid: peer.pid });
        if let Some(host) = self.hosts.get_mut(&peer.pid) {
            host.sessions += 1;
            return;
        }
        let pidfd = process::pidfd(peer.pid);
        if let Some(pidfd) = &pidfd {
            self.watch(pidfd.as_fd(), Token::Host(peer.pid));
        }
        let host = Host {
            pidfd,
            description: None,
            sessions: 1,
            info: None,
            accounted_for: false,
            page: HostPage::default(),
            heartbeat: None,
        };
        self.hosts.insert(peer.pid, host);
        log::info!("process {} connected", peer.pid);
    }
}
