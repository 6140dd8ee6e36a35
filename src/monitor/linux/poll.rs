//! epoll(7), with the sources of events as an enum.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::time::Timespec;

/// Events taken from the kernel at a time.
const EVENTS: usize = 64;

/// What a descriptor belongs to; epoll gives it back as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Listener,
    Termination,
    Starter,
    Session(u64),
    HostEnd(i32),
    ChildResult(u64),
    ChildEnd(u64),
}

impl Source {
    fn pack(self) -> EventData {
        let (tag, id) = match self {
            Self::Listener => (0, 0),
            Self::Termination => (1, 0),
            Self::Starter => (2, 0),
            Self::Session(id) => (3, id),
            Self::HostEnd(pid) => (4, pid as u64),
            Self::ChildResult(id) => (5, id),
            Self::ChildEnd(id) => (6, id),
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
            4 => Self::HostEnd(id as i32),
            5 => Self::ChildResult(id),
            _ => Self::ChildEnd(id),
        }
    }
}

pub(super) struct Poll(OwnedFd);

impl Poll {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watches `fd` until it is readable; false where that fails. A pipe's write end becomes an event when its reader has
    /// closed it, since epoll always reports errors (epoll_ctl(2)).
    pub(super) fn add(&self, fd: BorrowedFd<'_>, source: Source) -> bool {
        let added = epoll::add(&self.0, fd, source.pack(), EventFlags::IN);
        added.inspect_err(|errno| log::error!("cannot watch descriptor {}: {errno}", fd.as_raw_fd())).is_ok()
    }

    /// To be called before `fd` is closed: where a child has a copy of it, closing does not end the watch (epoll(7)).
    pub(super) fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits until something happens or the time has come.
    pub(super) fn wait(&self, until: Option<Instant>) -> std::io::Result<Vec<Source>> {
        let timeout = until.map(|until| {
            let left: Duration = until.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ }
        });
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(events.iter().map(|event| Source::unpack(event.data)).collect())
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
