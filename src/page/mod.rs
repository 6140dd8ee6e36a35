//! The page: what a host adds to its dumps, in memory that it shares with its monitor.
//!
//! A memfd of fixed layout holds annotations, attached files, memory ranges, per-thread annotations, the log and the
//! heartbeat. The host writes to it without a lock and without a system call. The monitor reads it from the crashed process's
//! memory, or by its own descriptor once the process is gone. So the entries survive a monitor that the crash has to start,
//! a fork, and SIGKILL.
//!
//! - [`layout`]: offsets, versions and limits. - [`table`]: keys and values. - [`log`]: the ring of log lines.
//! - [`mapping`]: making the page, and a forked child's own copy. - [`host`]: the functions that the C API calls.
//! - [`read`] and [`source`]: the monitor's side, which trusts no byte.
//!
//! Signal safety: everything but [`read`] and [`source`] may be called by a signal handler. Writers never wait for each other: each fills a
//! buffer of its own, and the last one that publishes wins.

#![allow(unsafe_code)] // Shared memory; every block says why it is sound.

pub(crate) mod host;
pub(crate) mod layout;
pub(crate) mod log;
mod mapping;
pub(crate) mod read;
mod source;
mod table;
