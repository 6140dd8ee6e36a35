//! The connected processes: accepting them, handling their messages, and noticing their ends. What is to be written for them
//! becomes a job.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};

use super::host_page::HostPage;
use super::listener::{self, Accepted, Listener};
use super::messages::Message;
use super::name_spaces;
use super::poll::{Poll, Source};
use super::process::Process;
use super::process_info::Status;
use super::sessions::{Bequest, Received, Sessions};
use super::unreported;
use crate::monitor::hosts::{Description, Hosts};
use crate::monitor::queue::{self, Cause, Crash, Job, Work};
use crate::sys::{process, raw};
use crate::wire::{self, Verdict};

/// Connections accepted for one event: fewer than the events taken at a time, so that a process which connects again and again
/// does not keep the monitor from serving others.
const ACCEPTED_AT_ONCE: usize = 16;
/// Messages taken from each connection of a process that has ended.
const DRAINED_MAX: usize = 1024;

/// What the event loop passes on.
pub(super) enum Event {
    /// Something is to be written.
    Job(Box<Job<Process>>),
    /// A session has ended, and needs no answers any more.
    SessionEnded(u64),
}

/// What was sent as a child's crash is none.
struct NoChild;

pub(super) struct Clients {
    /// None once released.
    listener: Option<Listener>,
    sessions: Sessions,
    hosts: Hosts<Process>,
    /// For hosts that have sent no hello.
    default: Description,
    default_directory: Option<Rc<OwnedFd>>,
    /// Whether any process has connected yet.
    pub had_any: bool,
    events: VecDeque<Event>,
}

impl Clients {
    pub(super) fn new(listener: Listener, default: Description, poll: &Poll) -> Self {
        poll.add(listener.socket.as_fd(), Source::Listener);
        let (sessions, hosts) = (Sessions::new(queue::DESCRIPTORS_MAX), Hosts::new());
        let default_directory = open_directory(&default.dump_dir);
        let (had_any, events) = (false, VecDeque::new());
        Self { listener: Some(listener), sessions, hosts, default, default_directory, had_any, events }
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether there is a process that may report.
    pub(super) fn has_hosts(&self) -> bool {
        !self.hosts.is_empty() || self.sessions.any_left_to_children()
    }

    /// Whether any host has said hello.
    pub(super) fn serves_hosts(&self) -> bool {
        self.hosts.iter().any(|host| host.description.is_some())
    }

    /// Stops listening, unless a process has connected meanwhile and `wanted` says that it is to be served. Says whether it has
    /// stopped.
    pub(super) fn release(&mut self, poll: &Poll, wanted: bool) -> bool {
        let lock = self.listener.as_ref().and_then(Listener::lock);
        if wanted && self.accept(poll, listener::BACKLOG as usize) {
            return false;
        }
        if let Some(listener) = self.listener.take() {
            poll.remove(&listener.socket);
            listener.release(lock);
        }
        true
    }

    /// Accepts some of the waiting connections.
    pub(super) fn accept_some(&mut self, poll: &Poll) {
        self.accept(poll, ACCEPTED_AT_ONCE);
    }

    /// Accepts waiting connections, up to a number; says whether there was one.
    fn accept(&mut self, poll: &Poll, at_most: usize) -> bool {
        let mut accepted = false;
        for _ in 0..at_most {
            match self.listener.as_ref().map_or(Accepted::NoneWaiting, Listener::accept) {
                Accepted::Peer(socket, process) => {
                    self.admit(poll, socket, process, None);
                }
                Accepted::Refused => continue,
                Accepted::NoneWaiting => break,
            }
            accepted = true;
        }
        accepted
    }

    /// Adds a connection of a process, see [`Sessions::admit`].
    fn admit(&mut self, poll: &Poll, socket: OwnedFd, process: Process, through: Option<u64>) -> Option<u64> {
        let pid = process.pid;
        if self.hosts.get(pid).is_some_and(|host| !host.process.is_same_as(&process)) {
            // The id is used again, so the process that had it before has ended.
            self.host_ended(poll, pid);
        }
        let id = self.sessions.admit(socket, pid, through)?;
        if !self.sessions.socket(id).is_some_and(|socket| poll.add(socket, Source::Session(id))) {
            self.sessions.remove(id);
            return None;
        }
        self.had_any = true;
        if self.hosts.get(pid).is_none() {
            if let Some(end) = process.end() {
                poll.add(end, Source::HostEnd(pid));
            }
            self.hosts.insert(pid, process);
            log::info!("process {pid} connected");
        }
        self.hosts.add_session(pid);
        Some(id)
    }

    /// Receives one message of a session and handles it.
    pub(super) fn handle_message(&mut self, poll: &Poll, id: u64) {
        if let Received::Message(pid, message, descriptor) = self.receive(poll, id) {
            self.handle(poll, id, pid, message, descriptor);
        }
    }

    /// Receives one message; ends the session where that fails.
    fn receive(&mut self, poll: &Poll, id: u64) -> Received {
        let received = self.sessions.receive(id);
        if let Received::End = received {
            self.end_session(poll, id);
        }
        received
    }

    /// Handles the messages that a process has sent before it ended, a goodbye among them.
    fn drain(&mut self, poll: &Poll, pid: i32) {
        // They may also lie on a connection that was not accepted yet.
        self.accept(poll, listener::BACKLOG as usize);
        for id in self.sessions.of(pid) {
            self.drain_session(poll, id);
        }
    }

    fn drain_session(&mut self, poll: &Poll, id: u64) {
        // Bounded, because its children may hold the connection open and go on sending.
        for _ in 0..DRAINED_MAX {
            match self.receive(poll, id) {
                Received::Message(pid, message, descriptor) => self.handle(poll, id, pid, message, descriptor),
                Received::Skipped => {}
                Received::Nothing | Received::End => break,
            }
        }
    }

    fn handle(&mut self, poll: &Poll, id: u64, pid: i32, message: Message, descriptor: Option<OwnedFd>) {
        match message {
            Message::Ignored => {}
            Message::Ping => self.send(poll, id, &wire::header(wire::KIND_PONG, 0)),
            Message::Hello { .. } if self.has_other_rights(pid) => {
                log::warn!("process {pid}: a hello after it has changed its user: its connection is closed");
                self.end_session(poll, id);
            }
            Message::Hello { description, page } => {
                let directory = open_directory(&description.dump_dir);
                let bequest = Bequest { description: description.clone(), page, directory: directory.clone() };
                if !self.sessions.set_hello(id, bequest) {
                    // By now other code than the one that installed may run in the process, with lesser rights.
                    log::warn!("process {pid}: another hello on one connection, which is closed");
                    return self.end_session(poll, id);
                }
                // Where it uninstalls and installs again, the goodbye on the connection before comes first.
                for older in self.sessions.of(pid).into_iter().filter(|older| *older < id) {
                    self.drain_session(poll, older);
                }
                if let Some(host) = self.hosts.get_mut(pid) {
                    host.description = Some(description);
                    host.process.page = HostPage::new(page, descriptor);
                    host.process.named_directory = directory;
                    // Before the answer, after which the host may end at any time.
                    host.info.get_or_insert_with(|| host.process.info(pid));
                    // It may have said goodbye before, and installed once more.
                    host.end_expected = false;
                }
                self.update_heartbeat(pid);
                self.send(poll, id, &wire::welcome(Verdict::Served));
            }
            Message::OtherVersion(version) => {
                let ours = wire::PROTOCOL_VERSION;
                log::warn!(
                    "process {pid}: host speaks protocol version {version}, we speak {ours}: its connection is closed"
                );
                self.send(poll, id, &wire::welcome(Verdict::WrongVersion));
                self.end_session(poll, id);
            }
            Message::Crash(crash) => self.crashed(pid, id, crash),
            Message::ChildCrash(crash) => match self.admit_child(poll, id, pid, descriptor) {
                Ok(Some(own)) => self.crashed(pid, own, crash),
                Ok(None) => {}
                Err(NoChild) => {
                    log::warn!(
                        "process {pid}: a crash of a child without a socket that it has made: the connection is closed"
                    );
                    self.end_session(poll, id);
                }
            },
            Message::DumpRequest { tid, reason } => {
                log::info!("process {pid} asks for a dump: {reason}");
                let tid = name_spaces::thread(pid, tid);
                self.request(pid, Some(id), Work::Dump { tid, cause: Cause::Request(reason) });
            }
            Message::Heartbeat => self.update_heartbeat(pid),
            Message::Goodbye => {
                log::info!("process {pid} says goodbye");
                self.hosts.expect_end(pid);
            }
        }
    }

    /// Adds the connection of a child, whose crash has come over `link` with one end of it. None where a limit is reached.
    fn admit_child(
        &mut self,
        poll: &Poll,
        link: u64,
        child: i32,
        socket: Option<OwnedFd>,
    ) -> Result<Option<u64>, NoChild> {
        let (socket, bequest) = socket.zip(self.sessions.bequest(link)).ok_or(NoChild)?;
        // Otherwise a process could report a crash of the one that has made a socket for it.
        let maker = raw::peer_credentials(socket.as_raw_fd()).map_err(|_| NoChild)?;
        if maker.pid != child {
            return Err(NoChild);
        }
        let mut process = Process::of_peer(socket.as_fd(), child);
        process.page = HostPage::new(bequest.page, None);
        process.named_directory = bequest.directory;
        let own = self.admit(poll, socket, process, Some(link));
        if let Some(host) = self.hosts.get_mut(child).filter(|_| own.is_some()) {
            // It has another description where it has installed itself meanwhile.
            host.description.get_or_insert(bequest.description);
        }
        Ok(own)
    }

    /// Whether the process has another user than the monitor by now. A connection that it has made before would be served.
    fn has_other_rights(&self, pid: i32) -> bool {
        Status::of(pid)
            .and_then(|status| status.effective_uid())
            .is_some_and(|uid| uid != rustix::process::geteuid().as_raw())
    }

    fn crashed(&mut self, pid: i32, session: u64, crash: Box<Crash>) {
        let (signal, tid) = (crash.context.siginfo.ssi_signo, name_spaces::thread(pid, crash.context.tid));
        log::info!("process {pid} reports signal {signal} in thread {tid}");
        self.hosts.expect_end(pid);
        self.request(pid, Some(session), Work::Dump { tid, cause: Cause::Crash(crash) });
    }

    fn update_heartbeat(&mut self, pid: i32) {
        let promise = self.hosts.get(pid).and_then(|host| host.process.heartbeat());
        self.hosts.set_heartbeat(pid, promise);
    }

    /// Has hosts dumped whose heartbeat is overdue.
    pub(super) fn check_heartbeats(&mut self) {
        let look = |process: &Process| Some((process.heartbeat()?.1, process.is_stopped()));
        for (pid, within) in self.hosts.overdue(Instant::now(), look) {
            log::warn!("process {pid} gave no sign of life for {within:?}");
            // No thread is to blame, so the main one is shown first; its id is the process's.
            self.request(pid, None, Work::Dump { tid: pid, cause: Cause::Hang(within) });
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.hosts.next_deadline()
    }

    /// Has something written to the host's dump directory.
    fn request(&mut self, pid: i32, session: Option<u64>, work: Work) {
        let Some(host) = self.hosts.get(pid) else { return };
        let (mut process, info) = (host.process.clone(), host.info.clone());
        let description = host.description.clone().unwrap_or_else(|| {
            process.named_directory.clone_from(&self.default_directory);
            self.default.clone()
        });
        let requested = Instant::now();
        self.events.push_back(Event::Job(Box::new(Job { pid, process, description, info, requested, session, work })));
    }

    pub(super) fn send(&mut self, poll: &Poll, id: u64, bytes: &[u8]) {
        if !self.sessions.send(id, bytes) {
            self.end_session(poll, id);
        }
    }

    pub(super) fn end_session(&mut self, poll: &Poll, id: u64) {
        let Some((socket, pid)) = self.sessions.remove(id) else { return };
        poll.remove(&socket);
        self.events.push_back(Event::SessionEnded(id));
        // A host that is ending is kept until its pidfd reports the end. One that has closed its connections, or has become
        // another program (execve(2)), is no host any more.
        let last = self.hosts.remove_session(pid);
        if last.is_some_and(|host| host.end_expected || !host.process.is_ending()) {
            self.forget_host(poll, pid);
        }
    }

    /// The host with this id has ended, if it is not a new one: that one may have come in the same batch of events.
    pub(super) fn check_end(&mut self, poll: &Poll, pid: i32) {
        if self.hosts.get(pid).is_some_and(|host| host.process.is_ending()) {
            self.host_ended(poll, pid);
        }
    }

    /// The process is gone, though children of it may hold its connections open.
    fn host_ended(&mut self, poll: &Poll, pid: i32) {
        self.drain(poll, pid);
        let Some(host) = self.hosts.get(pid) else { return };
        let status = host.process.wait_status();
        if !host.end_expected && host.description.is_some() && status != Some(0) {
            log::warn!("process {pid} ended without a goodbye: {}", process::describe_status(status));
            let unreported = unreported::why(status, host.process.blocked_at_end());
            self.request(pid, None, Work::Death { status, unreported });
        }
        for id in self.sessions.of(pid) {
            if self.sessions.leave_to_children(id) {
                self.events.push_back(Event::SessionEnded(id));
            } else {
                self.end_session(poll, id);
            }
        }
        self.forget_host(poll, pid);
    }

    fn forget_host(&mut self, poll: &Poll, pid: i32) {
        let Some(host) = self.hosts.remove(pid) else { return };
        if let Some(end) = host.process.end() {
            poll.remove(end);
        }
        log::info!("process {pid} is gone");
    }

    pub(super) fn socket(&self, session: u64) -> Option<BorrowedFd<'_>> {
        self.sessions.socket(session)
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let listener = self.listener.iter().map(|listener| listener.socket.as_raw_fd());
        let hosts = self.hosts.iter().flat_map(|host| host.process.descriptors()).map(|fd| fd.as_raw_fd());
        listener.chain(self.sessions.descriptors()).chain(hosts)
    }
}

/// A directory, whatever comes to lie at its path later. None where there is none; it is made for the first file.
fn open_directory(path: &Path) -> Option<Rc<OwnedFd>> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok().map(Rc::new)
}
