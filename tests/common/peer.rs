//! Connections to a monitor made by hand, to say what no library would. The numbers are minidumper's and those of the
//! protocol's version 3, written down once more: what is on the wire must not change with a constant.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crash_handler::CrashContext;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketType};

use super::PATIENCE;

pub const CRASH: u32 = 0;
pub const CRASH_ACK: u32 = 1;
pub const PING: u32 = 2;
pub const PONG: u32 = 3;
pub const PID: u32 = 4;
pub const HELLO: u32 = 5;
pub const WELCOME: u32 = 6;
pub const GOODBYE: u32 = 7;
pub const DUMP: u32 = 8;
pub const DUMPED: u32 = 9;
pub const HEARTBEAT: u32 = 10;
pub const OUR_CRASH: u32 = 11;
pub const CHILD_CRASH: u32 = 12;

/// A connection of this test process.
pub struct Peer {
    socket: OwnedFd,
}

impl Peer {
    pub fn connect(path: &Path) -> Self {
        Self::try_connect(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn try_connect(path: &Path) -> io::Result<Self> {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
        for direction in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, direction, Some(PATIENCE))?;
        }
        let address = SocketAddrUnix::new(path)?;
        rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
        Ok(Self { socket })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, message, SendFlags::NOSIGNAL))?;
        assert_eq!(sent, message.len());
        Ok(())
    }

    /// Sends a message with descriptors.
    pub fn send_with(&self, message: &[u8], control: &mut SendAncillaryBuffer<'_, '_, '_>) -> io::Result<usize> {
        let parts = [io::IoSlice::new(message)];
        Ok(rustix::net::sendmsg(&self.socket, &parts, control, SendFlags::NOSIGNAL)?)
    }

    /// The next message; None once the monitor has closed the connection.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut message = [0; 4096];
        match rustix::io::retry_on_intr(|| rustix::net::recv(&self.socket, &mut message[..], RecvFlags::empty())) {
            Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET) => None,
            Ok((_, length)) => Some(message[..length].to_vec()),
            Err(errno) => panic!("waited {PATIENCE:?} for a message: {errno}"),
        }
    }

    /// Whether the monitor still serves this connection: it answers a ping.
    pub fn is_served(&self) -> bool {
        self.send(&frame(PING, &[])).is_ok() && self.receive() == Some(frame(PONG, &[]))
    }
}

/// A listener of this test process that a host takes for a monitor. It answers the first message of one connection
/// with `answer` and then reads on until the host hangs up.
pub fn fake_monitor(path: &Path, answer: Vec<u8>) -> std::thread::JoinHandle<()> {
    let listener = listen(path);
    std::thread::spawn(move || {
        let accepted = rustix::io::retry_on_intr(|| rustix::net::accept(&listener));
        let host = Peer { socket: accepted.expect("a host") };
        host.receive().expect("its hello");
        host.send(&answer).expect("answer");
        while host.receive().is_some() {}
    })
}

/// A listener of this test process that hangs up on so many connections and ends with the last.
pub fn ending_monitor(path: &Path, connections: usize) -> std::thread::JoinHandle<()> {
    let listener = listen(path);
    let path = path.to_owned();
    std::thread::spawn(move || {
        let accept = |_| rustix::io::retry_on_intr(|| rustix::net::accept(&listener)).expect("a connection");
        (1..connections).for_each(|connection| drop(accept(connection)));
        let last = accept(connections);
        std::fs::remove_file(path).expect("remove the socket");
        drop((listener, last));
    })
}

fn listen(path: &Path) -> OwnedFd {
    let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
    rustix::net::bind(&listener, &SocketAddrUnix::new(path).expect("a short path")).expect("bind");
    rustix::net::listen(&listener, 16).expect("listen");
    listener
}

/// A message: kind and payload size as native `u32`, then the payload.
pub fn frame(kind: u32, payload: &[u8]) -> Vec<u8> {
    [&kind.to_ne_bytes(), &(payload.len() as u32).to_ne_bytes(), payload].concat()
}

/// The payload of a hello of protocol version 3; `page` is the address of the host's page, 0 for none.
pub fn hello(page: u64, dump_dir: &[u8], app_name: &[u8]) -> Vec<u8> {
    // 100 files and 1 GiB are kept, nothing more is wanted in dumps, and the deadline is 10 s.
    let numbers = numbers(&[3, 100, 0, 10_000, 1 << 30, 0, page as u32, (page >> 32) as u32]);
    [numbers, string(dump_dir), string(app_name), std::process::id().to_ne_bytes().to_vec()].concat()
}

/// Numbers as payloads hold them; one of 64 bits is two, the low half first.
pub fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// A string as payloads hold it.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_ne_bytes(), bytes].concat()
}

/// A crash context of process `pid` whose every other byte is `filling`.
#[allow(unsafe_code)]
pub fn crash_context(pid: u32, filling: u8) -> CrashContext {
    // SAFETY: plain numbers and a pointer that nobody follows, for which all bytes are valid.
    let mut context: CrashContext = unsafe {
        let mut context = std::mem::MaybeUninit::uninit();
        std::ptr::write_bytes(context.as_mut_ptr(), filling, 1);
        context.assume_init()
    };
    context.pid = pid as i32;
    context
}
