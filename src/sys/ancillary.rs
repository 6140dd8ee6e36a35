//! Receiving a message with what the kernel says of its sender. Not for signal handlers.
//!
//! rustix has this too, but its type for a process id cannot be 0, which is what the kernel tells of a process in a name space
//! that the receiver does not see.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A message of a `SOCK_SEQPACKET` socket.
pub(crate) struct Received {
    /// Its real length, also where it does not fit (recv(2), MSG_TRUNC).
    pub length: usize,
    /// The process that has sent it; 0 where the kernel cannot tell. Needs `SO_PASSCRED`.
    pub sender: i32,
    /// Its first descriptor. Further ones are closed.
    pub descriptor: Option<OwnedFd>,
}

/// Room for the credentials and for a descriptor (cmsg(3)).
// SAFETY: only computes.
const ROOM: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) + libc::CMSG_SPACE(4) } as usize;

#[repr(C, align(8))]
struct Control([u8; ROOM]);

/// Receives one message without waiting.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; ROOM]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = ROOM as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: buffer and control message are live, and their lengths are given.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut received = Received { length, sender: 0, descriptor: None };
    // SAFETY: the kernel has filled in the message.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: null, or a header in the control message.
    while let Some(header) = unsafe { next.as_ref() } {
        // SAFETY: as above.
        let data = unsafe { libc::CMSG_DATA(next) };
        match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                // SAFETY: this type of message holds a ucred.
                received.sender = unsafe { data.cast::<libc::ucred>().read_unaligned() }.pid;
            }
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                #[allow(clippy::unnecessary_cast)] // A u32 with musl.
                // SAFETY: only computes.
                let bytes = header.cmsg_len as usize - unsafe { libc::CMSG_LEN(0) } as usize;
                let descriptors = (0..bytes / size_of::<i32>()).map(|index| {
                    // SAFETY: this type of message holds descriptors, which the kernel has just made for this process.
                    unsafe { OwnedFd::from_raw_fd(data.cast::<i32>().add(index).read_unaligned()) }
                });
                // All are taken, so that all but the first are closed.
                received.descriptor = descriptors.collect::<Vec<_>>().into_iter().next();
            }
            _ => {}
        }
        // SAFETY: a header in the message.
        next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
    }
    Ok(received)
}
