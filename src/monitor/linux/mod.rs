//! The engine for Linux: one process, one thread, blocked in epoll.
//!
//! The rooms know neither the loop nor each other's insides: `listener` is the socket and who may connect, `sessions` the
//! connections, `messages` what is said on them, `process` who is behind them, `children` the processes (`child`) that write.
//! `event_loop` hands on what one room tells to those that it concerns. In a child, `writer` writes: `dump` is what is in a
//! dump, `attachments` are the files beside it.

mod attachments;
mod child;
mod children;
mod dump;
mod event_loop;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
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
