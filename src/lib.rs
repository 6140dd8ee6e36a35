//! crash-monitor: a two-process minidump pipeline with a C ABI.
//!
//! A crash can corrupt the heap and the stacks of its process, so the process does not write its own dump: another process,
//! the monitor, reads the stopped host and writes it. docs/design.md explains the design in full.
//!
//! ```text
//!  host process (may crash)                       monitor process (healthy)
//!  ffi ─▶ install                                 ffi / bin ─▶ monitor
//!           finds or starts the monitor ── hello ───▶ listener, sessions, hosts
//!           installs the signal handlers                       │
//!  ffi ─▶ page (shared memory) ◀─────── reads it at a crash ───┤
//!  signal ─▶ handler ── crash context ──────────────────────▶ queue
//!              waits, with a deadline                    writer (a forked child):
//!              ◀───────────── ack ───────────────────────  reads the host, writes the dump
//!              redelivers the signal
//! ```
//!
//! - [`ffi`]: the only `extern "C"` functions; their comments are the C API's manual.
//! - [`config`]: what a host asks for, each setting checked. `settings`: the complete settings, which host, wire format and
//!   monitor share. [`status`], [`error`]: errors, as codes and sentences.
//! - [`mod@install`]: the host's side in normal context. [`monitor`]: the other side. Neither uses the other's modules.
//! - `handler`: everything that runs in a signal handler.
//! - `page`: annotations, log, attached files, memory ranges and heartbeat, in memory that the host shares with its monitor.
//! - `wire`: the messages, shared by both sides.
//! - `install::portable` and `monitor::minidumper`: Windows and macOS, by crash-handler and minidumper alone.
//! - `sys`: the platform. Unsafe code is here, in `ffi`, `handler`, `page`, `crash_callback` and one call in
//!   `install::portable`, and nowhere else.

mod config;
mod crash_callback;
mod error;
pub mod ffi;
#[cfg(target_os = "linux")]
mod handler;
mod install;
pub mod monitor;
#[cfg(target_os = "linux")]
mod page;
mod settings;
mod status;
mod sys;
mod wire;

pub use config::Config;
pub use error::{Error, Result};
pub use install::{
    add_runtime_code, attach_file, dump_now, init_thread, install, is_armed, start_heartbeat, uninstall,
};
pub use status::*;
