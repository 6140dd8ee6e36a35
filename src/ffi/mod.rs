//! The only `extern "C"` functions. Each is thin: check the arguments, call the module that does the work, turn the
//! result into a status. No panic crosses this boundary and no pointer is read before it was checked.
//!
//! The doc comments here are the manual of `include/crash_monitor.h`, which cbindgen makes from this folder.

#![allow(unsafe_code)] // C pointers come in here; every block says why it may be trusted.
#![allow(non_camel_case_types)] // These are the C API's names.

mod args;
mod config;
mod extras;
mod guard;
mod install;
mod last_error;
mod monitor;
mod page;
mod thread;
mod version;

pub use config::*;
pub use extras::*;
pub use install::*;
pub use last_error::*;
pub use monitor::*;
pub use page::*;
pub use thread::*;
pub use version::*;
