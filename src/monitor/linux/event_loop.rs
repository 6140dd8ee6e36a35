//! Waits for what happens, and has the rooms act on it.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Instant;

use super::children::{Children, Unanswered};
use super::listener::{self, Accepted, Listener};
use super::messages::Message;
use super::poll::{Poll, Source};
use super::process::Process;
use super::sessions::{Received, Sessions};
use crate::error::{Error, Result};
use crate::monitor::hosts::{Description, Hosts};
use crate::monitor::options::Options;
use crate::monitor::queue::{self, Cause, Job, Work};
use crate::sys::{process, termination};
use crate::wire::{self, Verdict};

/// Connections accepted for one event. Fewer than events, among which are the ends of those accepted before: who connects
/// again and again is not to keep the others from being served.
const ACCEPTED_AT_ONCE: usize = 16;
/// Messages taken from each of a host's other connections before it is dumped.
const DRAINED_MAX: usize = 1024;

/// Serves until the last host has gone and its dump is written.
pub(in crate::monitor) fn serve(listener: Listener, starter: Option<File>, options: &Options) -> Result<()> {
    let failed = |errno: std::io::Error| Error::system("the monitor's event loop", errno);
    let mut monitor = Monitor::new(listener, starter.map(OwnedFd::from), options).map_err(failed)?;
    log::info!("listening at {}", options.socket.display());
    monitor.run().map_err(failed)?;
    log::info!("ending: no host is left");
    Ok(())
}

struct Monitor {
    poll: Poll,
    /// None once released.
    listener: Option<Listener>,
    termination: OwnedFd,
    /// The ready pipe: while its reader waits, a host is about to connect.
    starter: Option<OwnedFd>,
    /// Whether to go on although there is no host: always with `--stay`, else until the first one comes.
    stay: bool,
    wait_for_first: bool,
    /// SIGTERM came: what is being written is finished, nothing more is begun.
    stopping: bool,
    sessions: Sessions,
    hosts: Hosts<Process>,
    children: Children,
    /// Requests that came in while a host's connections were drained for another one.
    deferred: VecDeque<(u64, i32, Message)>,
    /// Where dumps go of hosts that do not say.
    default: Description,
}

impl Monitor {
    fn new(listener: Listener, starter: Option<OwnedFd>, options: &Options) -> std::io::Result<Self> {
        let (poll, termination) = (Poll::new()?, termination::descriptor()?);
        poll.add(listener.socket.as_fd(), Source::Listener);
        poll.add(termination.as_fd(), Source::Termination);
        if let Some(pipe) = &starter {
            poll.add(pipe.as_fd(), Source::Starter);
        }
        Ok(Self {
            poll,
            listener: Some(listener),
            termination,
            wait_for_first: starter.is_none(),
            starter,
            stay: options.stay,
            stopping: false,
            sessions: Sessions::new(queue::DESCRIPTORS_MAX),
            hosts: Hosts::new(),
            children: Children::new(),
            deferred: VecDeque::new(),
            default: Description::default_in(&options.dump_dir),
        })
    }

    fn run(&mut self) -> std::io::Result<()> {
        while !self.finished() {
            let deadline = self.hosts.next_deadline().into_iter().chain(self.children.next_deadline()).min();
            for source in self.poll.wait(deadline)? {
                self.dispatch(source);
            }
            for unanswered in self.children.end_overdue(&self.poll) {
                self.answer(unanswered);
            }
            for (pid, within) in self.hosts.overdue(Instant::now()) {
                log::warn!("process {pid} gave no sign of life for {within:?}");
                // Nobody is to blame; the main thread's id is the process's.
                self.request(pid, None, Work::Dump { tid: pid, cause: Cause::Hang(within) });
            }
            self.start_children();
        }
        Ok(())
    }

    /// Whether there is nobody left to serve. Then the listener is released, unless somebody connects meanwhile.
    fn finished(&mut self) -> bool {
        let expecting = self.stay || self.wait_for_first || self.starter.is_some() || !self.hosts.is_empty();
        if !self.children.queue.is_idle() || (expecting && !self.stopping) {
            return false;
        }
        let lock = self.listener.as_ref().and_then(Listener::lock);
        if !self.stopping && self.accept(listener::BACKLOG as usize) {
            return false;
        }
        if let Some(listener) = self.listener.take() {
            listener.release(lock);
        }
        true
    }

    fn dispatch(&mut self, source: Source) {
        match source {
            Source::Listener => _ = self.accept(ACCEPTED_AT_ONCE),
            Source::Termination => {
                let _ = rustix::io::read(&self.termination, &mut [0_u8; 128]);
                log::info!("SIGTERM: ending once the dumps in progress are written");
                self.stopping = true;
            }
            Source::Starter => self.starter = None,
            Source::Session(id) => {
                if let Received::Message(pid, message) = self.receive(id) {
                    self.act(id, pid, message);
                    self.act_on_deferred();
                }
            }
            Source::HostEnd(pid) => self.host_ended(pid),
            Source::ChildResult(id) => self.children.take_result(&self.poll, id),
            Source::ChildEnd(id) => {
                if let Some(unanswered) = self.children.ended(&self.poll, id) {
                    self.answer(unanswered);
                }
            }
        }
    }

    /// Takes in those who wait to be, up to a number; says whether anybody was there.
    fn accept(&mut self, at_most: usize) -> bool {
        let mut accepted = false;
        for _ in 0..at_most {
            match self.listener.as_ref().map_or(Accepted::Nobody, Listener::accept) {
                Accepted::Peer(socket, process) => self.admit(socket, process),
                Accepted::Refused => continue,
                Accepted::Nobody => break,
            }
            accepted = true;
        }
        accepted
    }

    fn admit(&mut self, socket: OwnedFd, process: Process) {
        let pid = process.pid;
        if self.hosts.get(pid).is_some_and(|host| !host.process.is(&process)) {
            // The id is used again: the one that had it before has ended.
            self.host_ended(pid);
        }
        let Some(id) = self.sessions.admit(socket, pid) else { return };
        if !self.sessions.socket(id).is_some_and(|socket| self.poll.add(socket, Source::Session(id))) {
            self.sessions.remove(id);
            return;
        }
        self.wait_for_first = false;
        if self.hosts.get(pid).is_none() {
            if let Some(end) = process.end() {
                self.poll.add(end, Source::HostEnd(pid));
            }
            self.hosts.insert(pid, process);
            log::info!("process {pid} connected");
        }
        self.hosts.add_session(pid);
    }

    /// Takes one message; what is not one has been dealt with.
    fn receive(&mut self, id: u64) -> Received {
        let received = self.sessions.receive(id);
        if let Received::End = received {
            self.end_session(id);
        }
        received
    }

    /// Acts on what a host has said on its connections other than `session`: an annotation set just before a crash belongs
    /// into its dump, and a goodbye is in time until the host has ended. Other requests have to wait.
    fn drain(&mut self, pid: i32, session: Option<u64>) {
        // On one that waits to be accepted it may have said something too.
        self.accept(listener::BACKLOG as usize);
        for id in self.sessions.of(pid).into_iter().filter(|id| Some(*id) != session) {
            // Bounded: one that never falls silent is not to keep the others from being served.
            for _ in 0..DRAINED_MAX {
                match self.receive(id) {
                    Received::Message(pid, message @ (Message::Crash(_) | Message::DumpRequest { .. })) => {
                        self.deferred.push_back((id, pid, message));
                        break;
                    }
                    Received::Message(pid, message) => self.act(id, pid, message),
                    Received::Skipped => {}
                    Received::Nothing | Received::End => break,
                }
            }
        }
    }

    fn act_on_deferred(&mut self) {
        while let Some((id, pid, message)) = self.deferred.pop_front() {
            if self.sessions.socket(id).is_some() {
                self.act(id, pid, message);
            }
        }
    }

    fn act(&mut self, id: u64, pid: i32, message: Message) {
        match message {
            Message::Ignored => {}
            Message::Ping => self.send(id, &wire::header(wire::KIND_PONG, 0)),
            Message::Hello { description, installs } => {
                if let Some(host) = self.hosts.get_mut(pid) {
                    host.description = Some(description);
                    // Before the answer, after which the host may end at any time.
                    host.info.get_or_insert_with(|| host.process.info(pid));
                    // It may have said goodbye before, and installed once more.
                    host.end_expected &= !installs;
                }
                if installs {
                    self.send(id, &wire::welcome(Verdict::Served));
                }
            }
            Message::OtherVersion(version) => {
                let ours = wire::PROTOCOL_VERSION;
                log::warn!(
                    "process {pid}: host speaks protocol version {version}, we speak {ours}: its connection is closed"
                );
                self.send(id, &wire::welcome(Verdict::WrongVersion));
                self.end_session(id);
            }
            Message::Crash(_) | Message::DumpRequest { .. } if self.owes_answer(id) => {
                log::warn!("process {pid}: another request before the answer to the last: its connection is closed");
                self.end_session(id);
            }
            Message::Crash(context) => {
                log::info!("process {pid} reports signal {} in thread {}", context.siginfo.ssi_signo, context.tid);
                self.drain(pid, Some(id));
                self.hosts.expect_end(pid);
                let tid = context.tid;
                self.request(pid, Some(id), Work::Dump { tid, cause: Cause::Crash(context) });
            }
            Message::DumpRequest { tid, reason } => {
                log::info!("process {pid} asks for a dump: {reason}");
                self.drain(pid, Some(id));
                self.request(pid, Some(id), Work::Dump { tid, cause: Cause::Request(reason) });
            }
            Message::HostData(change) => {
                if !self.hosts.get_mut(pid).is_some_and(|host| host.data.apply(change)) {
                    log::warn!("process {pid} sends more than the limits allow: its connection is closed");
                    self.end_session(id);
                }
            }
            Message::Heartbeat(within) => self.hosts.heartbeat(pid, within),
            Message::Goodbye => {
                log::info!("process {pid} says goodbye");
                self.hosts.expect_end(pid);
            }
        }
    }

    /// Whether a dump that this session has asked for is being written: a second one meanwhile would only delay others.
    fn owes_answer(&mut self, id: u64) -> bool {
        // The host may have read an answer of which the monitor has not been told yet.
        self.children.take_results(&self.poll);
        self.children.queue.owes_answer(id)
    }

    /// Has something written to the host's dump directory.
    fn request(&mut self, pid: i32, session: Option<u64>, work: Work) {
        let Some(host) = self.hosts.get(pid) else { return };
        let description = host.description.clone().unwrap_or_else(|| self.default.clone());
        let (process, data, info) = (host.process.clone(), host.data.clone(), host.info.clone());
        let requested = Instant::now();
        self.children.queue.push(Job { pid, process, description, data, info, requested, session, work });
    }

    fn start_children(&mut self) {
        while let Some(job) = self.children.next_job() {
            let own = self.descriptors();
            let socket = job.session.and_then(|session| self.sessions.socket(session));
            self.children.start_writer(&self.poll, job, socket, &own);
        }
        while let Some(written) = self.children.queue.next_callback() {
            let own = self.descriptors();
            self.children.start_callback(&self.poll, &written, &own);
        }
    }

    /// What is of no use to a child, and would do harm there: connections that it kept open would not end with the monitor.
    fn descriptors(&self) -> Vec<RawFd> {
        let few = [&self.termination].into_iter().chain(self.listener.as_ref().map(|listener| &listener.socket));
        let few = few.chain(&self.starter).map(AsRawFd::as_raw_fd).chain([self.poll.descriptor()]);
        let hosts = self.hosts.processes().filter_map(|process| Some(process.end()?.as_raw_fd()));
        few.chain(self.sessions.descriptors()).chain(hosts).collect()
    }

    fn answer(&mut self, Unanswered { session, answer }: Unanswered) {
        self.send(session, &answer);
    }

    fn send(&mut self, id: u64, bytes: &[u8]) {
        if !self.sessions.send(id, bytes) {
            self.end_session(id);
        }
    }

    fn end_session(&mut self, id: u64) {
        let Some((socket, pid)) = self.sessions.remove(id) else { return };
        self.poll.remove(&socket);
        self.children.queue.cancel_requests(id);
        // A host that is ending is kept until its pidfd says that it has. One that closed its connections, or replaced
        // itself by another program, is no host any more.
        let last = self.hosts.remove_session(pid);
        if last.is_some_and(|host| host.end_expected || !host.process.is_ending()) {
            self.forget_host(pid);
        }
    }

    /// The process is gone, though children of it may hold its connections open.
    fn host_ended(&mut self, pid: i32) {
        self.drain(pid, None);
        self.act_on_deferred();
        let Some(host) = self.hosts.get(pid) else { return };
        let status = host.process.wait_status();
        if !host.end_expected && host.description.is_some() && status != Some(0) {
            log::warn!("process {pid} ended without a goodbye: {}", process::describe_status(status));
            self.request(pid, None, Work::Death { status });
        }
        for id in self.sessions.of(pid) {
            self.end_session(id);
        }
        self.forget_host(pid);
    }

    fn forget_host(&mut self, pid: i32) {
        let Some(host) = self.hosts.remove(pid) else { return };
        if let Some(end) = host.process.end() {
            self.poll.remove(end);
        }
        log::info!("process {pid} is gone");
    }
}
