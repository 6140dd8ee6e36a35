//! One connection: what its messages mean. Bad ones end it, and nothing else.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use minidump_writer::crash_context::CrashContext;

use super::retention::Limits;
use crate::wire::{self, Hello, Malformed, Role, Verdict};

/// A connection and the process that opened it.
pub(super) struct Session {
    pub socket: OwnedFd,
    /// From the socket's peer credentials.
    pub pid: i32,
}

/// Where a host wants its dumps, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub dump_dir: PathBuf,
    pub app_name: String,
    pub retention: Limits,
}

/// What the event loop has to do about a message.
pub(super) enum Action {
    /// Nothing.
    None,
    /// Send these bytes back.
    Reply(Vec<u8>),
    /// Remember who the host is, and send these bytes back.
    Describe(Description, Vec<u8>),
    /// Write a dump.
    Dump(Box<CrashContext>),
    /// The host disarms itself.
    Goodbye,
    /// Send these bytes and end the session.
    Refuse(Vec<u8>, String),
}

/// Why a session ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bad {
    Malformed(Malformed),
    UnknownKind(u32),
    OtherPid { claimed: i32, peer: i32 },
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::UnknownKind(kind) => write!(f, "message of unknown kind {kind}"),
            Self::OtherPid { claimed, peer } => write!(f, "process {peer} reports a crash of process {claimed}"),
        }
    }
}

/// Decides what a message from process `peer` means; `length` is its real length, see [`wire::split`].
pub(super) fn interpret(received: &[u8], length: usize, peer: i32) -> Result<Action, Bad> {
    const PID: u32 = wire::KIND_USER + wire::USER_PID;
    const HELLO: u32 = wire::KIND_USER + wire::USER_HELLO;
    const GOODBYE: u32 = wire::KIND_USER + wire::USER_GOODBYE;
    let (kind, payload) = wire::split(received, length).map_err(Bad::Malformed)?;
    let malformed = Bad::Malformed(Malformed::Payload(kind));
    match kind {
        wire::KIND_CRASH => crash(payload, peer).map_or(Err(malformed), |result| result),
        wire::KIND_PING => Ok(Action::Reply(wire::header(wire::KIND_PONG, 0).to_vec())),
        wire::KIND_PONG => Ok(Action::None),
        PID if payload.len() == size_of::<u32>() => Ok(Action::None),
        HELLO => hello(payload).ok_or(malformed),
        GOODBYE if payload.is_empty() => Ok(Action::Goodbye),
        PID | GOODBYE => Err(malformed),
        kind => Err(Bad::UnknownKind(kind)),
    }
}

fn crash(payload: &[u8], peer: i32) -> Option<Result<Action, Bad>> {
    let context = CrashContext::from_bytes(payload)?;
    if context.pid != peer {
        return Some(Err(Bad::OtherPid { claimed: context.pid, peer }));
    }
    Some(Ok(Action::Dump(Box::new(context))))
}

fn hello(payload: &[u8]) -> Option<Action> {
    let version = Hello::version_of(payload)?;
    if version != wire::PROTOCOL_VERSION {
        let reason = format!("host speaks protocol version {version}, we speak {}", wire::PROTOCOL_VERSION);
        return Some(Action::Refuse(wire::welcome(Verdict::WrongVersion).to_vec(), reason));
    }
    let hello = Hello::parse(payload)?;
    let description = Description {
        dump_dir: PathBuf::from(OsStr::from_bytes(hello.dump_dir)),
        app_name: hello.app_name.to_owned(),
        retention: Limits { files: hello.keep_files, bytes: hello.keep_bytes },
    };
    // A minidumper client, which has the control connection, reads nothing but pongs.
    let reply = match hello.role {
        Role::Crash => wire::welcome(Verdict::Served).to_vec(),
        Role::Control => Vec::new(),
    };
    Some(Action::Describe(description, reply))
}
