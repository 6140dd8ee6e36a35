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
use super::signals::{self, AllBlocked};

/// The descriptor at which a started program finds the write end of its ready pipe.
pub(crate) const READY_FD: RawFd = 3;

const STACK: usize = 32 * 1024;

/// A program to start: made in normal context, used in any.
pub(crate) struct Program {
    path: CString,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    /// What `argv` and `envp` point into.
    _strings: Vec<CString>,
    stacks: *mut c_void,
}

// SAFETY: the pointers are to memory that the program owns and never changes; the stacks are used by one start at a
// time, which callers see to (the install lock, the one reporting thread).
unsafe impl Send for Program {}
// SAFETY: as above.
unsafe impl Sync for Program {}

impl Program {
    /// Not for signal handlers.
    pub(crate) fn new(path: CString, arguments: Vec<CString>, environment: Vec<CString>) -> std::io::Result<Self> {
        let pointers = |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        let (argv, envp) = (pointers(&arguments), pointers(&environment));
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let stacks = unsafe { libc::mmap(ptr::null_mut(), 2 * STACK, protection, flags, -1, 0) };
        if stacks == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let strings = arguments.into_iter().chain(environment).collect();
        Ok(Self { path, argv, envp, _strings: strings, stacks })
    }

    /// The executable's path.
    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    /// Starts the program in a session of its own, with default signal actions, `/` as its directory, umask 077, its
    /// standard descriptors on `/dev/null`, `ready` as descriptor 3 and every other one closed. Gives its pid once it
    /// has replaced itself, or the errno of the step that failed.
    ///
    /// Signal safety: may be called by a signal handler.
    pub(crate) fn start(&self, ready: RawFd) -> SysResult<i32> {
        let mut start = Start { program: self, ready, pid: 0, error: 0 };
        let argument = (&raw mut start).cast();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK;
        let top = self.stacks.wrapping_byte_add(2 * STACK);
        let signals_blocked = AllBlocked::new();
        // SAFETY: the child runs on a stack of its own while this thread is suspended, so `start` outlives it.
        let adopter = unsafe { libc::clone(leave_an_orphan, top, flags, argument) };
        let clone_error = raw::errno();
        drop(signals_blocked);
        if adopter < 0 {
            return Err(Errno(clone_error));
        }
        reap(adopter);
        match start.error {
            0 => Ok(start.pid),
            error => Err(Errno(error)),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and no start is under way when the owner drops it.
        unsafe { libc::munmap(self.stacks, 2 * STACK) };
    }
}

/// What the processes tell each other through the memory they share.
struct Start<'a> {
    program: &'a Program,
    ready: RawFd,
    pid: i32,
    error: i32,
}

/// Waits for the first process, a child that only `__WCLONE` sees.
fn reap(pid: i32) {
    loop {
        // SAFETY: integers and NULLs only.
        let result = unsafe {
            libc::syscall(libc::SYS_wait4, pid, ptr::null_mut::<c_int>(), libc::__WCLONE, ptr::null_mut::<c_void>())
        };
        if result >= 0 || raw::errno() != libc::EINTR {
            return;
        }
    }
}

/// The first process: starts the second and ends.
extern "C" fn leave_an_orphan(argument: *mut c_void) -> c_int {
    // SAFETY: the Start of the suspended parent.
    let start = unsafe { &mut *argument.cast::<Start<'_>>() };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    let top = start.program.stacks.wrapping_byte_add(STACK);
    // SAFETY: the child runs on the lower stack while this process is suspended on the upper one.
    let pid = unsafe { libc::clone(become_program, top, flags | libc::SIGCHLD, argument) };
    if pid < 0 {
        start.error = raw::errno();
    }
    start.pid = pid;
    0
}

/// The second process: makes itself clean and becomes the program.
extern "C" fn become_program(argument: *mut c_void) -> c_int {
    // SAFETY: the Start of the suspended parents.
    let start = unsafe { &mut *argument.cast::<Start<'_>>() };
    start.error = replace_self(start.program, start.ready).0;
    127
}

/// Gives the errno of what failed; where nothing does, it does not return.
fn replace_self(program: &Program, ready: RawFd) -> Errno {
    // The host's handlers must not run in this process, which shares the host's memory. The table itself is a copy.
    for signal in 1..=64 {
        signals::set_default(signal);
    }
    // SAFETY: system calls with integers and live strings; this process is alone on its descriptor table.
    unsafe {
        libc::setsid();
        libc::umask(0o077);
        if libc::chdir(c"/".as_ptr()) != 0 {
            return Errno(raw::errno());
        }
        // Out of the way of the descriptors that are set next: a host may have closed its standard ones.
        let ready = libc::fcntl(ready, libc::F_DUPFD, 10);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if ready < 0 || null < 0 {
            return Errno(raw::errno());
        }
        for standard in 0..=2 {
            libc::dup2(null, standard);
        }
        libc::dup2(ready, READY_FD);
        if libc::syscall(libc::SYS_close_range, READY_FD + 1, u32::MAX, 0) != 0 {
            close_one_by_one();
        }
        unblock_all_signals();
        libc::execve(program.path.as_ptr(), program.argv.as_ptr(), program.envp.as_ptr());
    }
    Errno(raw::errno())
}

/// For kernels before 5.9, which have no close_range(2).
fn close_one_by_one() {
    // SAFETY: integers only; all-zero bytes are a valid rlimit.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        for fd in READY_FD + 1..limit.rlim_cur.min(65_536) as RawFd {
            libc::close(fd);
        }
    }
}

fn unblock_all_signals() {
    // SAFETY: all-zero bytes are the empty signal set.
    unsafe {
        let none: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}
