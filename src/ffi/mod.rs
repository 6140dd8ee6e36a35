//! The only `extern "C"` functions. Each is thin: check the arguments, call the module that does the work, turn the
//! result into a status. No panic and no thread cancellation crosses this boundary, and no pointer is read before it was
//! checked.
//!
//! The doc comments here are the manual of `include/crash_monitor.h`, which cbindgen makes from this folder. What C callers
//! promise stands once, in that header's conventions, and is the C API's contract of which SAFETY lines here speak: a
//! pointer is NULL or points to what its type says, a string ends with a NUL byte or has the length that is given, an
//! object is live and used by one thread at a time, and a callback may be called as its comment says.

#![allow(unsafe_code)] // C pointers come in here; every block says why it may be trusted.
#![allow(non_camel_case_types)] // These are the C API's names.
#![allow(clippy::missing_safety_doc)] // The contract stands above: C's manual has no chapters for Rust.

mod args;
mod cancellation;
mod config;
mod extras;
mod guard;
mod install;
mod last_error;
mod monitor;
mod page;
mod report;
mod thread;
mod thread_text;
mod version;

pub use config::*;
pub use extras::*;
pub use install::*;
pub use last_error::*;
pub use monitor::*;
pub use page::*;
pub use report::*;
pub use thread::*;
pub use version::*;
