//! The connection of a host to its monitor, and the one that a request for a dump has for itself.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::install::{hello_payload, refuse_other_file, timed_out, unusable};
use crate::page::host;
use crate::status::{CM_ERR_DUMP, CM_ERR_MONITOR_VERSION};
use crate::sys::files;
use crate::sys::raw::{self, Deadline, Errno, SocketAddress};
use crate::wire::{self, PROTOCOL_VERSION, Verdict};

/// A connection to a monitor that has answered.
pub(super) struct Connection {
    pub link: OwnedFd,
    pub monitor_pid: i32,
    /// Whether it has answered the hello. minidumper's server does not, and knows only its own messages.
    pub welcomed: bool,
}

/// The host's hello as a whole message.
pub(super) fn hello_message(settings: &Settings) -> Vec<u8> {
    let payload = hello_payload(settings, host::address());
    [&wire::header(wire::KIND_USER + wire::USER_HELLO, payload.len()), payload.as_slice()].concat()
}

/// Connects to the monitor at the socket path; None where none listens. Anything else there is an error.
pub(super) fn to_living_monitor(settings: &Settings, deadline: Deadline) -> Result<Option<Connection>> {
    let address = SocketAddress::new(settings.socket_path.as_os_str().as_encoded_bytes());
    let link = match raw::connect(&address, deadline) {
        Ok(link) => link,
        Err(Errno(libc::ENOENT)) => return Ok(None),
        Err(Errno(libc::ECONNREFUSED)) => return refuse_other_file(settings).map(|()| None),
        Err(Errno(libc::ETIMEDOUT)) => return Err(timed_out(settings, "accept a connection", settings.deadline)),
        Err(Errno(libc::EPROTOTYPE)) => return Err(unusable(settings, "something other than a monitor listens there")),
        Err(errno) => return Err(unusable(settings, errno)),
    };
    let fd = link.as_raw_fd();
    let peer = raw::peer_credentials(fd).map_err(|errno| Error::system("cannot ask who the monitor is", errno))?;
    let uid = rustix::process::geteuid().as_raw();
    if peer.uid != uid {
        return Err(unusable(
            settings,
            format_args!(
                "the monitor belongs to user {}, this process to user {uid}: give a path of your own",
                peer.uid
            ),
        ));
    }
    let welcomed = shake_hands(&link, settings, deadline)?;
    Ok(welcomed.map(|welcomed| Connection { link, monitor_pid: peer.pid, welcomed }))
}

/// Sends hello and ping; gives whether the hello was answered. None where the monitor hangs up because it is ending.
///
/// Our monitor answers both. A `minidumper::Server` answers the ping alone.
fn shake_hands(link: &OwnedFd, settings: &Settings, deadline: Deadline) -> Result<Option<bool>> {
    let fd = link.as_raw_fd();
    let broken = |errno| match errno {
        Errno(libc::EPIPE | libc::ECONNRESET) => Ok(None),
        Errno(libc::ETIMEDOUT) => Err(timed_out(settings, "answer", settings.deadline)),
        errno => Err(unusable(settings, format_args!("talking to the monitor failed: {errno}"))),
    };
    // The page's descriptor, where there is one.
    let page = host::descriptor().map(|page| page.as_raw_fd());
    let hello = || raw::send_with(fd, [&hello_message(settings)], page, deadline);
    let ping = || raw::send(fd, [&wire::header(wire::KIND_PING, 0), &[]], deadline);
    match hello().and_then(|()| ping()) {
        // A monitor that refuses a host says so before it hangs up.
        Ok(()) | Err(Errno(libc::EPIPE | libc::ECONNRESET)) => {}
        Err(errno) => return broken(errno),
    }
    let (mut answer, mut welcomed) = ([0; 64], false);
    loop {
        let length = match raw::receive(fd, &mut answer, deadline) {
            Ok(0) => return Ok(None),
            Ok(length) => length,
            // It has hung up with a message unread, which the kernel tells once, before what it had sent.
            Err(Errno(libc::ECONNRESET)) => continue,
            Err(errno) => return broken(errno),
        };
        match wire::split(&answer, length) {
            Ok((wire::KIND_PONG, _)) => return Ok(Some(welcomed)),
            Ok((kind, payload)) if kind == wire::KIND_USER + wire::USER_WELCOME => {
                check_welcome(settings, payload)?;
                welcomed = true;
            }
            _ => return Err(unusable(settings, "what answers there does not speak a monitor's protocol")),
        }
    }
}

fn check_welcome(settings: &Settings, payload: &[u8]) -> Result<()> {
    match wire::parse_welcome(payload) {
        Some((_, Verdict::Served)) => Ok(()),
        Some((_, Verdict::Unseen)) => Err(unusable(
            settings,
            "its monitor is in another process name space (pid_namespaces(7)) and cannot see this process: share the name \
             space, or give a socket_path of this container's own",
        )),
        other => Err(Error::new(
            CM_ERR_MONITOR_VERSION,
            format!(
                "the monitor at {} speaks protocol version {}, this library version {PROTOCOL_VERSION}: end the \
                 programs that use the old one, or give another socket_path",
                settings.socket_path.display(),
                other.map_or_else(|| "unknown".to_owned(), |(version, _)| version.to_string())
            ),
        )),
    }
}

/// The error for a monitor that has ended, while it is too early for another attempt to replace it.
pub(super) fn no_monitor_yet(settings: &Settings, wait: Duration) -> Error {
    unusable(
        settings,
        format_args!(
            "the monitor is gone and could not be replaced; tried again in {} ms at the earliest",
            wait.as_millis()
        ),
    )
}

/// Has the monitor dump this process, on a connection of its own, and waits for the result.
pub(super) fn request_dump(settings: &Settings, payload: &[u8]) -> Result<PathBuf> {
    let deadline = Deadline::after(settings.deadline);
    let address = SocketAddress::new(settings.socket_path.as_os_str().as_encoded_bytes());
    let mut answer = vec![0; wire::MESSAGE_MAX];
    let mut request = || {
        let socket = raw::connect(&address, deadline)?;
        let header = wire::header(wire::KIND_USER + wire::USER_DUMP, payload.len());
        raw::send(socket.as_raw_fd(), [&header, payload], deadline)?;
        raw::receive(socket.as_raw_fd(), &mut answer, deadline)
    };
    let length = request().map_err(|errno| match errno {
        Errno(libc::ETIMEDOUT) => timed_out(settings, "write the dump", settings.deadline),
        errno => unusable(settings, format_args!("talking to the monitor failed: {errno}")),
    })?;
    let result = wire::split(&answer, length).ok().filter(|(kind, _)| *kind == wire::KIND_USER + wire::USER_DUMPED);
    let mut result = wire::Reader(result.map_or(&[], |(_, payload)| payload));
    match (result.number(), result.string()) {
        (Some(0), Some(path)) => {
            files::path_from_bytes(path).map(PathBuf::from).ok_or_else(|| unusable(settings, "the dump's path is none"))
        }
        (Some(_), Some(reason)) => Err(Error::new(
            CM_ERR_DUMP,
            format!("the monitor could not write the dump: {}", String::from_utf8_lossy(reason)),
        )),
        _ => Err(unusable(settings, "the monitor hung up instead of writing the dump")),
    }
}
