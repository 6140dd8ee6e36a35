//! Stopping and reading another process (ptrace(2), process_vm_readv(2)). Not for signal handlers.
//!
//! No stop is ever consumed (`WNOWAIT`). So a signal that was about to be delivered to a thread when it stopped stays in the
//! kernel, which delivers it when the thread continues after its tracer has ended (kernel/signal.c, `ptrace_stop`).

use std::ffi::c_void;
use std::io;
use std::mem::{self, MaybeUninit};
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

/// Detaches a stopped thread, which continues with the signal that was about to be delivered to it.
pub(crate) fn detach(tid: i32) -> io::Result<()> {
    match thread_state(tid) {
        ThreadState::Stopped { signal } => request(libc::PTRACE_DETACH, tid, signal as usize),
        ThreadState::Running | ThreadState::Ended => Err(rustix::io::Errno::SRCH.into()),
    }
}

/// Frees what is left of a traced thread that has ended. Until then its process cannot be waited for.
pub(crate) fn reap(tid: i32) {
    // SAFETY: no room for a status is given, and none is needed.
    unsafe { libc::waitpid(tid, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
}

/// The type of a request, in which C libraries differ.
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;
#[cfg(target_env = "musl")]
type Request = libc::c_int;

fn request(request: Request, tid: i32, data: usize) -> io::Result<()> {
    // SAFETY: these requests take no pointers.
    match unsafe { libc::ptrace(request, tid, 0, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A traced thread's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadState {
    Running,
    /// `signal` is the one that was about to be delivered (signal-delivery-stop), or 0. In a group-stop it is 0 as well: the
    /// kernel keeps the process stopped once the thread is detached.
    Stopped {
        signal: i32,
    },
    Ended,
}

/// Asks for the state of a thread that the calling thread traces. waitid(2) takes `__WALL` from Linux 4.7 on.
pub(crate) fn thread_state(tid: i32) -> ThreadState {
    let options = libc::WSTOPPED | libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: all-zero bytes are a valid value, and the kernel writes to a live one.
    let (result, info) = unsafe {
        let mut info: libc::siginfo_t = mem::zeroed();
        (libc::waitid(libc::P_PID, tid as libc::id_t, &raw mut info, options), info)
    };
    // SAFETY: waitid has filled in the members that belong to SIGCHLD, or left zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    match (result, pid) {
        (0, 0) => ThreadState::Running,
        (0, _) if info.si_code == libc::CLD_TRAPPED => {
            let is_event = status >> 8 == libc::PTRACE_EVENT_STOP;
            ThreadState::Stopped { signal: if is_event { 0 } else { status & 0x7f } }
        }
        _ => ThreadState::Ended,
    }
}

/// How often the state is checked without a SIGCHLD: it may be delivered to another thread that does not block it, as in a
/// program that is its own monitor.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Tells when traced threads have stopped or ended. SIGCHLD has to be blocked in the calling thread.
pub(crate) struct ThreadEvents {
    signals: OwnedFd,
}

impl ThreadEvents {
    /// From now on SIGCHLD, which says that something has happened to a traced thread, comes by descriptor.
    pub(crate) fn watch() -> io::Result<Self> {
        // SAFETY: a live signal set and a valid signal; the descriptor is new and not shared yet.
        unsafe {
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigaddset(&raw mut set, libc::SIGCHLD);
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { signals: OwnedFd::from_raw_fd(fd) })
        }
    }

    /// Waits until `wanted` is true of the state of thread `tid`, at most until the deadline; gives the last state. By the
    /// thread's id: waiting for any thread makes the kernel look at each of them every time.
    pub(crate) fn wait(&self, tid: i32, deadline: Instant, wanted: impl Fn(ThreadState) -> bool) -> ThreadState {
        loop {
            let state = thread_state(tid);
            let left = deadline.saturating_duration_since(Instant::now());
            if wanted(state) || left.is_zero() {
                return state;
            }
            self.wait_for_signal(left.min(LOOK_AGAIN));
        }
    }

    fn wait_for_signal(&self, time: Duration) {
        let timeout = rustix::time::Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ };
        let mut poll = [rustix::event::PollFd::new(&self.signals, rustix::event::PollFlags::IN)];
        let _ = rustix::event::poll(&mut poll, Some(&timeout));
        // Its contents are not used: waitid(2) gives the state.
        let _ = rustix::io::read(self.signals.as_fd(), &mut [0_u8; mem::size_of::<libc::signalfd_siginfo>()]);
    }
}

/// The registers of a stopped thread. Fails with ESRCH for one that has not stopped. The floating-point ones, which take a
/// call of their own, are zero where `floating` is false.
pub(crate) fn registers(tid: i32, floating: bool) -> io::Result<ThreadInfo> {
    const NT_PRSTATUS: usize = 1;
    const NT_PRFPREG: usize = 2;
    // SAFETY: all-zero bytes are a valid value of both register sets.
    let mut info: ThreadInfo = unsafe { mem::zeroed() };
    register_set(tid, NT_PRSTATUS, &mut info.regs)?;
    if floating {
        // A thread without floating-point state is worth having too.
        let _ = register_set(tid, NT_PRFPREG, &mut info.fpregs);
    }
    #[cfg(target_arch = "x86_64")]
    let stack_pointer = info.regs.rsp;
    #[cfg(target_arch = "aarch64")]
    let stack_pointer = info.regs.sp;
    info.stack_pointer = stack_pointer as usize;
    Ok(info)
}

/// The thread pointer: the address of a thread's control block, which lies at the upper end of its stack's mapping. None
/// where the registers read do not hold it.
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
pub(crate) fn read_memory(pid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(length);
    let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: length };
    // SAFETY: the vector has room for that many bytes.
    match unsafe { read_vectored(pid, bytes.as_mut_ptr(), length, &[remote]) } {
        Ok(read) => {
            // SAFETY: the kernel has written that many bytes.
            unsafe { bytes.set_len(read) };
            Ok(bytes)
        }
        // There is no such memory: the file would not have it either.
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Err(error),
        Err(_) => read_memory_file(pid, address, length),
    }
}

/// A piece of a process's memory: its address and length.
pub(crate) type Piece = (u64, usize);

/// Appends pieces of a process's memory to `bytes`, one after the other, with few system calls. Gives how much of each there
/// is, or why there is nothing of it; the room of what is not there is zero.
pub(crate) fn append_memory(pid: i32, pieces: &[Piece], bytes: &mut Vec<u8>) -> Vec<io::Result<usize>> {
    /// `IOV_MAX`, include/uapi/linux/uio.h.
    const BATCH: usize = 1024;
    let room = pieces.iter().map(|(_, length)| length).sum();
    bytes.reserve(room);
    populate(&mut bytes.spare_capacity_mut()[..room]);
    let mut found = Vec::with_capacity(pieces.len());
    while found.len() < pieces.len() {
        let rest = &pieces[found.len()..];
        let batch = &rest[..rest.len().min(BATCH)];
        let remote: Vec<_> = batch
            .iter()
            .map(|(address, length)| libc::iovec { iov_base: *address as *mut c_void, iov_len: *length })
            .collect();
        let room = batch.iter().map(|(_, length)| length).sum();
        // SAFETY: room for all pieces was reserved, and none has been used but by those that came before.
        let read = unsafe { read_vectored(pid, bytes.as_mut_ptr().add(bytes.len()), room, &remote) }.unwrap_or(0);
        let mut end = 0;
        let whole = |(_, length): &&Piece| {
            end += length;
            end <= read
        };
        let whole = batch.iter().take_while(whole).count();
        let length = batch[..whole].iter().map(|(_, length)| length).sum::<usize>();
        // SAFETY: the kernel has written at least that many bytes there.
        unsafe { bytes.set_len(bytes.len() + length) };
        found.extend(batch[..whole].iter().map(|(_, length)| Ok(*length)));
        // A vectored read ends where something cannot be read; the piece in which that is is read by itself.
        if let Some((address, length)) = batch.get(whole) {
            let piece = read_memory(pid, *address, *length);
            let end = bytes.len() + length;
            bytes.extend_from_slice(piece.as_deref().unwrap_or_default());
            bytes.resize(end, 0);
            found.push(piece.map(|piece| piece.len()));
        }
    }
    found
}

/// Has the kernel make the pages of a large buffer in one call, which takes less time than a fault for each.
fn populate(buffer: &mut [MaybeUninit<u8>]) {
    let page = rustix::param::page_size();
    let range = buffer.as_mut_ptr_range();
    let start = range.start.map_addr(|address| address.next_multiple_of(page));
    let length = (range.end.addr().saturating_sub(start.addr())) & !(page - 1);
    if length > 0 {
        // SAFETY: only asks for whole pages of a live buffer; their contents do not change (madvise(2)). Kernels before 5.14
        // refuse it, and the pages are made when they are written.
        unsafe { libc::madvise(start.cast(), length, libc::MADV_POPULATE_WRITE) };
    }
}

/// # Safety
///
/// `to` has room for `room` bytes.
unsafe fn read_vectored(pid: i32, to: *mut u8, room: usize, remote: &[libc::iovec]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: to.cast(), iov_len: room };
    // SAFETY: the caller answers for the local part; the remote addresses are only looked up by the kernel.
    let read =
        unsafe { libc::process_vm_readv(pid, &raw const local, 1, remote.as_ptr(), remote.len() as libc::c_ulong, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// By way of /proc/PID/mem, for kernels built without process_vm_readv(2) and sandboxes that forbid it.
fn read_memory_file(pid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    let read = std::fs::File::open(format!("/proc/{pid}/mem"))?.read_at(&mut bytes, address)?;
    bytes.truncate(read);
    Ok(bytes)
}
