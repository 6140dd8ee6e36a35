//! The engine for Linux: one process, one thread, blocked in epoll.
//!
//! `event_loop` waits, by `poll`, and hands on what one room tells to those that it concerns; no room knows it, or one
//! above. `clients` are the processes that are connected: over `listener`, which says who may, `sessions`, the connections,
//! `messages`, what is said on them, `process`, who is behind them, and `host_page`, what that one adds to its dumps. `children` are the forked processes (`child`) that
//! write. In one of them `writer` writes: `dump` is what is in a dump, `attachments` are the files beside it.

mod attachments;
mod child;
mod children;
mod clients;
mod dump;
mod event_loop;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod host_page;
mod listener;
mod messages;
mod poll;
mod process;
mod process_info;
mod sessions;
mod signal_names;
mod writer;

use std::path::Path;

use crate::error::Result;
use crate::sys;

pub(super) use event_loop::serve;
pub(super) use listener::somebody_listens;

/// Begins to listen at `socket`; None where another monitor does.
pub(super) fn claim(socket: &Path) -> Result<Option<listener::Listener>> {
    sys::process::set_name(c"crash-monitor");
    sys::process::reset_inherited();
    listener::Listener::claim(socket)
}
