//! Raw system calls with deadlines, for the handler and for install.
//!
//! Signal safety: every function here may be called by a signal handler. They go through [`syscall!`], which touches
//! neither errno nor any other thread-local, and is no thread cancellation point (pthreads(7)).

use std::ffi::c_void;
use std::mem;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU32;

use super::syscall::syscall;
pub(crate) use super::syscall::{Errno, SysResult};

/// This process's id, asked of the kernel: libc may have cached it before a fork. -1 where a sandbox refuses to tell it.
pub(crate) fn getpid() -> i32 {
    // SAFETY: no arguments. Only a sandbox refuses it.
    unsafe { syscall!(libc::SYS_getpid) }.map_or(-1, |pid| pid as i32)
}

/// The calling thread's id.
pub(crate) fn gettid() -> i32 {
    // SAFETY: no arguments. Only a sandbox refuses it.
    unsafe { syscall!(libc::SYS_gettid) }.map_or(-1, |tid| tid as i32)
}

/// Whether this process has a thread of this id.
pub(crate) fn thread_exists(tid: i32) -> bool {
    // SAFETY: integers only; signal 0 only checks (kill(2)).
    let sent = unsafe { syscall!(libc::SYS_tgkill, getpid(), tid, 0) };
    sent != Err(Errno(libc::ESRCH))
}

/// A point of the monotonic clock. Where a sandbox refuses to tell the time the deadline has passed already, so that nothing
/// waits without a limit.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(u64);

impl Deadline {
    pub(crate) fn after(duration: std::time::Duration) -> Self {
        Self(Self::now().map_or(0, |now| now + duration.as_nanos() as u64))
    }

    fn now() -> Option<u64> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a live timespec.
        unsafe { syscall!(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut time) }.ok()?;
        Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// Nanoseconds left; None once it has passed.
    fn left(self) -> Option<u64> {
        self.0.checked_sub(Self::now()?).filter(|left| *left > 0)
    }

    fn left_timespec(self) -> Option<libc::timespec> {
        let left = self.left()?;
        Some(libc::timespec { tv_sec: (left / 1_000_000_000) as _, tv_nsec: (left % 1_000_000_000) as _ })
    }
}

/// Waits until `fd` is ready for one of `events`, or the deadline has passed (`ETIMEDOUT`). Goes on after a signal.
pub(crate) fn wait_for(fd: RawFd, events: libc::c_short, deadline: Deadline) -> SysResult<()> {
    loop {
        let Some(left) = deadline.left_timespec() else { return Err(Errno(libc::ETIMEDOUT)) };
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one live pollfd, a live timespec, and no signal mask.
        let ready = unsafe {
            syscall!(libc::SYS_ppoll, &raw mut poll, 1_usize, &raw const left, std::ptr::null::<c_void>(), 0_usize)
        };
        match ready {
            Ok(0) | Err(Errno(libc::EINTR)) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Whether the peer of a socket has closed it, or will send nothing any more.
pub(crate) fn is_hung_up(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLRDHUP, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one live pollfd, a live timespec, and no signal mask.
    let ready = unsafe {
        syscall!(libc::SYS_ppoll, &raw mut poll, 1_usize, &raw const now, std::ptr::null::<c_void>(), 0_usize)
    };
    ready == Ok(1) && poll.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
}

/// Sleeps until the deadline, through signals.
pub(crate) fn sleep_until(deadline: Deadline) {
    // A descriptor of -1 is never ready (poll(2)), so this always ends with the deadline.
    let _ = wait_for(-1, 0, deadline);
}

/// Waits until `word` is not `value` any more, as [`wake_all`] tells, or the deadline has passed (`ETIMEDOUT`). May
/// return early.
pub(crate) fn wait_for_change(word: &AtomicU32, value: u32, deadline: Deadline) -> SysResult<()> {
    let Some(left) = deadline.left_timespec() else { return Err(Errno(libc::ETIMEDOUT)) };
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a live word and a live timespec.
    match unsafe { syscall!(libc::SYS_futex, word.as_ptr(), operation, value, &raw const left) } {
        Ok(_) | Err(Errno(libc::EAGAIN | libc::EINTR)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Wakes all threads that wait for a change of `word`.
pub(crate) fn wake_all(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a live word, of which only the address counts.
    let _ = unsafe { syscall!(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}

/// Sends one message, made of parts, without SIGPIPE, waiting for room until the deadline.
pub(crate) fn send<const N: usize>(fd: RawFd, parts: [&[u8]; N], deadline: Deadline) -> SysResult<()> {
    send_with(fd, parts, None, deadline)
}

/// A control message (cmsg(3)) with one descriptor.
#[repr(C)]
struct Rights {
    header: libc::cmsghdr,
    descriptor: RawFd,
}

/// As [`send`], with a descriptor for the peer (unix(7), `SCM_RIGHTS`).
pub(crate) fn send_with<const N: usize>(
    fd: RawFd,
    parts: [&[u8]; N],
    descriptor: Option<RawFd>,
    deadline: Deadline,
) -> SysResult<()> {
    let parts = parts.map(|part| libc::iovec { iov_base: part.as_ptr() as *mut c_void, iov_len: part.len() });
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut();
    message.msg_iovlen = parts.len() as _;
    // SAFETY: all-zero bytes are a valid control message.
    let mut rights: Rights = unsafe { mem::zeroed() };
    if let Some(descriptor) = descriptor {
        rights.header.cmsg_len = (mem::offset_of!(Rights, descriptor) + mem::size_of::<RawFd>()) as _;
        rights.header.cmsg_level = libc::SOL_SOCKET;
        rights.header.cmsg_type = libc::SCM_RIGHTS;
        rights.descriptor = descriptor;
        message.msg_control = (&raw mut rights).cast();
        message.msg_controllen = mem::size_of::<Rights>() as _;
    }
    loop {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the message's parts and its control message are live memory that the kernel only reads.
        match unsafe { syscall!(libc::SYS_sendmsg, fd, &raw const message, flags) } {
            Ok(_) => return Ok(()),
            Err(Errno(libc::EINTR)) => {}
            Err(Errno(libc::EAGAIN)) => wait_for(fd, libc::POLLOUT, deadline)?,
            Err(error) => return Err(error),
        }
    }
}

/// Receives one message, waiting until the deadline. Gives its length; 0 means that the peer has closed.
pub(crate) fn receive(fd: RawFd, buffer: &mut [u8], deadline: Deadline) -> SysResult<usize> {
    loop {
        let (start, length) = (buffer.as_mut_ptr(), buffer.len());
        let none = std::ptr::null::<c_void>();
        // SAFETY: the kernel writes at most `length` bytes to the live buffer.
        match unsafe { syscall!(libc::SYS_recvfrom, fd, start, length, libc::MSG_DONTWAIT, none, none) } {
            Err(Errno(libc::EINTR)) => {}
            Err(Errno(libc::EAGAIN)) => wait_for(fd, libc::POLLIN, deadline)?,
            other => return other,
        }
    }
}

/// Reads from a pipe, waiting until the deadline. 0 means that every writer has closed.
pub(crate) fn read(fd: RawFd, buffer: &mut [u8], deadline: Deadline) -> SysResult<usize> {
    loop {
        wait_for(fd, libc::POLLIN, deadline)?;
        // SAFETY: the kernel writes at most the buffer's length to it.
        match unsafe { syscall!(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len()) } {
            Err(Errno(libc::EINTR)) => {}
            other => return other,
        }
    }
}

/// Closes a descriptor of ours; nothing can be done about a failure.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: callers own the descriptor and do not use it again.
    let _ = unsafe { syscall!(libc::SYS_close, fd) };
}

/// A pipe, read end first, both ends close-on-exec.
pub(crate) fn pipe() -> SysResult<[RawFd; 2]> {
    let mut ends = [-1; 2];
    // SAFETY: room for the two descriptors that the kernel writes.
    unsafe { syscall!(libc::SYS_pipe2, ends.as_mut_ptr(), libc::O_CLOEXEC) }?;
    Ok(ends)
}

/// Two connected `SOCK_SEQPACKET` sockets, close-on-exec (socketpair(2)). The kernel gives this process's credentials for each.
pub(crate) fn socket_pair() -> SysResult<[RawFd; 2]> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: room for the two descriptors that the kernel writes.
    unsafe { syscall!(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }?;
    Ok(ends)
}

/// A socket's address, ready for the kernel.
#[derive(Clone, Copy)]
pub(crate) struct SocketAddress(libc::sockaddr_un);

impl SocketAddress {
    /// The path has to have been checked for its length; what is too long is cut.
    pub(crate) fn new(path: &[u8]) -> Self {
        // SAFETY: all-zero bytes are a valid sockaddr_un.
        let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
        address.sun_family = libc::AF_UNIX as _;
        let room = address.sun_path.len() - 1;
        for (to, from) in address.sun_path[..room].iter_mut().zip(path) {
            *to = *from as _;
        }
        Self(address)
    }
}

/// Connects a `SOCK_SEQPACKET` socket, close-on-exec, to `address`, waiting for room in the listener's queue until the
/// deadline (`ETIMEDOUT`).
pub(crate) fn connect(address: &SocketAddress, deadline: Deadline) -> SysResult<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let fd = unsafe { syscall!(libc::SYS_socket, libc::AF_UNIX, kind, 0) }? as RawFd;
    // SAFETY: just made and not shared yet.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    connect_within(fd, address, deadline)?;
    Ok(socket)
}

fn connect_within(fd: RawFd, address: &SocketAddress, deadline: Deadline) -> SysResult<()> {
    loop {
        let Some(left) = deadline.left_timespec() else { return Err(Errno(libc::ETIMEDOUT)) };
        // A blocking connect(2) on a Unix socket waits for room as long as SO_SNDTIMEO says (unix(7)), at least 1 µs.
        let timeout = libc::timeval { tv_sec: left.tv_sec, tv_usec: (left.tv_nsec / 1000).max(1) as _ };
        set_option(fd, libc::SO_SNDTIMEO, &timeout)?;
        let length = mem::size_of::<libc::sockaddr_un>();
        // SAFETY: a live address of the length given.
        match unsafe { syscall!(libc::SYS_connect, fd, &raw const address.0, length) } {
            Ok(_) => return Ok(()),
            Err(Errno(libc::EINTR)) => {}
            Err(Errno(libc::EAGAIN)) => return Err(Errno(libc::ETIMEDOUT)),
            Err(error) => return Err(error),
        }
    }
}

fn set_option<T>(fd: RawFd, option: i32, value: &T) -> SysResult<()> {
    let length = mem::size_of::<T>();
    // SAFETY: a live value of the length given, which the kernel only reads.
    unsafe { syscall!(libc::SYS_setsockopt, fd, libc::SOL_SOCKET, option, std::ptr::from_ref(value), length) }?;
    Ok(())
}

/// Process and user id of the peer: of the process that called listen(2), for a client (unix(7), `SO_PEERCRED`).
pub(crate) fn peer_credentials(fd: RawFd) -> SysResult<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: room for the credentials, whose length is given.
    unsafe {
        syscall!(libc::SYS_getsockopt, fd, libc::SOL_SOCKET, libc::SO_PEERCRED, &raw mut credentials, &raw mut length,)
    }?;
    Ok(credentials)
}

/// What tells an open file apart from every other one at the same time: device and inode (stat(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub device: u64,
    pub inode: u64,
}

/// The identity of the file behind a descriptor.
pub(crate) fn identity(fd: RawFd) -> SysResult<FileIdentity> {
    // SAFETY: all-zero bytes are a valid stat.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: room for one stat.
    unsafe { syscall!(libc::SYS_fstat, fd, &raw mut stat) }?;
    Ok(FileIdentity { device: stat.st_dev, inode: stat.st_ino })
}

/// Lets `pid` and its descendants trace this process where Yama restricts that (Documentation/admin-guide/LSM/Yama.rst);
/// 0 takes it back. Without Yama the kernel refuses and nothing is needed.
pub(crate) fn allow_tracer(pid: i32) {
    // SAFETY: integers only.
    let _ = unsafe { syscall!(libc::SYS_prctl, libc::PR_SET_PTRACER, pid as libc::c_ulong, 0, 0, 0) };
}

/// Whether processes of the same user may read this one (prctl(2), `PR_GET_DUMPABLE`).
pub(crate) fn is_dumpable() -> bool {
    // SAFETY: integers only.
    unsafe { syscall!(libc::SYS_prctl, libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }.is_ok_and(|value| value > 0)
}

/// Lets processes of the same user read this one, or not.
pub(crate) fn set_dumpable(dumpable: bool) {
    // SAFETY: integers only.
    let _ = unsafe { syscall!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, dumpable, 0, 0, 0) };
}

/// What a monitor has of stack where its starter may have less: the usual limit.
const STACK: u64 = 8 << 20;

/// Raises this process's soft limits (setrlimit(2)) to the hard ones, but for those of core files and of what does not hinder a
/// monitor. They are those of the host that has started it, and a monitor also works for others.
pub(crate) fn raise_limits() {
    let resources = [
        libc::RLIMIT_FSIZE as i32,
        libc::RLIMIT_DATA as i32,
        libc::RLIMIT_STACK as i32,
        libc::RLIMIT_AS as i32,
        libc::RLIMIT_CPU as i32,
        libc::RLIMIT_RTTIME as i32,
        libc::RLIMIT_NPROC as i32,
        libc::RLIMIT_NOFILE as i32,
    ];
    for resource in resources {
        let Ok(mut limit) = limit(resource) else { continue };
        // A higher one changes where a program's memory lies (mmap_base in arch/x86/mm/mmap.c).
        let enough = if resource == libc::RLIMIT_STACK as i32 { STACK.max(limit.rlim_cur) } else { limit.rlim_max };
        limit.rlim_cur = enough.min(limit.rlim_max);
        // SAFETY: the pointer is to a live limit.
        let _ = unsafe { syscall!(libc::SYS_prlimit64, 0, resource, &raw const limit, 0) };
    }
}

/// A limit of this process, soft and hard.
pub(crate) fn limit(resource: i32) -> SysResult<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: room for one limit.
    unsafe { syscall!(libc::SYS_prlimit64, 0, resource, 0, &raw mut limit) }?;
    Ok(limit)
}

/// Ends a process that this library started.
pub(crate) fn kill(pid: i32) {
    // SAFETY: integers only.
    let _ = unsafe { syscall!(libc::SYS_kill, pid, libc::SIGKILL) };
}
