//! What is said on connections, and what becomes of the processes behind them.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use rustix::event::epoll;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};

use super::dumper::{Cause, Job, Work};
use super::endpoint;
use super::event_loop::Monitor;
use super::host_page::HostPage;
use super::process_info::{self, ProcessInfo};
use super::session::{self, Action};
use crate::sys::{process, raw};
use crate::wire;

/// Messages taken from each of a host's other connections before it is dumped.
const HEARD_OUT_MAX: usize = 1024;

/// Takes one message, and the descriptor that came with it.
fn receive_with_descriptor(socket: &OwnedFd, buffer: &mut [u8]) -> (Result<usize, rustix::io::Errno>, Option<OwnedFd>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags);
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    (received.map(|message| message.bytes), descriptor)
}

impl Monitor {
    /// Takes one message; says whether there was one.
    pub(super) fn receive(&mut self, id: u64) -> bool {
        // An earlier event of the same batch may have ended the session.
        let Some(session) = self.sessions.get(&id) else { return false };
        let pid = session.pid;
        // MSG_TRUNC gives the message's real length, also where it does not fit (recv(2)).
        let (received, memfd) = receive_with_descriptor(&session.socket, &mut self.buffer);
        let length = match received {
            Ok(length @ 1..) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return false,
            // It has closed with an answer unread, which comes before what it had sent (net/unix/af_unix.c).
            Err(rustix::io::Errno::CONNRESET) => return true,
            // Closed, or broken; or, which looks the same, a message of no bytes.
            Ok(0) | Err(_) => {
                if !raw::is_hung_up(session.socket.as_raw_fd()) {
                    log::warn!("process {pid}: an empty message: its connection is closed");
                }
                self.end_session(id);
                return false;
            }
        };
        match session::interpret(&self.buffer, length, pid) {
            Ok(action) => self.act(id, pid, action, memfd),
            Err(bad) => {
                log::warn!("process {pid}: {bad}: its connection is closed");
                self.end_session(id);
            }
        }
        true
    }

    /// Takes what a host has said on its connections other than `but`: an annotation set just before a crash belongs into its
    /// dump, and a goodbye is in time until the host has ended.
    fn hear_out(&mut self, pid: i32, but: Option<u64>) {
        if std::mem::replace(&mut self.hearing_out, true) {
            // What it has said there is another request; that one need not wait for this one.
            return;
        }
        // On one that waits to be accepted it may have said something too.
        self.accept(endpoint::BACKLOG as usize);
        let others = self.sessions.iter().filter(|(id, session)| session.pid == pid && Some(**id) != but);
        for id in others.map(|(id, _)| *id).collect::<Vec<_>>() {
            // Bounded: one that never falls silent is not to keep the others from being served.
            let _ = (0..HEARD_OUT_MAX).find(|_| !self.receive(id));
        }
        self.hearing_out = false;
    }

    fn act(&mut self, id: u64, pid: i32, action: Action, memfd: Option<OwnedFd>) {
        match action {
            Action::None => {}
            Action::Reply(bytes) => self.reply(id, &bytes),
            Action::Describe(description, address) => {
                if let Some(host) = self.hosts.get_mut(&pid) {
                    host.description = Some(description);
                    host.page = HostPage::new(address, memfd);
                    // Before the answer, after which the host may end at any time.
                    host.info.get_or_insert_with(|| ProcessInfo::read(pid, pid));
                    // It may have said goodbye before, and installed once more.
                    host.accounted_for = false;
                }
                self.look_for_promise(pid);
                self.reply(id, &wire::welcome(wire::Verdict::Served));
            }
            Action::Crash(_) | Action::Dump { .. } if self.owes_an_answer(id) => {
                log::warn!("process {pid}: another request before the answer to the last: its connection is closed");
                self.end_session(id);
            }
            Action::Crash(context) => {
                log::info!("process {pid} reports signal {} in thread {}", context.siginfo.ssi_signo, context.tid);
                self.hear_out(pid, Some(id));
                self.account_for(pid);
                let tid = context.tid;
                self.enqueue(pid, Work::Dump { session: Some(id), tid, cause: Cause::Crash(context) });
            }
            Action::Dump { tid, reason } => {
                log::info!("process {pid} asks for a dump: {reason}");
                self.hear_out(pid, Some(id));
                self.enqueue(pid, Work::Dump { session: Some(id), tid, cause: Cause::Request(reason) });
            }
            Action::Heartbeat => self.look_for_promise(pid),
            Action::Goodbye => {
                log::info!("process {pid} says goodbye");
                self.account_for(pid);
            }
            Action::Refuse(bytes, reason) => {
                log::warn!("process {pid}: {reason}: its connection is closed");
                self.reply(id, &bytes);
                self.end_session(id);
            }
        }
    }

    /// Sends without waiting: a peer that does not read what it asked for loses its connection.
    pub(super) fn reply(&mut self, id: u64, bytes: &[u8]) {
        let Some(session) = self.sessions.get(&id) else { return };
        if let Err(errno) = rustix::net::send(&session.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            log::warn!("process {}: cannot answer: {errno}: its connection is closed", session.pid);
            self.end_session(id);
        }
    }

    /// Whether a dump that this session has asked for is being written: a second one meanwhile would only delay others.
    fn owes_an_answer(&self, id: u64) -> bool {
        let dumped = self.dumpers.values().filter(|dumper| !dumper.acked).map(|dumper| &dumper.job);
        self.queue.iter().chain(dumped).any(|job| job.session() == Some(id))
    }

    /// The host's end is no news any more.
    fn account_for(&mut self, pid: i32) {
        if let Some(host) = self.hosts.get_mut(&pid) {
            host.accounted_for = true;
            host.heartbeat = None;
        }
    }

    /// Has something written to the host's dump directory.
    pub(super) fn enqueue(&mut self, pid: i32, work: Work) {
        let host = self.hosts.get(&pid);
        let description = host.and_then(|host| host.description.clone()).unwrap_or_else(|| self.default.clone());
        let page = host.map(|host| host.page.clone()).unwrap_or_default();
        let info = host.and_then(|host| host.info.clone());
        self.queue.push_back(Job { pid, description, page, info, asked: Instant::now(), work });
    }

    fn end_session(&mut self, id: u64) {
        let Some(session) = self.sessions.remove(&id) else { return };
        // Closing takes the socket off epoll only where no dumper has a copy of it, so say it.
        let _ = epoll::delete(&self.epoll, &session.socket);
        let Some(host) = self.hosts.get_mut(&session.pid) else { return };
        host.sessions -= 1;
        // A host that is ending is kept until its pidfd says that it has. One that closed its connections, or replaced
        // itself by another program, is no host any more.
        let ending = host.pidfd.is_some() && !host.accounted_for && process_info::is_exiting(session.pid);
        if host.sessions == 0 && !ending {
            self.forget_host(session.pid);
        }
    }

    /// The process is gone, though children of it may hold its connections open.
    pub(super) fn host_ended(&mut self, pid: i32) {
        self.hear_out(pid, None);
        let Some(host) = self.hosts.get(&pid) else { return };
        let status =
            process_info::wait_status_of_zombie(pid).or_else(|| host.pidfd.as_ref().and_then(process::wait_status));
        if !host.accounted_for && host.description.is_some() && status != Some(0) {
            log::warn!("process {pid} ended without a word: {}", process::describe_status(status));
            self.enqueue(pid, Work::Death { status });
        }
        let of_host = self.sessions.iter().filter(|(_, session)| session.pid == pid).map(|(id, _)| *id);
        for id in of_host.collect::<Vec<_>>() {
            self.end_session(id);
        }
        self.forget_host(pid);
    }

    fn forget_host(&mut self, pid: i32) {
        let Some(host) = self.hosts.remove(&pid) else { return };
        if let Some(pidfd) = host.pidfd {
            let _ = epoll::delete(&self.epoll, &pidfd);
        }
        log::info!("process {pid} is gone");
    }
}
