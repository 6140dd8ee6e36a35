//! The messages between host and monitor: the one place that knows their numbers, sizes and versions.
//!
//! Transport: `SOCK_SEQPACKET`, so one send is one message. Frame: minidumper 0.11's header, two native-endian `u32`
//! (kind, payload size), then the payload. Kinds 0 to 3 are minidumper's own; 4 + n is its user message n, of which
//! we use n = 0 (the host's pid, which any minidumper client may send) and the ones below. docs/design.md describes each
//! message byte by byte.
//!
//! Signal safety: [`header`], [`crash_header`] and [`split`] may be called by a signal handler; the rest is for normal context.

#![cfg_attr(not(target_os = "linux"), allow(dead_code))] // Elsewhere minidumper frames the messages.

use std::path::Path;

use crate::settings::{self, DumpContents};
use crate::sys::files;

/// Version of the messages below; a monitor refuses a host of another one.
pub(crate) const PROTOCOL_VERSION: u32 = 3;

/// A whole message, header included, is at most this long; a longer one ends its sender's session.
pub(crate) const MESSAGE_MAX: usize = 64 * 1024;
/// Length of the frame's header in bytes.
pub(crate) const HEADER_LEN: usize = 8;

/// Payload: a `crash_context::CrashContext`, whole, in the sender's memory layout.
pub(crate) const KIND_CRASH: u32 = 0;
/// Answer to a crash: its dump is in the directory, or there will be none.
pub(crate) const KIND_CRASH_ACK: u32 = 1;
/// Asks for a pong.
pub(crate) const KIND_PING: u32 = 2;
/// Answer to a ping.
pub(crate) const KIND_PONG: u32 = 3;
/// The first kind that is a user message of minidumper.
pub(crate) const KIND_USER: u32 = 4;

/// User message 0: the sender's pid, a native `u32`. Kept for other minidumper clients; we go by the peer credentials.
pub(crate) const USER_PID: u32 = 0;
/// User message 1: a [`Hello`]; it may carry the descriptor of the host's page (unix(7), `SCM_RIGHTS`). Answered with
/// [`USER_WELCOME`].
pub(crate) const USER_HELLO: u32 = 1;
/// User message 2, monitor to host: two native `u32`, the monitor's protocol version and a [`Verdict`].
pub(crate) const USER_WELCOME: u32 = 2;
/// User message 3, empty: the host disarms itself or exits in order, so its end needs no record.
pub(crate) const USER_GOODBYE: u32 = 3;

/// User message 4: asks for a dump of the living host. A native `u32`, the thread to blame, then the reason as a string.
/// Answered with [`USER_DUMPED`].
pub(crate) const USER_DUMP: u32 = 4;
/// User message 5, monitor to host: a native `u32`, 0 for success, then the dump's path or the error as a string.
pub(crate) const USER_DUMPED: u32 = 5;
/// User message 6, empty: the host has changed the heartbeat timeout in its page.
pub(crate) const USER_HEARTBEAT: u32 = 6;
/// User message 7: a crash, as [`CRASH_PREFIX`] bytes and those of a `CrashContext`. Answered with [`KIND_CRASH_ACK`].
pub(crate) const USER_CRASH: u32 = 7;
/// User message 8, over the connection that a forked child has inherited: a crash of the child, laid out as [`USER_CRASH`]. It
/// carries one end of a socket pair (socketpair(2)) that the child has made, on which [`KIND_CRASH_ACK`] is sent.
pub(crate) const USER_CHILD_CRASH: u32 = 8;

/// Length of what stands before the crash context in the two messages above: the number of an [`AfterReport`] as a native `u32`,
/// and four bytes of zero.
pub(crate) const CRASH_PREFIX: usize = 8;

/// A frame's header as bytes.
pub(crate) const fn header(kind: u32, payload_len: usize) -> [u8; HEADER_LEN] {
    let kind = kind.to_ne_bytes();
    let size = (payload_len as u32).to_ne_bytes();
    [kind[0], kind[1], kind[2], kind[3], size[0], size[1], size[2], size[3]]
}

/// What comes after a crash's report, and so which threads of the host may run before it ends. As the number in the prefix of
/// [`USER_CRASH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterReport {
    /// Not known, or a handler of a language runtime, which may need its other threads.
    Anything = 0,
    /// The kernel's default action: no thread but the crashing one runs again.
    DefaultAction = 1,
    /// A handler of the program's own, in the crashing thread.
    Handler = 2,
}

impl AfterReport {
    pub(crate) fn from_number(number: u32) -> Self {
        let all = [Self::DefaultAction, Self::Handler];
        all.into_iter().find(|after| *after as u32 == number).unwrap_or(Self::Anything)
    }
}

/// The header and prefix of user message `number`, [`USER_CRASH`] or [`USER_CHILD_CRASH`], with a crash context of this length.
/// May be called by a signal handler.
pub(crate) fn crash_header(number: u32, after: AfterReport, context_len: usize) -> [u8; HEADER_LEN + CRASH_PREFIX] {
    let mut bytes = [0; HEADER_LEN + CRASH_PREFIX];
    bytes[..HEADER_LEN].copy_from_slice(&header(KIND_USER + number, CRASH_PREFIX + context_len));
    bytes[HEADER_LEN..][..4].copy_from_slice(&(after as u32).to_ne_bytes());
    bytes
}

/// Why a message is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Shorter than a header.
    Short(usize),
    /// Longer than [`MESSAGE_MAX`].
    Oversized(usize),
    /// The header's size is not the payload's.
    SizeLies { announced: usize, actual: usize },
    /// The payload of a known kind has the wrong shape.
    Payload(u32),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short(length) => write!(f, "message of {length} bytes is shorter than its header of {HEADER_LEN}"),
            Self::Oversized(length) => write!(f, "message of {length} bytes is over the limit of {MESSAGE_MAX}"),
            Self::SizeLies { announced, actual } => {
                write!(f, "header announces {announced} payload bytes, the message has {actual}")
            }
            Self::Payload(kind) => write!(f, "payload of a message of kind {kind} is malformed"),
        }
    }
}

/// Splits a received message into kind and payload. `length` is the message's real length, which is more than
/// `received` holds where the kernel cut it off.
pub(crate) fn split(received: &[u8], length: usize) -> Result<(u32, &[u8]), Malformed> {
    if length > MESSAGE_MAX || length > received.len() {
        return Err(Malformed::Oversized(length));
    }
    let (header, payload) = received[..length].split_first_chunk::<HEADER_LEN>().ok_or(Malformed::Short(length))?;
    let [kind, size] =
        [0, 4].map(|at| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    if size as usize != payload.len() {
        return Err(Malformed::SizeLies { announced: size as usize, actual: payload.len() });
    }
    Ok((kind, payload))
}

/// A host's first message: its settings and the address of its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello<'a> {
    pub version: u32,
    /// The host's process id. Our monitor uses the peer credentials instead; minidumper's server does not say whose message
    /// it has received.
    pub pid: u32,
    /// Absolute.
    pub dump_dir: &'a Path,
    /// First part of dump file names.
    pub app_name: &'a str,
    /// How many dumps, and how many bytes of them, the directory keeps.
    pub keep_files: u32,
    pub keep_bytes: u64,
    pub contents: DumpContents,
    /// How long a crashing host waits, in milliseconds; a writer may stop it no longer.
    pub deadline_ms: u32,
    /// Where the host's page lies in its memory; 0 for none.
    pub page: u64,
}

fn dump_contents_to_number(contents: DumpContents) -> u32 {
    u32::from(contents.environment) | u32::from(contents.sanitized_stacks) << 1
}

/// None for bits that are not known.
fn dump_contents_from_number(number: u32) -> Option<DumpContents> {
    (number < 4).then_some(DumpContents { environment: number & 1 != 0, sanitized_stacks: number & 2 != 0 })
}

/// The payload of [`USER_HELLO`]: version, files to keep, contents, deadline, bytes to keep, page, then the strings. The pid
/// comes last, so that the handler of a forked child can send the frozen rest with a pid of its own.
pub(crate) fn hello(hello: &Hello<'_>) -> Vec<u8> {
    let numbers = Payload::default().number(hello.version).number(hello.keep_files);
    let numbers = numbers.number(dump_contents_to_number(hello.contents)).number(hello.deadline_ms);
    let dump_dir = hello.dump_dir.as_os_str().as_encoded_bytes();
    let numbers = numbers.long(hello.keep_bytes).long(hello.page);
    let strings = numbers.string(dump_dir).string(hello.app_name.as_bytes());
    strings.number(hello.pid).0
}

impl<'a> Hello<'a> {
    /// The version alone: a host of another version may have laid out the rest otherwise.
    pub(crate) fn version_of(payload: &[u8]) -> Option<u32> {
        payload.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    /// Reads the payload of [`USER_HELLO`]; None where a length lies, a path is not absolute or a name no file name.
    pub(crate) fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(payload);
        let version = rest.number()?;
        let keep_files = rest.number()?;
        let contents = dump_contents_from_number(rest.number()?)?;
        let deadline_ms = rest.number()?;
        let keep_bytes = rest.long()?;
        let page = rest.long()?;
        let dump_dir = path(&mut rest)?;
        let app_name = std::str::from_utf8(rest.string()?).ok()?;
        let pid = rest.number()?;
        let complete = rest.is_empty();
        let hello = Self { version, pid, dump_dir, app_name, keep_files, keep_bytes, contents, deadline_ms, page };
        (complete && settings::is_app_name(app_name)).then_some(hello)
    }
}

/// A payload under construction: native numbers, and strings as length and bytes. Not for handlers.
#[derive(Default)]
pub(crate) struct Payload(pub Vec<u8>);

impl Payload {
    pub(crate) fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    pub(crate) fn long(self, number: u64) -> Self {
        self.number(number as u32).number((number >> 32) as u32)
    }

    pub(crate) fn string(mut self, string: &[u8]) -> Self {
        self = self.number(string.len() as u32);
        self.0.extend(string);
        self
    }
}

/// Takes numbers and strings off the front of a payload.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn long(&mut self) -> Option<u64> {
        Some(u64::from(self.number()?) | u64::from(self.number()?) << 32)
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_ne_bytes(*bytes))
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

/// Takes an absolute path off the front of a payload.
pub(crate) fn path<'a>(payload: &mut Reader<'a>) -> Option<&'a Path> {
    let bytes = payload.string().filter(|bytes| !bytes.contains(&0))?;
    files::path_from_bytes(bytes).filter(|path| path.is_absolute())
}

/// A monitor's answer to a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The host is served.
    Served,
    /// The host speaks a version the monitor does not.
    WrongVersion,
    /// The host is in a process name space that the monitor cannot see into.
    Unseen,
}

/// The whole message [`USER_WELCOME`].
pub(crate) fn welcome(verdict: Verdict) -> [u8; HEADER_LEN + 8] {
    let mut message = [0; HEADER_LEN + 8];
    message[..8].copy_from_slice(&header(KIND_USER + USER_WELCOME, 8));
    message[8..12].copy_from_slice(&PROTOCOL_VERSION.to_ne_bytes());
    message[12..].copy_from_slice(&(verdict as u32).to_ne_bytes());
    message
}

/// Reads the payload of [`USER_WELCOME`]: the monitor's version and verdict. A verdict we do not know is a refusal.
pub(crate) fn parse_welcome(payload: &[u8]) -> Option<(u32, Verdict)> {
    let mut rest = Reader(payload);
    let version = rest.number()?;
    let verdict = rest.number()?;
    let known = [Verdict::Served, Verdict::Unseen].into_iter().find(|known| *known as u32 == verdict);
    Some((version, known.unwrap_or(Verdict::WrongVersion)))
}

/// The longest message on the ready pipe.
pub(crate) const READY_MAX: usize = 1024;

/// What a started monitor writes to its ready pipe: one byte 0 once it, or another monitor, listens at the socket; or the
/// reason why it ends instead.
pub(crate) fn ready(outcome: Result<(), &str>) -> Vec<u8> {
    match outcome {
        Ok(()) => vec![0],
        Err(reason) => reason.bytes().take(READY_MAX).collect(),
    }
}

/// Reads the ready pipe's message.
pub(crate) fn parse_ready(message: &[u8]) -> Result<(), String> {
    if message == [0] { Ok(()) } else { Err(String::from_utf8_lossy(message).into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Hello<'static> {
        Hello {
            version: PROTOCOL_VERSION,
            pid: 42,
            dump_dir: Path::new("/d"),
            app_name: "app",
            keep_files: 100,
            keep_bytes: 5 << 32 | 7,
            contents: DumpContents { environment: true, sanitized_stacks: true },
            deadline_ms: 10_000,
            page: 0x7fff_1234_5000,
        }
    }

    #[test]
    fn a_message_survives_the_wire() {
        let payload = hello(&example());
        let mut message = header(KIND_USER + USER_HELLO, payload.len()).to_vec();
        message.extend(&payload);
        let (kind, payload) = split(&message, message.len()).unwrap();
        assert_eq!(kind, KIND_USER + USER_HELLO);
        assert_eq!(Hello::parse(payload).unwrap(), example());
        let welcome = welcome(Verdict::WrongVersion);
        let (_, payload) = split(&welcome, welcome.len()).unwrap();
        assert_eq!(parse_welcome(payload), Some((PROTOCOL_VERSION, Verdict::WrongVersion)));
    }

    /// As docs/design.md says.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn a_crash_context_has_its_parts_where_the_design_document_says() {
        use minidump_writer::crash_context::CrashContext;
        use std::mem::offset_of;
        assert_eq!([offset_of!(CrashContext, context), offset_of!(CrashContext, float_state)], [0, 968]);
        let [siginfo, pid] = [offset_of!(CrashContext, siginfo), offset_of!(CrashContext, pid)];
        assert_eq!([siginfo, pid, offset_of!(CrashContext, tid)], [1480, 1608, 1612]);
        assert_eq!(size_of::<CrashContext>(), 1616);
    }

    #[test]
    fn malformed_messages_are_told_apart() {
        assert_eq!(split(&[0; 7], 7), Err(Malformed::Short(7)));
        assert_eq!(split(&[], 0), Err(Malformed::Short(0)));
        assert_eq!(split(&[0; 16], 70_000), Err(Malformed::Oversized(70_000)));
        let mut lies = header(KIND_PING, 5).to_vec();
        lies.push(0);
        assert_eq!(split(&lies, lies.len()), Err(Malformed::SizeLies { announced: 5, actual: 1 }));
    }

    #[test]
    fn a_hello_cut_anywhere_is_none() {
        let whole = hello(&example());
        for length in 0..whole.len() {
            assert_eq!(Hello::parse(&whole[..length]), None, "cut at {length}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert_eq!(Hello::parse(&longer), None);
    }

    #[test]
    fn a_hello_names_no_file_outside_its_directory() {
        for (dump_dir, app_name) in [("relative", "app"), ("/d", "../up"), ("/d", ""), ("/d\0", "app")] {
            let bytes = hello(&Hello { dump_dir: Path::new(dump_dir), app_name, ..example() });
            assert_eq!(Hello::parse(&bytes), None, "{app_name}");
        }
    }
}
