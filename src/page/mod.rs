//! The page: what a host adds to its dumps, in memory that it shares with its monitor.
//!
//! A memfd of fixed layout holds annotations, attached files, memory ranges, per-thread annotations, the log and the
//! heartbeat. The host writes to it without a system call and without a lock; the monitor reads it out of the crashed
//! process, or by its own descriptor once the process is gone. So a crash, a monitor that the crash starts, a forked child
//! and a process that was killed all have the same entries.
//!
//! - [`layout`]: where what lies, and the limits. - [`table`]: keys and values. - [`log`]: the ring of log lines.
//! - [`mapping`]: making the page, and a forked child's own copy. - [`host`]: what the C API calls.
//! - [`read`]: the monitor's side, which trusts no byte.
//!
//! Signal safety: everything but [`read`] may be called by a signal handler. Writers never wait: who interrupts another
//! writer uses another buffer, and the last one that publishes wins.

#![allow(unsafe_code)] // Shared memory; every block says why it is sound.

pub(crate) mod host;
pub(crate) mod layout;
pub(crate) mod log;
mod mapping;
pub(crate) mod read;
mod source;
mod table;
