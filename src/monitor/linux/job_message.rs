//! A job as a message, for a writer that was forked before the job was there: it has neither what the monitor has learnt
//! since nor the monitor's descriptors.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use minidump_writer::crash_context::CrashContext;

use super::process::{Parts, Process};
use crate::monitor::hosts::Description;
use crate::monitor::queue::{Cause, Crash, Job, Work};
use crate::monitor::record::HostInfo;
use crate::monitor::retention::Limits;
use crate::settings::DumpContents;
use crate::wire::{AfterReport, Payload, Reader};

/// All of a job but its cause.
type Facts = (Parts, Settings, Option<Info>, i32);
/// Of a [`Description`].
type Settings = (PathBuf, String, (u32, u64), (bool, bool), Duration);
/// Of a [`HostInfo`].
type Info = (Option<String>, Option<Vec<String>>, Option<SystemTime>);

/// Kinds of causes; for a crash what comes after it is added.
const CRASH: u32 = 16;
const CRASH_MAX: u32 = CRASH + 15;
const REQUEST: u32 = 1;
const HANG: u32 = 2;

/// The message, and the descriptors that go with it: the connection that waits, if there is one, comes first. None for a job
/// that is no dump, or whose paths are not UTF-8.
pub(super) fn encode<'a>(
    job: &'a Job<Process>,
    socket: Option<BorrowedFd<'a>>,
) -> Option<(Vec<u8>, Vec<BorrowedFd<'a>>)> {
    let Work::Dump { tid, cause } = &job.work else { return None };
    let (kind, cause) = match cause {
        Cause::Crash(crash) => (CRASH + crash.after as u32, crash.context.as_bytes().to_vec()),
        Cause::Request(reason) => (REQUEST, reason.clone().into_bytes()),
        Cause::Hang(silence) => (HANG, (silence.as_millis() as u64).to_ne_bytes().to_vec()),
    };
    let Description { dump_dir, app_name, retention, contents, deadline } = job.description.clone();
    let contents = (contents.environment, contents.sanitized_stacks);
    let settings: Settings = (dump_dir, app_name, (retention.files, retention.bytes), contents, deadline);
    let info =
        job.info.clone().map(|HostInfo { executable, command_line, started }| (executable, command_line, started));
    let facts: Facts = (job.process.to_parts(), settings, info, *tid);
    let facts = serde_json::to_vec(&facts).ok()?;
    let message = Payload::default().number(socket.is_some().into()).number(kind).string(&facts).string(&cause);
    Some((message.0, socket.into_iter().chain(job.process.descriptors()).collect()))
}

/// Reads what [`encode`] has written.
pub(super) fn decode(message: &[u8], descriptors: Vec<OwnedFd>) -> Option<(Job<Process>, Option<OwnedFd>)> {
    let mut message = Reader(message);
    let (has_socket, kind) = (message.number()? != 0, message.number()?);
    let (parts, settings, info, tid): Facts = serde_json::from_slice(message.string()?).ok()?;
    let cause = message.string()?;
    let cause = match kind {
        CRASH..=CRASH_MAX => {
            let (context, after) = (CrashContext::from_bytes(cause)?, AfterReport::from_number(kind - CRASH));
            Cause::Crash(Box::new(Crash { context, after }))
        }
        REQUEST => Cause::Request(String::from_utf8(cause.to_vec()).ok()?),
        HANG => Cause::Hang(Duration::from_millis(u64::from_ne_bytes(cause.try_into().ok()?))),
        _ => return None,
    };
    let (dump_dir, app_name, (files, bytes), (environment, sanitized_stacks), deadline) = settings;
    let contents = DumpContents { environment, sanitized_stacks };
    let description = Description { dump_dir, app_name, retention: Limits { files, bytes }, contents, deadline };
    let mut descriptors = descriptors.into_iter();
    let socket = if has_socket { Some(descriptors.next()?) } else { None };
    let process = Process::from_parts(parts, &mut descriptors);
    let info = info.map(|(executable, command_line, started)| HostInfo { executable, command_line, started });
    let (pid, requested, session) = (process.pid, Instant::now(), None);
    Some((Job { pid, process, description, info, requested, session, work: Work::Dump { tid, cause } }, socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::rc::Rc;

    fn job(work: Work) -> Job<Process> {
        let (socket, _other) = UnixStream::pair().unwrap();
        let pid = std::process::id() as i32;
        let mut process = Process::of_peer(socket.as_fd(), pid);
        process.named_directory = Some(Rc::new(socket.into()));
        let info = process.info(pid);
        let (description, requested) = (Description::default_in(Path::new("/d")), Instant::now());
        Job { pid, process, description, info: Some(info), requested, session: Some(7), work }
    }

    /// What a writer that was forked earlier gets.
    fn sent(job: &Job<Process>, socket: Option<&UnixStream>) -> Option<(Job<Process>, Option<OwnedFd>)> {
        let (message, descriptors) = encode(job, socket.map(UnixStream::as_fd))?;
        let descriptors = descriptors.iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
        Some(decode(&message, descriptors).expect("a message that was just made"))
    }

    #[test]
    fn a_job_survives_its_way() {
        let context = CrashContext::from_bytes(&vec![7; size_of::<CrashContext>()]).unwrap();
        let crash = |after| Cause::Crash(Box::new(Crash { context: context.clone(), after }));
        let [anything, default, handler] =
            [AfterReport::Anything, AfterReport::DefaultAction, AfterReport::Handler].map(crash);
        let causes =
            [anything, default, handler, Cause::Request("why".to_owned()), Cause::Hang(Duration::from_millis(1500))];
        let (socket, _other) = UnixStream::pair().unwrap();
        for cause in causes {
            let before = job(Work::Dump { tid: 42, cause });
            let (after, waiting) = sent(&before, Some(&socket)).unwrap();
            assert!(after.process.named_directory.is_some());
            assert!(waiting.is_some() && after.process.is_same_as(&before.process) && !after.process.id_is_reused());
            assert_eq!((after.pid, &after.description), (before.pid, &before.description));
            let [before_info, after_info] = [&before, &after].map(|job| job.info.as_ref().unwrap());
            assert_eq!(before_info.executable, after_info.executable);
            assert_eq!(before_info.command_line, after_info.command_line);
            assert_eq!(before_info.started, after_info.started);
            let (Work::Dump { tid: 42, cause: after }, Work::Dump { cause: before, .. }) = (&after.work, &before.work)
            else {
                panic!("another kind of work")
            };
            match (before, after) {
                (Cause::Crash(before), Cause::Crash(after)) => {
                    assert_eq!(before.context.as_bytes(), after.context.as_bytes());
                    assert_eq!(before.after, after.after);
                }
                (Cause::Request(before), Cause::Request(after)) => assert_eq!(before, after),
                (Cause::Hang(before), Cause::Hang(after)) => assert_eq!(before, after),
                _ => panic!("another cause"),
            }
        }
    }

    #[test]
    fn a_job_without_a_connection_has_none_after_its_way() {
        let (_, waiting) = sent(&job(Work::Dump { tid: 1, cause: Cause::Hang(Duration::ZERO) }), None).unwrap();
        assert!(waiting.is_none());
    }

    #[test]
    fn what_is_no_dump_is_not_sent() {
        assert!(encode(&job(Work::Death { status: None, unreported: None }), None).is_none());
    }
}
