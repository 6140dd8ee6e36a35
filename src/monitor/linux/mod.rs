//! The engine for Linux: one process, one thread, blocked in epoll.
//!
//! `event_loop` waits by `poll` and passes events between two parts, which do not know each other or the event loop:
//!
//! - `clients`: the connected processes. `listener` accepts those that may connect, `sessions` are their connections,
//!   `messages` says what they send. `process` is a process with the proof of its identity, `host_page` reads its page,
//!   `name_spaces` knows the ids that it has for itself, `unreported` says why a crash was not reported.
//! - `children`: the forked processes (`child`) that write; one is forked before there is a job for it, and gets the job as a
//!   message (`job_message`). In each of them `writer` makes the files: `dump` builds the dump, `attachments` copies the
//!   attached files.

mod attachments;
mod child;
mod children;
mod clients;
mod dump;
mod event_loop;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod host_page;
mod job_message;
mod listener;
mod messages;
mod name_spaces;
mod poll;
mod process;
mod process_info;
mod sender;
mod sessions;
mod signal_names;
mod unreported;
mod writer;

use std::path::Path;

use crate::error::{Error, Result};
use crate::status::CM_ERR_SYSTEM;
use crate::sys;

pub(super) use event_loop::serve;
pub(super) use listener::somebody_listens;

/// Begins to listen at `socket`; None where another monitor does. Fails where this process could write no dump.
pub(super) fn claim(socket: &Path) -> Result<Option<listener::Listener>> {
    sys::process::set_name(c"crash-monitor");
    sys::process::reset_inherited();
    sys::process::limits_without_room().map_err(|why| Error::new(CM_ERR_SYSTEM, why))?;
    sys::process::set_shortest_slice();
    listener::Listener::claim(socket)
}
