//! One connection: what its messages mean. Bad ones end it, and nothing else.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minidump_writer::crash_context::CrashContext;

use super::extras::Extra;
use crate::limits;
use crate::monitor::retention::Limits;
use crate::settings;
use crate::settings::Contents;
use crate::wire::{self, Hello, Malformed, Reader, Role, Verdict};

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
    /// Remember who the host is, and send these bytes back.
    Describe(Description, Vec<u8>),
    /// Write a dump of a crash.
    Crash(Box<CrashContext>),
    /// Write a dump of the living host.
    Dump { tid: i32, reason: String },
    /// Remember what goes into a dump.
    Extra(Extra),
    /// The host lives, and will say so again within this time; never again for zero.
    Heartbeat(Duration),
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
    const ANNOTATION: u32 = wire::KIND_USER + wire::USER_ANNOTATION;
    const ATTACHMENT: u32 = wire::KIND_USER + wire::USER_ATTACHMENT;
    const MEMORY: u32 = wire::KIND_USER + wire::USER_MEMORY;
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
        ANNOTATION => whole(payload, annotation).ok_or(malformed),
        ATTACHMENT => whole(payload, |rest| attachment(rest, peer)).ok_or(malformed),
        MEMORY => whole(payload, memory).ok_or(malformed),
        HEARTBEAT => whole(payload, heartbeat).ok_or(malformed),
        PID | GOODBYE => Err(malformed),
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
    let reason = text(rest).filter(|reason| reason.len() <= limits::REASON)?;
    Some(Action::Dump { tid, reason })
}

fn annotation(rest: &mut Reader<'_>) -> Option<Action> {
    let key = text(rest)?;
    let value = if rest.is_empty() { None } else { Some(text(rest)?) };
    Some(Action::Extra(Extra::Annotation { key, value }))
}

/// What the host calls /proc/self is, seen from here, another directory: that of its pid in our name space.
fn attachment(rest: &mut Reader<'_>, peer: i32) -> Option<Action> {
    let path = wire::path(rest)?;
    let of_peer = path.strip_prefix("/proc/self").map(|rest| Path::new("/proc").join(peer.to_string()).join(rest));
    Some(Action::Extra(Extra::Attachment(of_peer.unwrap_or_else(|_| path.to_owned()))))
}

fn memory(rest: &mut Reader<'_>) -> Option<Action> {
    Some(Action::Extra(Extra::Memory { start: rest.long()?, length: rest.long()? }))
}

fn heartbeat(rest: &mut Reader<'_>) -> Option<Action> {
    let within = Duration::from_millis(rest.number()?.into());
    (within.is_zero() || within >= limits::HEARTBEAT_MIN).then_some(Action::Heartbeat(within))
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
    let hello = Hello::parse(payload).filter(|hello| settings::DEADLINE_MS_RANGE.contains(&hello.deadline_ms))?;
    let description = Description {
        dump_dir: hello.dump_dir.to_owned(),
        app_name: hello.app_name.to_owned(),
        retention: Limits { files: hello.keep_files, bytes: hello.keep_bytes },
        contents: hello.contents,
        deadline: Duration::from_millis(hello.deadline_ms.into()),
    };
    // A minidumper client, which has the control connection, reads nothing but pongs.
    let reply = match hello.role {
        Role::Crash => wire::welcome(Verdict::Served).to_vec(),
        Role::Control => Vec::new(),
    };
    Some(Action::Describe(description, reply))
}
