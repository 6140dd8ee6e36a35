//! Interpreting the messages of hosts. A bad one ends its connection, and nothing else.

use std::time::Duration;

use minidump_writer::crash_context::CrashContext;

use super::name_spaces;
use crate::monitor::hosts::Description;
use crate::monitor::queue::Crash;
use crate::monitor::retention::Limits;
use crate::page::layout::REASON;
use crate::settings;
use crate::wire::{self, AfterReport, Hello, Malformed, Reader};

/// A message.
pub(super) enum Message {
    /// One that needs no action.
    Ignored,
    Ping,
    /// Who the host is, and where its page lies in its memory. It waits for a welcome.
    Hello {
        description: Description,
        page: u64,
    },
    /// A hello in another version of the protocol.
    OtherVersion(u32),
    Crash(Box<Crash>),
    /// A crash of a child of the connection's host.
    ChildCrash(Box<Crash>),
    /// Asks for a dump of the living host.
    DumpRequest {
        tid: i32,
        reason: String,
    },
    /// The heartbeat timeout in the host's page has changed.
    Heartbeat,
    /// The host disarms itself, or exits in order.
    Goodbye,
}

/// Why a message is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadMessage {
    Malformed(Malformed),
    UnknownKind(u32),
    OtherPid { claimed: i32, peer: i32 },
}

impl std::fmt::Display for BadMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::UnknownKind(kind) => write!(f, "message of unknown kind {kind}"),
            Self::OtherPid { claimed, peer } => write!(f, "process {peer} reports a crash of process {claimed}"),
        }
    }
}

/// Decides what a message from process `peer` means; `length` is its real length, see [`wire::split`].
pub(super) fn interpret(received: &[u8], length: usize, peer: i32) -> Result<Message, BadMessage> {
    const PID: u32 = wire::KIND_USER + wire::USER_PID;
    const HELLO: u32 = wire::KIND_USER + wire::USER_HELLO;
    const GOODBYE: u32 = wire::KIND_USER + wire::USER_GOODBYE;
    const DUMP: u32 = wire::KIND_USER + wire::USER_DUMP;
    const HEARTBEAT: u32 = wire::KIND_USER + wire::USER_HEARTBEAT;
    const OUR_CRASH: u32 = wire::KIND_USER + wire::USER_CRASH;
    const CHILD_CRASH: u32 = wire::KIND_USER + wire::USER_CHILD_CRASH;
    let (kind, payload) = wire::split(received, length).map_err(BadMessage::Malformed)?;
    let malformed = BadMessage::Malformed(Malformed::Payload(kind));
    match kind {
        wire::KIND_CRASH => crash(payload, AfterReport::Anything, peer).unwrap_or(Err(malformed)).map(Message::Crash),
        wire::KIND_PING => Ok(Message::Ping),
        wire::KIND_PONG => Ok(Message::Ignored),
        PID if payload.len() == size_of::<u32>() => Ok(Message::Ignored),
        HELLO => hello(payload).ok_or(malformed),
        GOODBYE if payload.is_empty() => Ok(Message::Goodbye),
        DUMP => whole(payload, dump).ok_or(malformed),
        HEARTBEAT if payload.is_empty() => Ok(Message::Heartbeat),
        OUR_CRASH => prefixed_crash(payload, peer).unwrap_or(Err(malformed)).map(Message::Crash),
        CHILD_CRASH => prefixed_crash(payload, peer).unwrap_or(Err(malformed)).map(Message::ChildCrash),
        PID | GOODBYE | HEARTBEAT => Err(malformed),
        kind => Err(BadMessage::UnknownKind(kind)),
    }
}

fn prefixed_crash(payload: &[u8], peer: i32) -> Option<Result<Box<Crash>, BadMessage>> {
    let (prefix, context) = payload.split_at_checked(wire::CRASH_PREFIX)?;
    crash(context, AfterReport::from_number(Reader(prefix).number()?), peer)
}

fn crash(payload: &[u8], after: AfterReport, peer: i32) -> Option<Result<Box<Crash>, BadMessage>> {
    let context = CrashContext::from_bytes(payload)?;
    // A host in a name space of its own says the id that it has there.
    if context.pid != peer && context.pid != name_spaces::own_id(peer) {
        return Some(Err(BadMessage::OtherPid { claimed: context.pid, peer }));
    }
    Some(Ok(Box::new(Crash { context, after })))
}

/// Reads a payload with nothing left over.
fn whole<'a>(payload: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Option<Message>) -> Option<Message> {
    let mut rest = Reader(payload);
    read(&mut rest).filter(|_| rest.is_empty())
}

fn dump(rest: &mut Reader<'_>) -> Option<Message> {
    let tid = i32::try_from(rest.number()?).ok()?;
    let reason = text(rest).filter(|reason| reason.len() <= REASON)?;
    Some(Message::DumpRequest { tid, reason })
}

fn text(rest: &mut Reader<'_>) -> Option<String> {
    std::str::from_utf8(rest.string()?).ok().map(str::to_owned)
}

fn hello(payload: &[u8]) -> Option<Message> {
    let version = Hello::version_of(payload)?;
    if version != wire::PROTOCOL_VERSION {
        return Some(Message::OtherVersion(version));
    }
    // A writer may take until the deadline and keeps other jobs waiting, so the deadline has bounds here too.
    let hello = Hello::parse(payload).filter(|hello| settings::DEADLINE_MS_RANGE.contains(&hello.deadline_ms))?;
    let description = Description {
        dump_dir: hello.dump_dir.to_owned(),
        app_name: hello.app_name.to_owned(),
        retention: Limits { files: hello.keep_files, bytes: hello.keep_bytes },
        contents: hello.contents,
        deadline: Duration::from_millis(hello.deadline_ms.into()),
    };
    Some(Message::Hello { description, page: hello.page })
}
