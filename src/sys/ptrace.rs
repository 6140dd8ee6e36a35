//! Stopping and reading another process (ptrace(2), process_vm_readv(2)). Not for signal handlers.

use std::ffi::c_void;
use std::io;
use std::mem;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use minidump_writer::thread_info::ThreadInfo;

/// Becomes a thread's tracer. Unlike `PTRACE_ATTACH` this sends no SIGSTOP, so nothing is left behind in the process
/// when its tracer dies: the kernel then lets it go on.
pub(crate) fn seize(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0)
}

/// Asks a seized thread to stop.
pub(crate) fn interrupt(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a stopped thread go on, untraced.
pub(crate) fn detach(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, 0)
}

fn request(request: libc::c_uint, tid: i32, data: usize) -> io::Result<()> {
    // SAFETY: these requests take no pointers.
    match unsafe { libc::ptrace(request, tid, 0, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Tells when traced threads have stopped.
pub(crate) struct Stops {
    signals: OwnedFd,
}

/// What became of a thread that was asked to stop.
pub(crate) enum Stop {
    Stopped,
    Ended,
    /// Nothing until the deadline.
    Late,
}

impl Stops {
    /// From now on SIGCHLD, which says that a traced thread has stopped, comes by descriptor.
    pub(crate) fn watch() -> io::Result<Self> {
        // SAFETY: live signal sets and a valid signal.
        unsafe {
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigaddset(&raw mut set, libc::SIGCHLD);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { signals: OwnedFd::from_raw_fd(fd) })
        }
    }

    /// Waits until thread `tid` has stopped. By its id: waiting for any thread makes the kernel look at each of those
    /// that have stopped already, which for a thousand threads takes most of the time.
    pub(crate) fn wait(&self, tid: i32, deadline: Instant) -> Stop {
        loop {
            let mut status = 0;
            // SAFETY: room for a status.
            match unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) } {
                0 => {}
                done if done == tid && libc::WIFSTOPPED(status) => return Stop::Stopped,
                _ => return Stop::Ended,
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Stop::Late };
            self.wait_for_signal(left);
        }
    }

    fn wait_for_signal(&self, time: Duration) {
        let timeout = rustix::time::Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ };
        let mut poll = [rustix::event::PollFd::new(&self.signals, rustix::event::PollFlags::IN)];
        let _ = rustix::event::poll(&mut poll, Some(&timeout));
        // What it says is asked of waitpid.
        let _ = rustix::io::read(self.signals.as_fd(), &mut [0_u8; mem::size_of::<libc::signalfd_siginfo>()]);
    }
}

/// The registers of a stopped thread.
pub(crate) fn registers(tid: i32) -> io::Result<ThreadInfo> {
    const NT_PRSTATUS: usize = 1;
    const NT_PRFPREG: usize = 2;
    // SAFETY: all-zero bytes are a valid value of both register sets.
    let mut info: ThreadInfo = unsafe { mem::zeroed() };
    register_set(tid, NT_PRSTATUS, &mut info.regs)?;
    // A thread without floating point state is worth having too.
    let _ = register_set(tid, NT_PRFPREG, &mut info.fpregs);
    #[cfg(target_arch = "x86_64")]
    let stack_pointer = info.regs.rsp;
    #[cfg(target_arch = "aarch64")]
    let stack_pointer = info.regs.sp;
    info.stack_pointer = stack_pointer as usize;
    Ok(info)
}

/// The thread pointer: the address of a thread's own data, which lies at the upper end of its stack's mapping. None where
/// the registers read do not hold it.
pub(crate) fn thread_pointer(info: &ThreadInfo) -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    let pointer = Some(info.regs.fs_base);
    #[cfg(target_arch = "aarch64")]
    let pointer = {
        // It is in a register set of its own.
        let _ = info;
        None
    };
    pointer
}

fn register_set<T>(tid: i32, kind: usize, registers: &mut T) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: std::ptr::from_mut(registers).cast(), iov_len: mem::size_of::<T>() };
    // SAFETY: the kernel writes at most as many bytes as the part has; both register sets are plain numbers.
    match unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, kind, &raw mut part) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Reads the memory of process `pid` at `address`, as much of `length` bytes as there is.
pub(crate) fn read_memory(pid: i32, address: usize, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(length);
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: length };
    let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: length };
    // SAFETY: the local part is the vector's own spare room; the remote address is only looked up by the kernel.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    if read < 0 {
        return read_memory_file(pid, address, length);
    }
    // SAFETY: the kernel has written that many bytes.
    unsafe { bytes.set_len(read as usize) };
    Ok(bytes)
}

/// By way of /proc/PID/mem, for kernels built without process_vm_readv(2) and sandboxes that forbid it.
fn read_memory_file(pid: i32, address: usize, length: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    let read = std::fs::File::open(format!("/proc/{pid}/mem"))?.read_at(&mut bytes, address as u64)?;
    bytes.truncate(read);
    Ok(bytes)
}
