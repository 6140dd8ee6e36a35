//! The one place that chooses a platform, and the only place besides `ffi` and `handler` with unsafe code.
//!
//! Where the well-kept `rustix` has a safe wrapper, the crate calls that; here is what it does not have, and what has
//! to be safe in a signal handler.

#![allow(unsafe_code)] // System calls; every block says why it is sound.

#[cfg(not(target_os = "linux"))]
compile_error!("crash-monitor supports Linux; the backends for Windows and macOS are not written yet");

pub(crate) mod altstack;
pub(crate) mod process;
pub(crate) mod ptrace;
pub(crate) mod raw;
pub(crate) mod signals;
pub(crate) mod spawn;
