//! What the messages of a host mean. A bad one ends its connection, and nothing else.

use std::path::Path;
use std::time::Duration;

use minidump_writer::crash_context::CrashContext;

use crate::limits;
use crate::monitor::host_data::Change;
use crate::monitor::hosts::Description;
use crate::monitor::retention::Limits;
use crate::settings;
use crate::wire::{self, Hello, Malformed, Reader, Role};

/// A message.
pub(super) enum Message {
    /// It says nothing that matters.
    Ignored,
    Ping,
    /// Who the host is. With `installs` it waits for a welcome, and begins anew.
    Hello {
        description: Description,
        installs: bool,
    },
    /// A hello in another version of the protocol.
    OtherVersion(u32),
    Crash(Box<CrashContext>),
    /// Asks for a dump of the living host.
    DumpRequest {
        tid: i32,
        reason: String,
    },
    HostData(Change),
    /// The host is alive, and promises to say so again within this time; zero ends the promise.
    Heartbeat(Duration),
    /// The host disarms itself.
    Goodbye,
}

/// Why a message is not one that a host may send.
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
pub(super) fn interpret(received: &[u8], length: usize, peer: i32) -> Result<Message, Bad> {
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
        wire::KIND_PING => Ok(Message::Ping),
        wire::KIND_PONG => Ok(Message::Ignored),
        PID if payload.len() == size_of::<u32>() => Ok(Message::Ignored),
        HELLO => hello(payload).ok_or(malformed),
        GOODBYE if payload.is_empty() => Ok(Message::Goodbye),
        DUMP => whole(payload, dump).ok_or(malformed),
        ANNOTATION => whole(payload, annotation).ok_or(malformed),
        ATTACHMENT => whole(payload, |rest| attachment(rest, peer)).ok_or(malformed),
        MEMORY => whole(payload, memory).ok_or(malformed),
        HEARTBEAT => whole(payload, heartbeat).ok_or(malformed),
        PID | GOODBYE => Err(malformed),
        kind => Err(Bad::UnknownKind(kind)),
    }
}

fn crash(payload: &[u8], peer: i32) -> Option<Result<Message, Bad>> {
    let context = CrashContext::from_bytes(payload)?;
    if context.pid != peer {
        return Some(Err(Bad::OtherPid { claimed: context.pid, peer }));
    }
    Some(Ok(Message::Crash(Box::new(context))))
}

/// Reads a payload with nothing left over.
fn whole<'a>(payload: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Option<Message>) -> Option<Message> {
    let mut rest = Reader(payload);
    read(&mut rest).filter(|_| rest.is_empty())
}

fn dump(rest: &mut Reader<'_>) -> Option<Message> {
    let tid = i32::try_from(rest.number()?).ok()?;
    let reason = text(rest).filter(|reason| reason.len() <= limits::REASON)?;
    Some(Message::DumpRequest { tid, reason })
}

fn annotation(rest: &mut Reader<'_>) -> Option<Message> {
    let key = text(rest)?;
    let value = if rest.is_empty() { None } else { Some(text(rest)?) };
    Some(Message::HostData(Change::Annotation { key, value }))
}

/// What the host calls /proc/self is, seen from here, another directory: that of its pid in our name space.
fn attachment(rest: &mut Reader<'_>, peer: i32) -> Option<Message> {
    let path = wire::path(rest)?;
    let of_peer = path.strip_prefix("/proc/self").map(|rest| Path::new("/proc").join(peer.to_string()).join(rest));
    Some(Message::HostData(Change::Attachment(of_peer.unwrap_or_else(|_| path.to_owned()))))
}

fn memory(rest: &mut Reader<'_>) -> Option<Message> {
    Some(Message::HostData(Change::Memory { start: rest.long()?, length: rest.long()? }))
}

fn heartbeat(rest: &mut Reader<'_>) -> Option<Message> {
    let within = Duration::from_millis(rest.number()?.into());
    (within.is_zero() || within >= limits::HEARTBEAT_MIN).then_some(Message::Heartbeat(within))
}

fn text(rest: &mut Reader<'_>) -> Option<String> {
    std::str::from_utf8(rest.string()?).ok().map(str::to_owned)
}

fn hello(payload: &[u8]) -> Option<Message> {
    let version = Hello::version_of(payload)?;
    if version != wire::PROTOCOL_VERSION {
        return Some(Message::OtherVersion(version));
    }
    // A writer may take until the deadline, and keeps others waiting.
    let hello = Hello::parse(payload).filter(|hello| settings::DEADLINE_MS_RANGE.contains(&hello.deadline_ms))?;
    let description = Description {
        dump_dir: hello.dump_dir.to_owned(),
        app_name: hello.app_name.to_owned(),
        retention: Limits { files: hello.keep_files, bytes: hello.keep_bytes },
        contents: hello.contents,
        deadline: Duration::from_millis(hello.deadline_ms.into()),
    };
    // A minidumper client, which has the control connection, reads nothing but pongs.
    Some(Message::Hello { description, installs: hello.role == Role::Crash })
}
