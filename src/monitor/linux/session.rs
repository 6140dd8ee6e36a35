//! One connection: what its messages mean. Bad ones end it, and nothing else.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use minidump_writer::crash_context::CrashContext;

use crate::config;
use crate::monitor::retention::Limits;
use crate::page::layout::REASON;
use crate::wire::{self, Contents, Hello, Malformed, Reader, Verdict};

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
    pub contents: Contents,
    /// How long a dumper may take, and so hold the host.
    pub deadline: Duration,
}

/// What the event loop has to do about a message.
pub(super) enum Action {
    /// Nothing.
    None,
    /// Send these bytes back.
    Reply(Vec<u8>),
    /// Remember who the host is and where its page lies, and welcome it.
    Describe(Description, u64),
    /// Write a dump of a crash.
    Crash(Box<CrashContext>),
    /// Write a dump of the living host.
    Dump { tid: i32, reason: String },
    /// Look at the promise of signs of life in the host's page.
    Heartbeat,
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
    const DUMP: u32 = wire::KIND_USER + wire::USER_DUMP;
    const CRASH: u32 = wire::KIND_USER + wire::USER_CRASH;
    const HEARTBEAT: u32 = wire::KIND_USER + wire::USER_HEARTBEAT;
    let (kind, payload) = wire::split(received, length).map_err(Bad::Malformed)?;
    let malformed = Bad::Malformed(Malformed::Payload(kind));
    match kind {
        wire::KIND_CRASH => crash(payload, peer).map_or(Err(malformed), |result| result),
        wire::KIND_PING => Ok(Action::Reply(wire::header(wire::KIND_PONG, 0).to_vec())),
        wire::KIND_PONG => Ok(Action::None),
        PID if payload.len() == size_of::<u32>() => Ok(Action::None),
        HELLO => hello(payload).ok_or(malformed),
        GOODBYE if payload.is_empty() => Ok(Action::Goodbye),
        DUMP => whole(payload, dump).ok_or(malformed),
        CRASH => payload
            .split_at_checked(wire::CRASH_PREFIX)
            .and_then(|(_, context)| crash(context, peer))
            .map_or(Err(malformed), |result| result),
        HEARTBEAT if payload.is_empty() => Ok(Action::Heartbeat),
        PID | GOODBYE | HEARTBEAT => Err(malformed),
        kind => Err(Bad::UnknownKind(kind)),
    }
}

fn crash(payload: &[u8], peer: i32) -> Option<Result<Action, Bad>> {
    let context = CrashContext::from_bytes(payload)?;
    if context.pid != peer {
        return Some(Err(Bad::OtherPid { claimed: context.pid, peer }));
    }
    Some(Ok(Action::Crash(Box::new(context))))
}

/// Reads a payload with nothing left over.
fn whole<'a>(payload: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Option<Action>) -> Option<Action> {
    let mut rest = Reader(payload);
    read(&mut rest).filter(|_| rest.is_empty())
}

fn dump(rest: &mut Reader<'_>) -> Option<Action> {
    let tid = i32::try_from(rest.number()?).ok()?;
    let reason = text(rest).filter(|reason| reason.len() <= REASON)?;
    Some(Action::Dump { tid, reason })
}

fn text(rest: &mut Reader<'_>) -> Option<String> {
    std::str::from_utf8(rest.string()?).ok().map(str::to_owned)
}

fn hello(payload: &[u8]) -> Option<Action> {
    let version = Hello::version_of(payload)?;
    if version != wire::PROTOCOL_VERSION {
        let reason = format!("host speaks protocol version {version}, we speak {}", wire::PROTOCOL_VERSION);
        return Some(Action::Refuse(wire::welcome(Verdict::WrongVersion).to_vec(), reason));
    }
    // A dumper may take until the deadline, and keeps others waiting.
    let hello = Hello::parse(payload).filter(|hello| config::DEADLINE_MS_RANGE.contains(&hello.deadline_ms))?;
    let description = Description {
        dump_dir: hello.dump_dir.to_owned(),
        app_name: hello.app_name.to_owned(),
        retention: Limits { files: hello.keep_files, bytes: hello.keep_bytes },
        contents: hello.contents,
        deadline: Duration::from_millis(hello.deadline_ms.into()),
    };
    Some(Action::Describe(description, hello.page))
}
