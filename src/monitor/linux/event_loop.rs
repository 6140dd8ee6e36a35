//! Waits for hosts, messages, dumpers and signals, one after another, and has them served: `admission`, `connections`
//! and `dumping` are the other parts of [`Monitor`].

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::admission;
use super::dumper::{Dumper, Job};
use super::endpoint::{self, Endpoint};
use super::hosts::Hosts;
use super::session::{Description, Session};
use crate::error::{Error, Result};
use crate::monitor::Options;
use crate::monitor::retention::Limits;
use crate::settings;
use crate::settings::Contents;
use crate::sys::termination;
use crate::wire;

/// Events taken from the kernel at a time.
const EVENTS: usize = 64;
/// Connections accepted for one event. Fewer than events, among which are the ends of those accepted before.
const ACCEPTED_AT_ONCE: usize = 16;

/// Serves until the last host has gone and its dump is written.
pub(in crate::monitor) fn serve(endpoint: Endpoint, starter: Option<File>, options: &Options) -> Result<()> {
    let failed = |errno: std::io::Error| Error::system("the monitor's event loop", errno);
    let mut monitor = Monitor::new(endpoint, starter.map(OwnedFd::from), options).map_err(failed)?;
    log::info!("listening at {}", options.socket.display());
    monitor.run().map_err(failed)?;
    log::info!("ending: no host is left");
    Ok(())
}

/// What an event is about, as the number that epoll hands back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
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
        let (tag, id) = (data.u64() >> 56, data.u64() & ((1 << 56) - 1));
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

/// The monitor's state.
pub(super) struct Monitor {
    pub(super) epoll: OwnedFd,
    /// None once given up.
    pub(super) endpoint: Option<Endpoint>,
    termination: OwnedFd,
    /// The ready pipe: while its reader waits, a host is about to connect.
    starter: Option<OwnedFd>,
    /// Whether to go on although there is no host: always with `--stay`, else until the first one comes.
    stay: bool,
    pub(super) wait_for_first: bool,
    /// SIGTERM came: what is being written is finished, nothing more is begun.
    draining: bool,
    /// A host's other connections are being read because of a request.
    pub(super) hearing_out: bool,
    pub(super) sessions: BTreeMap<u64, Session>,
    pub(super) sessions_max: usize,
    pub(super) hosts: Hosts,
    pub(super) queue: VecDeque<Job>,
    pub(super) dumpers: BTreeMap<u64, Dumper>,
    last_id: u64,
    /// Where dumps go of hosts that do not say.
    pub(super) default: Description,
    pub(super) buffer: Vec<u8>,
}

impl Monitor {
    fn new(endpoint: Endpoint, starter: Option<OwnedFd>, options: &Options) -> std::io::Result<Self> {
        let termination = termination::descriptor()?;
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
            hearing_out: false,
            sessions: BTreeMap::new(),
            sessions_max: admission::sessions_max(),
            hosts: Hosts::new(),
            queue: VecDeque::new(),
            dumpers: BTreeMap::new(),
            last_id: 0,
            default: Description {
                dump_dir: options.dump_dir.clone(),
                app_name: settings::APP_NAME_DEFAULT.to_owned(),
                retention: Limits { files: settings::KEEP_FILES_DEFAULT, bytes: settings::KEEP_BYTES_DEFAULT },
                contents: Contents::default(),
                deadline: settings::DEADLINE_DEFAULT,
            },
            buffer: vec![0; wire::MESSAGE_MAX],
        })
    }

    fn run(&mut self) -> std::io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.finished() {
            let timeout = self
                .time_to_next_deadline()
                .map(|left| rustix::time::Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ });
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            for event in &events {
                self.dispatch(Token::unpack(event.data));
            }
            self.end_late_dumpers();
            self.dump_silent_hosts();
            self.start_dumpers();
        }
        Ok(())
    }

    /// Whether there is nobody left to serve. Then the endpoint is given up, unless somebody connects meanwhile.
    fn finished(&mut self) -> bool {
        let writing = !self.queue.is_empty() || !self.dumpers.is_empty();
        let expecting = self.stay || self.wait_for_first || self.starter.is_some() || !self.hosts.is_empty();
        if writing || (expecting && !self.draining) {
            return false;
        }
        if let Some(endpoint) = self.endpoint.take() {
            self.endpoint = endpoint
                .release(|listener| !self.draining && self.accept_waiting(listener, endpoint::BACKLOG as usize));
        }
        self.endpoint.is_none()
    }

    fn dispatch(&mut self, token: Token) {
        match token {
            Token::Listener => self.accept(ACCEPTED_AT_ONCE),
            Token::Termination => {
                let _ = rustix::io::read(&self.termination, &mut [0_u8; 128]);
                log::info!("SIGTERM: ending once the dumps in progress are written");
                self.draining = true;
            }
            Token::Starter => self.starter = None,
            Token::Session(id) => _ = self.receive(id),
            Token::Host(pid) => self.host_ended(pid),
            Token::Dumper(id) => self.dumper_speaks(id),
        }
    }

    pub(super) fn watch(&self, fd: BorrowedFd<'_>, token: Token) -> bool {
        let added = epoll::add(&self.epoll, fd, token.pack(), EventFlags::IN);
        added.inspect_err(|errno| log::error!("cannot watch descriptor {}: {errno}", fd.as_raw_fd())).is_ok()
    }

    /// What is of no use to a dumper, and would do harm there: connections that it kept open would not end with us.
    pub(super) fn own_descriptors(&self) -> Vec<RawFd> {
        let listener = self.endpoint.as_ref().map(|endpoint| &endpoint.listener);
        let few = [&self.epoll, &self.termination].into_iter().chain(listener).chain(&self.starter);
        let sessions = self.sessions.values().map(|session| &session.socket);
        let hosts = self.hosts.values().filter_map(|host| host.pidfd.as_ref());
        let dumpers = self.dumpers.values().map(|dumper| &dumper.result);
        few.chain(sessions).chain(hosts).chain(dumpers).map(AsRawFd::as_raw_fd).collect()
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
