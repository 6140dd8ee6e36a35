//! Starts a process that is not our child: for install, and for a handler that finds the monitor gone.
//!
//! Two nested clones that share memory and suspend their parent (clone(2), `CLONE_VM | CLONE_VFORK`), as posix_spawn(3)
//! does it: no page tables are copied however large the host, no atfork handler runs, no lock is taken. The first
//! process ends at once, so the second, the started program, is adopted by init. The first is cloned with no exit
//! signal: the host gets no SIGCHLD and its `wait` never sees it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;

use super::raw::{self, Errno, SysResult};
use super::signals::{self, Action, AllBlocked};
use super::syscall::{self, syscall};

/// The descriptor at which a started program finds the write end of its ready pipe.
pub(crate) const READY_FD: RawFd = 3;

const STACK: usize = 32 * 1024;
/// The stacks of both processes.
pub(crate) const STACKS: usize = 2 * STACK;

/// A program to start in normal context. Not for signal handlers; they use a [`Launch`] whose strings are sealed.
pub(crate) struct Program {
    pub path: CString,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
}

impl Program {
    /// The executable's path.
    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    /// As [`Launch::start`].
    pub(crate) fn start(&self, ready: RawFd) -> SysResult<i32> {
        let pointers =
            |strings: &[CString]| -> Vec<_> { strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect() };
        let (argv, envp) = (pointers(&self.arguments), pointers(&self.environment));
        let mut stacks = vec![0_u128; STACKS / size_of::<u128>()];
        let stacks = stacks.as_mut_ptr().cast();
        Launch { path: self.path.as_ptr(), argv: argv.as_ptr(), envp: envp.as_ptr(), stacks }.start(ready)
    }
}

/// What starting a program needs, all of it made before.
#[derive(Clone, Copy)]
pub(crate) struct Launch {
    pub path: *const c_char,
    /// Ends with a null pointer, as does `envp`.
    pub argv: *const *const c_char,
    pub envp: *const *const c_char,
    /// [`STACKS`] writable bytes, 16-aligned, for one start at a time.
    pub stacks: *mut c_void,
}

impl Launch {
    /// Starts the program in a session of its own, with default signal actions, `/` as its directory, umask 077, the highest
    /// limits that it may have, its standard descriptors on `/dev/null`, `ready` as descriptor 3 and every other one closed.
    /// Gives its pid once the program has been executed, or the errno of the step that failed.
    ///
    /// Signal safety: may be called by a signal handler. The pointers have to be good and the stacks unused.
    pub(crate) fn start(&self, ready: RawFd) -> SysResult<i32> {
        let mut start = Start { launch: *self, ready, pid: 0, error: 0 };
        let argument = (&raw mut start).cast();
        let top = self.stacks.wrapping_byte_add(STACKS);
        let signals_blocked = AllBlocked::new();
        // SAFETY: the child runs on a stack of its own while this thread is suspended, so `start` outlives it.
        let adopter = unsafe { syscall::clone(libc::CLONE_VM | libc::CLONE_VFORK, top, start_orphan, argument) };
        drop(signals_blocked);
        reap(adopter?);
        match start.error {
            0 => Ok(start.pid),
            error => Err(Errno(error)),
        }
    }
}

/// What the processes pass to each other in the memory that they share.
struct Start {
    launch: Launch,
    ready: RawFd,
    pid: i32,
    error: i32,
}

/// Waits for the first process, a child that only `__WCLONE` sees.
fn reap(pid: i32) {
    loop {
        // SAFETY: integers and NULLs only.
        if unsafe { syscall!(libc::SYS_wait4, pid, 0, libc::__WCLONE, 0) } != Err(Errno(libc::EINTR)) {
            return;
        }
    }
}

/// The first process: starts the second and ends.
extern "C" fn start_orphan(argument: *mut c_void) -> c_int {
    // SAFETY: the Start of the suspended parent.
    let start = unsafe { &mut *argument.cast::<Start>() };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = start.launch.stacks.wrapping_byte_add(STACK);
    // SAFETY: the child runs on the lower stack while this process is suspended on the upper one.
    match unsafe { syscall::clone(flags, top, become_program, argument) } {
        Ok(pid) => start.pid = pid,
        Err(errno) => start.error = errno.0,
    }
    0
}

/// The second process: drops what it has inherited and becomes the program.
extern "C" fn become_program(argument: *mut c_void) -> c_int {
    // SAFETY: the Start of the suspended parents.
    let start = unsafe { &mut *argument.cast::<Start>() };
    if let Err(errno) = replace_self(&start.launch, start.ready) {
        start.error = errno.0;
    }
    127
}

/// Gives the errno of what failed; where nothing does, it does not return.
fn replace_self(launch: &Launch, ready: RawFd) -> SysResult<()> {
    // The host's handlers must not run in this process, which shares the host's memory. The table itself is a copy.
    for signal in 1..=64 {
        let _ = signals::set(signal, &Action::DEFAULT);
    }
    // Before the program is executed, which may need more memory than the host may have by now.
    raw::raise_limits();
    // SAFETY: system calls with integers and live strings; this process is alone on its descriptor table.
    unsafe {
        let _ = syscall!(libc::SYS_setsid);
        let _ = syscall!(libc::SYS_umask, 0o077);
        syscall!(libc::SYS_chdir, c"/".as_ptr())?;
        // Out of the way of the descriptors that are set next: a host may have closed its standard ones.
        let ready = syscall!(libc::SYS_fcntl, ready, libc::F_DUPFD, READY_FD + 1)?;
        let null = syscall!(libc::SYS_openat, libc::AT_FDCWD, c"/dev/null".as_ptr(), libc::O_RDWR)?;
        for standard in 0..=2 {
            if standard != null {
                syscall!(libc::SYS_dup3, null, standard, 0)?;
            }
        }
        syscall!(libc::SYS_dup3, ready, READY_FD, 0)?;
        if syscall!(libc::SYS_close_range, READY_FD + 1, u32::MAX, 0).is_err() {
            close_one_by_one();
        }
        signals::set_mask(0);
        syscall!(libc::SYS_execve, launch.path, launch.argv, launch.envp)?;
    }
    Ok(())
}

/// For kernels before 5.9, which have no close_range(2).
fn close_one_by_one() {
    let limit = raw::limit(libc::RLIMIT_NOFILE as i32).map_or(0, |limit| limit.rlim_cur);
    for fd in READY_FD + 1..limit.min(65_536) as RawFd {
        raw::close(fd);
    }
}
