//! Requests a dump from the monitor. Everything here may be called by a signal handler.

use super::crash_context;
use super::event::Event;
use super::frozen::Frozen;
use super::link::{Crash, Link};
use crate::sys::raw::{self, Deadline, Errno, SysResult};
use crate::wire::AfterReport;

/// Asks for a dump and waits for it, at most until the deadline.
pub(super) fn report(frozen: &Frozen, event: &Event, after: AfterReport) {
    let deadline = Deadline::after(frozen.deadline);
    let crash = Crash { context: crash_context::describe(event), after };
    let _readable = Readable::by(frozen.monitor_pid);
    // Without a dump the process ends all the same; the monitor's record of its end is all that can be had.
    let _ = request_dump(frozen, &crash, deadline);
}

/// Requests the dump over the connection made at install, or with its help where it is a parent process's; where it is broken,
/// over a new connection to the monitor that listens now; where none listens or it hangs up, from a monitor started for this
/// crash.
fn request_dump(frozen: &Frozen, crash: &Crash<'_>, deadline: Deadline) -> SysResult<()> {
    let ways: [fn(&Frozen, Deadline) -> SysResult<Link>; 4] =
        [Link::frozen, Link::inherited, Link::connect, Link::start];
    let mut result = Ok(());
    for way in ways {
        result = way(frozen, deadline).and_then(|link| link.request_dump(frozen, crash, deadline));
        // After the deadline there is no time for another attempt.
        if matches!(result, Ok(()) | Err(Errno(libc::ETIMEDOUT))) {
            break;
        }
    }
    result
}

/// As long as it exists the monitor may read this process, also where the host has made it not dumpable (prctl(2)).
struct Readable {
    was_dumpable: bool,
}

impl Readable {
    fn by(monitor: i32) -> Self {
        let was_dumpable = raw::is_dumpable();
        if !was_dumpable {
            raw::set_dumpable(true);
        }
        raw::allow_tracer(monitor);
        Self { was_dumpable }
    }
}

impl Drop for Readable {
    fn drop(&mut self) {
        raw::allow_tracer(0);
        if !self.was_dumpable {
            raw::set_dumpable(false);
        }
    }
}
