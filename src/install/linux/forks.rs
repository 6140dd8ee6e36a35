//! Forks of a host (pthread_atfork(3)): neither process changes what the other has, and the child can call us.

use std::sync::atomic::{AtomicBool, Ordering};

use super::HOST;
use crate::error::{Error, Result};
use crate::page::host;
use crate::sys::process;

/// Has every fork(3) from now on call the functions below. Once for the process's life.
pub(super) fn register() -> Result<()> {
    /// Not a `Once` of std: a child forked during its first use would wait for it for ever.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    extern "C" fn before() {
        HOST.before_fork();
    }
    extern "C" fn after_in_parent() {
        HOST.after_fork_in_parent();
    }
    extern "C" fn after_in_child() {
        host::after_fork_in_child();
        HOST.after_fork_in_child();
    }
    if REGISTERED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    process::at_fork(before, after_in_parent, after_in_child).map_err(|error| {
        REGISTERED.store(false, Ordering::Relaxed);
        Error::system("cannot register functions for forks", error)
    })
}
