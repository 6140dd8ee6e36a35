//! crash-monitor: a two-process minidump pipeline with a C ABI.
//!
//! A crash can corrupt the heap and the stacks of its process, so nothing is written from inside it: another process,
//! the monitor, reads the stopped host and writes the dump.
//!
//! ```text
//!  host process (may crash)                       monitor process (healthy)
//!  ffi ─▶ install                                 ffi / bin ─▶ monitor
//!           finds or starts the monitor ── socket ──▶ listener, sessions, hosts
//!           attaches the handlers                              │
//!  signal ─▶ handler ── crash context ─────────────────────────┤
//!              waits, with a deadline                    writer (a forked child):
//!              ◀───────────── ack ───────────────────────  reads the host, writes the dump
//!              lets the signal take its course
//! ```
//!
//! - [`ffi`]: the only `extern "C"` functions; their comments are the C API's manual.
//! - [`config`]: what a host asks for, checked; `settings`: what that gives, which host, wire format and monitor share.
//!   [`status`], [`error`]: what goes wrong, as codes and sentences.
//! - [`install`]: the host's side in normal context. [`monitor`]: the other side. They never use each other's insides.
//! - `handler`: everything that runs in a signal handler.
//! - `wire`: the messages, shared by both sides.
//! - Windows and macOS: `install::portable` and `monitor::minidumper`, over crash-handler and minidumper alone.
//! - `sys`: the platform; with `ffi`, `handler`, `crash_callback` and one call in `install::portable` the only place with
//!   unsafe code.

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
