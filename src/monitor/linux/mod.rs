//! The backend for Linux: one process, one thread, blocked in epoll.
//!
//! `endpoint` is the socket and who may have it; `event_loop` waits and dispatches; `session` is one connection;
//! `hosts` knows the processes behind the connections. `dumping` and `dumper` have a short-lived child write each dump: `dump` is what
//! is in it, `record` the JSON beside it, `report` how both are written.

mod admission;
mod attachments;
mod connections;
mod dump;
mod dumper;
mod dumping;
mod endpoint;
mod event_loop;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod heartbeat;
mod host_page;
mod hosts;
mod process_info;
mod record;
mod report;
mod session;
mod signal_names;

use std::path::Path;

use crate::error::Result;
use crate::sys::process;

pub(super) use endpoint::somebody_listens;
pub(super) use event_loop::serve;

/// Begins to listen at `socket`; None where another monitor does.
pub(super) fn claim(socket: &Path) -> Result<Option<endpoint::Endpoint>> {
    process::set_name(c"crash-monitor");
    endpoint::Endpoint::claim(socket)
}
