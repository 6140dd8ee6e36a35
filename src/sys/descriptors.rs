//! How many files this process may have open. Not for signal handlers.

/// Raises the limit to the highest that this process may set; gives it, where there is one.
#[cfg(unix)]
pub(crate) fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_ok();
    if raised { limit.maximum } else { limit.current }
}

/// Windows has no such limit.
#[cfg(windows)]
pub(crate) fn raise_limit() -> Option<u64> {
    None
}

/// Has a program that is started get no descriptor but the three standard ones.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn inherit_none(command: &mut std::process::Command) {
    let close_all = || {
        // SAFETY: no arguments.
        for fd in 3..unsafe { libc::getdtablesize() } {
            // On exec, and not now: std uses a descriptor of its own to report a failure of the exec.
            // SAFETY: flags alone; a number that is none is refused.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        Ok(())
    };
    // SAFETY: what is called in the forked child is safe in a signal handler.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, close_all) };
}
