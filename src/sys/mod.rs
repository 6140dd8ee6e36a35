//! What differs between systems, and most of the unsafe code: system calls.
//!
//! Where the well-kept `rustix` has a safe wrapper, the crate calls that; here is what it does not have, and what has
//! to be safe in a signal handler.

#![allow(unsafe_code)] // System calls; every block says why it is sound.

#[cfg(target_os = "linux")]
pub(crate) mod altstack;
#[cfg(target_os = "linux")]
pub(crate) mod ancillary;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod files;
#[cfg(target_os = "linux")]
pub(crate) mod identity;
#[cfg(target_os = "linux")]
pub(crate) mod lock;
#[cfg(target_os = "linux")]
pub(crate) mod process;
pub(crate) mod program;
#[cfg(target_os = "linux")]
pub(crate) mod ptrace;
#[cfg(target_os = "linux")]
pub(crate) mod raw;
#[cfg(all(target_os = "linux", feature = "allocator"))]
pub(crate) mod reserve;
#[cfg(target_os = "linux")]
pub(crate) mod sealed;
#[cfg(target_os = "linux")]
pub(crate) mod signals;
#[cfg(target_os = "linux")]
pub(crate) mod spawn;
#[cfg(windows)]
pub(crate) mod stack_guarantee;
#[cfg(target_os = "linux")]
pub(crate) mod syscall;
pub(crate) mod termination;
pub(crate) mod thread_value;
#[cfg(target_os = "linux")]
pub(crate) mod valgrind;
