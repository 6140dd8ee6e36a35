//! Waits for hosts, messages, dumpers and signals, one after another, and does what they ask for.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use super::dumper::{Dumper, Job};
use super::endpoint::Endpoint;
use super::hosts::{Host, Hosts};
use super::session::{self, Action, Description, Session};
use super::Options;
use crate::error::{Error, Result};
use crate::sys::{process, raw};
use crate::wire;

/// Connections served at a time; one more is closed at once.
const SESSIONS_MAX: usize = 1024;
/// Dumps written at a time; further ones wait for their turn.
const DUMPERS_MAX: usize = 8;
/// Events taken from the kernel at a time.
const EVENTS: usize = 64;

/// Serves until the last host has gone and its dump is written.
pub(super) fn serve(endpoint: Endpoint, starter: Option<OwnedFd>, options: &Options) -> Result<()> {
    let failed = |errno: std::io::Error| Error::system("the monitor's event loop", errno);
    let mut monitor = Monitor::new(endpoint, starter, options).map_err(failed)?;
    log::info!("listening at {}", options.socket.display());
    monitor.run().map_err(failed)?;
    log::info!("ending: no host is left");
    Ok(())
}

/// What an event is about, as the number that epoll hands back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Listener,
    Termination,
    Starter,
    Session(u64),
    Host(i32),
    Dumper(u64),
}

impl Token {
    fn pack(self) -> EventData {
        let (tag, id) = match self {
            Self::Listener => (0, 0),
            Self::Termination => (1, 0),
            Self::Starter => (2, 0),
            Self::Session(id) => (3, id),
            Self::Host(pid) => (4, pid as u64),
            Self::Dumper(id) => (5, id),
        };
        EventData::new_u64(tag << 56 | id)
    }

    fn unpack(data: EventData) -> Self {
        let (tag, id) = (data.u64() >> 56, data.u64() & (1 << 56) - 1);
        match tag {
            0 => Self::Listener,
            1 => Self::Termination,
            2 => Self::Starter,
            3 => Self::Session(id),
            4 => Self::Host(id as i32),
            _ => Self::Dumper(id),
        }
    }
}

struct Monitor {
    epoll: OwnedFd,
    /// None once given up.
    endpoint: Option<Endpoint>,
    termination: OwnedFd,
    /// The ready pipe: while its reader waits, a host is about to connect.
    starter: Option<OwnedFd>,
    /// Whether to go on although there is no host: always with `--stay`, else until the first one comes.
    stay: bool,
    wait_for_first: bool,
    /// SIGTERM came: what is being written is finished, nothing more is begun.
    draining: bool,
    sessions: BTreeMap<u64, Session>,
    hosts: Hosts,
    queue: VecDeque<Job>,
    dumpers: BTreeMap<u64, Dumper>,
    last_id: u64,
    /// Where dumps go of hosts that do not say.
    default: Description,
    buffer: Vec<u8>,
}

impl Monitor {
    fn new(endpoint: Endpoint, starter: Option<OwnedFd>, options: &Options) -> std::io::Result<Self> {
        let termination = process::termination_signal()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &endpoint.listener, Token::Listener.pack(), EventFlags::IN)?;
        epoll::add(&epoll, &termination, Token::Termination.pack(), EventFlags::IN)?;
        if let Some(pipe) = &starter {
            // A pipe's write end has an error, and nothing else, once its reader has gone (poll(2)).
            epoll::add(&epoll, pipe, Token::Starter.pack(), EventFlags::empty())?;
        }
        Ok(Self {
            epoll,
            endpoint: Some(endpoint),
            termination,
            wait_for_first: starter.is_none(),
            starter,
            stay: options.stay,
            draining: false,
            sessions: BTreeMap::new(),
            hosts: Hosts::new(),
            queue: VecDeque::new(),
            dumpers: BTreeMap::new(),
            last_id: 0,
            default: Description { dump_dir: options.dump_dir.clone(), app_name: "app".to_owned() },
            buffer: vec![0; wire::MESSAGE_MAX],
        })
    }

    fn run(&mut self) -> std::io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.finished() {
            let timeout = self.time_to_next_deadline().map(|left| rustix::time::Timespec {
                tv_sec: left.as_secs() as _,
                tv_nsec: left.subsec_nanos() as _,
            });
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            for event in &events {
                self.dispatch(Token::unpack(event.data));
            }
            self.end_late_dumpers();
            self.start_dumpers();
        }
        Ok(())
    }

    /// Whether there is nobody left to serve. Then the endpoint is given up, unless somebody connects meanwhile.
    fn finished(&mut self) -> bool {
        let writing = !self.queue.is_empty() || !self.dumpers.is_empty();
        let expecting = self.stay || self.wait_for_first || self.starter.is_some() || !self.sessions.is_empty();
        if writing || (expecting && !self.draining) {
            return false;
        }
        if let Some(endpoint) = self.endpoint.take() {
            self.endpoint = endpoint.release(|listener| !self.draining && self.accept_all(listener));
        }
        self.endpoint.is_none()
    }

    fn dispatch(&mut self, token: Token) {
        match token {
            Token::Listener => {
                if let Some(endpoint) = self.endpoint.take() {
                    self.accept_all(&endpoint.listener);
                    self.endpoint = Some(endpoint);
                }
            }
            Token::Termination => {
                let _ = rustix::io::read(&self.termination, &mut [0_u8; 128]);
                log::info!("SIGTERM: ending once the dumps in progress are written");
                self.draining = true;
            }
            Token::Starter => self.starter = None,
            Token::Session(id) => self.receive(id),
            Token::Host(pid) => self.host_ended(pid),
            Token::Dumper(id) => self.dumper_speaks(id),
        }
    }

    fn watch(&self, fd: BorrowedFd<'_>, token: Token) -> bool {
        let added = epoll::add(&self.epoll, fd, token.pack(), EventFlags::IN);
        added.inspect_err(|errno| log::error!("cannot watch descriptor {}: {errno}", fd.as_raw_fd())).is_ok()
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// Connections and the processes behind them.
impl Monitor {
    /// Takes in everybody who waits; says whether anybody did.
    fn accept_all(&mut self, listener: &OwnedFd) -> bool {
        let mut accepted = false;
        loop {
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
    }

    fn admit(&mut self, socket: OwnedFd) {
        let Ok(peer) = raw::peer_credentials(socket.as_raw_fd()) else { return };
        let uid = rustix::process::geteuid().as_raw();
        if peer.uid != uid {
            log::warn!("refused process {} of user {}: this monitor serves user {uid}", peer.pid, peer.uid);
            return;
        }
        if self.sessions.len() >= SESSIONS_MAX {
            log::warn!("refused process {}: {SESSIONS_MAX} connections are open already", peer.pid);
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
        let pidfd = rustix::process::Pid::from_raw(peer.pid)
            .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
        if let Some(pidfd) = &pidfd {
            self.watch(pidfd.as_fd(), Token::Host(peer.pid));
        }
        self.hosts.insert(peer.pid, Host { pidfd, description: None, sessions: 1 });
        log::info!("process {} connected", peer.pid);
    }

    fn receive(&mut self, id: u64) {
        // An earlier event of the same batch may have ended the session.
        let Some(session) = self.sessions.get(&id) else { return };
        let pid = session.pid;
        // MSG_TRUNC gives the message's real length, also where it does not fit (recv(2)).
        let received = rustix::net::recv(&session.socket, &mut self.buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC);
        let length = match received {
            Ok((_, 0)) => return self.end_session(id),
            Ok((_, length)) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            Err(errno) => {
                log::debug!("process {pid}: receiving failed: {errno}");
                return self.end_session(id);
            }
        };
        match session::interpret(&self.buffer, length, pid) {
            Ok(action) => self.act(id, pid, action),
            Err(bad) => {
                log::warn!("process {pid}: {bad}: its connection is closed");
                self.end_session(id);
            }
        }
    }

    fn act(&mut self, id: u64, pid: i32, action: Action) {
        match action {
            Action::None => {}
            Action::Reply(bytes) => self.reply(id, &bytes),
            Action::Describe(description, bytes) => {
                if let Some(host) = self.hosts.get_mut(&pid) {
                    host.description = Some(description);
                }
                if !bytes.is_empty() {
                    self.reply(id, &bytes);
                }
            }
            Action::Dump(context) => {
                let description = self.hosts.get(&pid).and_then(|host| host.description.clone());
                let description = description.unwrap_or_else(|| self.default.clone());
                log::info!("process {pid} reports signal {} in thread {}", context.siginfo.ssi_signo, context.tid);
                self.queue.push_back(Job { session: id, context, description });
            }
            Action::Goodbye => log::info!("process {pid} says goodbye"),
            Action::Refuse(bytes, reason) => {
                log::warn!("process {pid}: {reason}: its connection is closed");
                self.reply(id, &bytes);
                self.end_session(id);
            }
        }
    }

    /// Sends without waiting: a peer that does not read what it asked for loses its connection.
    fn reply(&mut self, id: u64, bytes: &[u8]) {
        let Some(session) = self.sessions.get(&id) else { return };
        if let Err(errno) = rustix::net::send(&session.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            log::warn!("process {}: cannot answer: {errno}: its connection is closed", session.pid);
            self.end_session(id);
        }
    }

    fn end_session(&mut self, id: u64) {
        let Some(session) = self.sessions.remove(&id) else { return };
        // Closing takes the socket off epoll only where no dumper has a copy of it, so say it.
        let _ = epoll::delete(&self.epoll, &session.socket);
        let Some(host) = self.hosts.get_mut(&session.pid) else { return };
        host.sessions -= 1;
        if host.sessions == 0 {
            self.forget_host(session.pid);
        }
    }

    /// The process is gone, though children of it may hold its connections open.
    fn host_ended(&mut self, pid: i32) {
        let of_host = self.sessions.iter().filter(|(_, session)| session.pid == pid).map(|(id, _)| *id);
        for id in of_host.collect::<Vec<_>>() {
            self.end_session(id);
        }
    }

    fn forget_host(&mut self, pid: i32) {
        if let Some(pidfd) = self.hosts.remove(&pid).and_then(|host| host.pidfd) {
            let _ = epoll::delete(&self.epoll, &pidfd);
        }
        log::info!("process {pid} is gone");
    }
}

/// The children that write dumps.
impl Monitor {
    fn start_dumpers(&mut self) {
        while self.dumpers.len() < DUMPERS_MAX {
            let Some(job) = self.queue.pop_front() else { return };
            match Dumper::start(job) {
                Ok(dumper) => {
                    let id = self.new_id();
                    self.watch(dumper.result.as_fd(), Token::Dumper(id));
                    self.dumpers.insert(id, dumper);
                }
                Err((job, error)) => {
                    log::error!("process {}: no dump: cannot start a dumper: {error}", job.context.pid);
                    self.acknowledge(job.session);
                }
            }
        }
    }

    fn dumper_speaks(&mut self, id: u64) {
        let Some(dumper) = self.dumpers.get_mut(&id) else { return };
        let pid = dumper.job.context.pid;
        match dumper.read_result() {
            Some(outcome) => {
                match outcome {
                    Ok(path) => log::info!("process {pid}: wrote {}", path.display()),
                    Err(reason) => log::error!("process {pid}: {reason}"),
                }
                if !std::mem::replace(&mut dumper.acked, true) {
                    let session = dumper.job.session;
                    self.acknowledge(session);
                }
            }
            None => self.dumper_ended(id),
        }
    }

    fn dumper_ended(&mut self, id: u64) {
        let Some(dumper) = self.dumpers.remove(&id) else { return };
        let _ = epoll::delete(&self.epoll, &dumper.result);
        let (pid, session, acked) = (dumper.job.context.pid, dumper.job.session, dumper.acked);
        if let Some(fate) = dumper.reap() {
            log::error!("process {pid}: the dumper {fate}");
        }
        if !acked {
            self.acknowledge(session);
        }
    }

    /// The host need not wait any longer. It may be gone already.
    fn acknowledge(&mut self, session: u64) {
        self.reply(session, &wire::header(wire::KIND_CRASH_ACK, 0));
    }

    fn time_to_next_deadline(&self) -> Option<Duration> {
        let next = self.dumpers.values().map(|dumper| dumper.deadline).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn end_late_dumpers(&mut self) {
        let now = Instant::now();
        for dumper in self.dumpers.values_mut().filter(|dumper| dumper.deadline <= now) {
            log::error!("process {}: the dumper did not end in time and is ended", dumper.job.context.pid);
            dumper.kill();
            // Its end comes through its pipe; until then it has no deadline any more.
            dumper.deadline = now + Duration::from_secs(3600);
        }
    }
}
