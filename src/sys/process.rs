//! What the monitor needs of the kernel beyond rustix. Not for signal handlers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::raw;

/// Runs `work` in a forked child, which ends with the code that it gives; the parent gets the child's pid.
///
/// The caller's process should have one thread; in one that has more, `work` may use what glibc keeps usable after
/// fork(3), memory allocation among it. The child closes its copies of `not_for_child`: a copy of the monitor's listening
/// socket, for instance, would accept connections that no process serves.
pub(crate) fn fork(not_for_child: &[RawFd], work: impl FnOnce() -> u8) -> io::Result<i32> {
    // SAFETY: the child calls nothing but `work` and _exit.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // The monitor's handler would write to a descriptor that is closed next and whose number a dump may get. And a
            // service manager that sends SIGTERM to all processes of a service still gets the dumps in progress.
            // SAFETY: a valid signal.
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
            for fd in not_for_child {
                raw::close(*fd);
            }
            // A host that is its own monitor may have set handlers, which do not fit this process.
            for signal in super::signals::CRASH_SIGNALS {
                let _ = super::signals::set(signal, &super::signals::Action::DEFAULT);
            }
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(PANICKED);
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code.into()) }
        }
        pid => Ok(pid),
    }
}

/// The exit code of a forked child whose work panicked.
pub(crate) const PANICKED: u8 = 101;

/// A descriptor that becomes readable when the process ends (pidfd_open(2)); None where it has been waited for, and on
/// kernels before 5.3.
pub(crate) fn pidfd(pid: i32) -> Option<OwnedFd> {
    rustix::process::pidfd_open(rustix::process::Pid::from_raw(pid)?, rustix::process::PidfdFlags::empty()).ok()
}

/// Waits until a process ends, at most for a time.
pub(crate) fn wait_for_end(pidfd: &OwnedFd, at_most: Duration) {
    let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
    let deadline = Instant::now() + at_most;
    let poll = || {
        let left = deadline.saturating_duration_since(Instant::now());
        rustix::event::poll(&mut ended, Some(&left.try_into().unwrap_or_default()))
    };
    // The caller continues either way.
    let _ = rustix::io::retry_on_intr(poll);
}

/// How a process ended, by its pidfd: its wait status, once its parent has waited for it. Kernels before 6.15 do not say
/// (`PIDFD_GET_INFO`, include/uapi/linux/pidfd.h).
pub(crate) fn wait_status(pidfd: &OwnedFd) -> Option<i32> {
    /// struct pidfd_info in its first version: 64 bytes.
    #[repr(C)]
    struct PidfdInfo {
        mask: u64,
        cgroup_id: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    // _IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)
    const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;
    const { assert!(size_of::<PidfdInfo>() == 0x40) };
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, cgroup_id: 0, ids: [0; 11], exit_code: 0 };
    // SAFETY: the request names the structure's size, and the kernel writes no more than that.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// A wait status (wait(2)) in words.
pub(crate) fn describe_status(status: Option<i32>) -> String {
    match status {
        None => "how, this kernel does not tell".to_owned(),
        Some(status) if libc::WIFSIGNALED(status) => format!("by signal {}", libc::WTERMSIG(status)),
        Some(status) => format!("exit status {}", libc::WEXITSTATUS(status)),
    }
}

/// Has `function` called when the process ends by exit(3) or a return from main. False where there is no memory for that.
pub(crate) fn at_exit(function: extern "C" fn()) -> bool {
    // SAFETY: the function stays loaded, since the library is linked with `-z nodelete`.
    unsafe { libc::atexit(function) == 0 }
}

/// Has `before` called by every thread that forks, and afterwards one function in the parent and one in the child. Fails where
/// there is no memory for that.
pub(crate) fn at_fork(
    before: extern "C" fn(),
    in_parent: extern "C" fn(),
    in_child: extern "C" fn(),
) -> io::Result<()> {
    // SAFETY: the functions stay loaded, since the library is linked with `-z nodelete`.
    match unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Names the calling process as `ps` and `top` show it (prctl(2), at most 15 bytes).
pub(crate) fn set_name(name: &std::ffi::CStr) {
    // SAFETY: a NUL-terminated string, which the kernel copies.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Asks the scheduler for the shortest time slices, for this process and its children: one that has slept then runs as soon as it
/// wakes, also where others keep all processors busy, and gives way as soon (`sched_runtime` of sched_setattr(2); since Linux 6.12
/// it counts for the default policy too, see `__setparam_fair` in kernel/sched/syscalls.c). Earlier kernels ignore it.
pub(crate) fn set_shortest_slice() {
    /// struct sched_attr in its first version: 48 bytes.
    #[repr(C)]
    #[derive(Default)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    const SLICE_MIN_NS: u64 = 100_000;
    const { assert!(size_of::<SchedAttr>() == 48) };
    let (mut attr, no_flags) = (SchedAttr::default(), 0);
    // SAFETY: the kernel writes no more than the size that it is given, and only reads the second time.
    unsafe {
        let got = libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size_of::<SchedAttr>(), no_flags);
        if got == 0 && attr.policy == libc::SCHED_OTHER as u32 {
            attr.runtime_ns = SLICE_MIN_NS;
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, no_flags);
        }
    }
}

/// Takes over a descriptor that the starter of this process left open for it, if it is one.
pub(crate) fn inherited(fd: RawFd) -> Option<OwnedFd> {
    raw::identity(fd).ok()?;
    // SAFETY: the command line says that the descriptor was opened for this process, and it is asked for once.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let _ = rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC);
    Some(fd)
}

/// A pidfd of the process that has connected a Unix socket, also where it has ended and its id was reused (`SO_PEERPIDFD`,
/// include/uapi/asm-generic/socket.h). Kernels before 6.5 have no such option.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut fd: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: room for the descriptor, whose length is given.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PEERPIDFD, (&raw mut fd).cast(), &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the process of a pidfd runs, or has ended and was not waited for: until then its id is not reused.
pub(crate) fn has_its_id(pidfd: &OwnedFd) -> bool {
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: integers and a NULL; signal 0 only checks (pidfd_send_signal(2)).
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), 0, none, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// A number that no other process has had since boot; None on kernels before 6.9, whose pidfds are not files of pidfs.
pub(crate) fn unique_id(pidfd: &OwnedFd) -> Option<u64> {
    // include/uapi/linux/magic.h
    const PID_FS_MAGIC: i64 = 0x5049_4446;
    let on_pidfs = rustix::fs::fstatfs(pidfd).ok()?.f_type as i64 == PID_FS_MAGIC;
    on_pidfs.then(|| rustix::fs::fstat(pidfd).ok())?.map(|stat| stat.st_ino)
}

/// Undoes what a monitor may have inherited and must not have: an ignored SIGCHLD, without which nothing tells that a traced
/// thread has stopped (sigaction(2), `SA_NOCLDWAIT`), blocked signals, and low limits.
pub(crate) fn reset_inherited() {
    let child = super::signals::libc_get(libc::SIGCHLD);
    if child.handler == libc::SIG_IGN || child.flags & libc::SA_NOCLDWAIT as usize != 0 {
        let _ = super::signals::libc_set(libc::SIGCHLD, &super::signals::Action::DEFAULT);
    }
    // SAFETY: valid signals and a live signal set, of which all-zero bytes are a valid value.
    unsafe {
        // A file or time limit then is an error in the record, and not the end of the writer.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGXCPU, libc::SIG_IGN);
        let mut unblocked: libc::sigset_t = std::mem::zeroed();
        for signal in [libc::SIGCHLD, libc::SIGTERM] {
            libc::sigaddset(&raw mut unblocked, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const unblocked, std::ptr::null_mut());
    }
    raw::raise_limits();
}

/// What the limits of this process leave too little of for dumps, in words.
pub(crate) fn limits_without_room() -> Result<(), String> {
    let needs =
        [("RLIMIT_FSIZE", libc::RLIMIT_FSIZE as i32, 1 << 20), ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE as i32, 16)];
    for (name, resource, needed) in needs {
        let limit = raw::limit(resource).map_or(needed, |limit| limit.rlim_cur);
        if limit < needed {
            return Err(format!(
                "the limit {name} is {limit}, and dumps need {needed} at least (setrlimit(2)): raise it, or start \
                 `crash-monitor run` where it is higher"
            ));
        }
    }
    Ok(())
}
