//! The children that write dumps and call the program's callback: starting them, taking their results, killing late ones.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::SendFlags;

use super::child::{Child, End, ToMonitor};
use super::dump::SystemInfo;
use super::job_message;
use super::poll::{Poll, Source};
use super::process::Process;
use super::writer;
use crate::monitor::callbacks::{self, Kind, Report};
use crate::monitor::queue::{Cause, Job, Queue, Stage, Work, Written};
use crate::monitor::record;
use crate::sys::process;
use crate::wire::{self, Payload};

/// How often children are checked where there are no pidfds (before Linux 5.3).
const ASK: Duration = Duration::from_millis(50);

/// The answer to a session whose writers have both failed.
pub(super) struct Unanswered {
    pub session: u64,
    pub answer: Vec<u8>,
}

/// All children, and what waits for one.
pub(super) struct Children {
    pub queue: Queue<Process, Child>,
    last_id: u64,
    /// A writer that waits for its job. A forked process first runs when the scheduler has room for a new one, which may take
    /// milliseconds on a busy machine; one that has waited runs at once.
    spare: Option<(u64, Child)>,
    /// A spare writer has ended by itself: something here ends processes, and would end the next one too.
    lost_spare: bool,
    /// Read once for all dumps.
    system: SystemInfo,
}

impl Children {
    pub(super) fn new() -> Self {
        Self { queue: Queue::new(), last_id: 0, spare: None, lost_spare: false, system: SystemInfo::read() }
    }

    /// The next job for which there is room. Where too many children finish, the oldest makes room for it.
    pub(super) fn next_job(&mut self) -> Option<Job<Process>> {
        let job = self.queue.next_job()?;
        if let Some(oldest) = self.queue.make_room() {
            log::warn!("process {} has been finishing a dump for too long and is ended", oldest.pid);
            oldest.kill();
        }
        Some(job)
    }

    /// Starts the callback for a report, in a child that closes the descriptors `own`.
    pub(super) fn start_callback(&mut self, poll: &Poll, mut report: Report, own: &[RawFd]) {
        let call = |_: ToMonitor| {
            let _ = rustix::process::nice(19);
            record::complete(&mut report);
            callbacks::report_written(&report);
        };
        match Child::start(&self.without_own(own, &[]), call) {
            Ok(child) => self.watch(poll, child, Stage::Callback),
            Err(error) => log::error!("the dump callback is not called: cannot start a process: {error}"),
        }
    }

    /// Has a job done by the spare writer, or by a new one. That closes the descriptors `own`, but keeps those of its host and
    /// `socket`, its session's.
    pub(super) fn start_writer(
        &mut self,
        poll: &Poll,
        job: Job<Process>,
        socket: Option<BorrowedFd<'_>>,
        own: &[RawFd],
    ) {
        let Some(job) = self.hand_over(job, socket) else { return };
        let needed: Vec<_> = socket.into_iter().chain(job.process.descriptors()).map(|fd| fd.as_raw_fd()).collect();
        let started = Child::start(&self.without_own(own, &needed), |monitor| {
            work(&job, &self.system, socket.and_then(|socket| process::inherited(socket.as_raw_fd())), &monitor);
        });
        match started {
            Ok(child) => self.watch(poll, child, Stage::Writing(Box::new(job))),
            Err(error) => {
                log::warn!("process {}: cannot start a writer ({error}): writing here", job.pid);
                let written = writer::write_here(&job, &self.system, |written| {
                    if let Some(socket) = socket {
                        answer(socket, &job, written);
                    }
                });
                log_written(&job, &written);
                self.call_back(report_of(&job, &written));
            }
        }
    }

    /// Gives a job to the spare writer; gives it back where there is none, or it cannot have this job.
    fn hand_over(&mut self, job: Job<Process>, socket: Option<BorrowedFd<'_>>) -> Option<Job<Process>> {
        let takes_it = |child: &Child| {
            let (message, descriptors) = job_message::encode(&job, socket)?;
            child.send_work(&message, &descriptors).ok()
        };
        let Some((id, child)) = self.spare.take_if(|(_, child)| takes_it(child).is_some()) else { return Some(job) };
        self.queue.started(id, child, Stage::Writing(Box::new(job)));
        None
    }

    pub(super) fn wants_spare(&self) -> bool {
        self.spare.is_none() && !self.lost_spare
    }

    /// Starts a spare writer. It closes the descriptors `own`.
    pub(super) fn start_spare(&mut self, poll: &Poll, own: &[RawFd]) {
        let started = Child::start(&self.without_own(own, &[]), |monitor| {
            process::set_name(c"crash-spare");
            let job =
                monitor.receive_work().and_then(|(message, descriptors)| job_message::decode(&message, descriptors));
            if let Some((job, socket)) = job {
                work(&job, &self.system, socket, &monitor);
            }
        });
        // Where no process can be started now, one may be later.
        if let Ok(child) = started {
            let id = self.next_id();
            watch(poll, id, &child, true);
            self.spare = Some((id, child));
        }
    }

    pub(super) fn end_spare(&mut self) {
        self.spare.take().into_iter().for_each(|(_, child)| child.end_waiting());
    }

    /// The monitor's descriptors without those that a child needs.
    fn without_own(&self, own: &[RawFd], needed: &[RawFd]) -> Vec<RawFd> {
        let children = self.queue.children().map(|(_, child)| child).chain(self.spare.iter().map(|(_, child)| child));
        let of_children = children.flat_map(Child::descriptors);
        own.iter().copied().chain(of_children).filter(|fd| !needed.contains(fd)).collect()
    }

    fn watch(&mut self, poll: &Poll, child: Child, stage: Stage<Process>) {
        let id = self.next_id();
        watch(poll, id, &child, matches!(stage, Stage::Writing(_)));
        self.queue.started(id, child, stage);
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Takes the result of a writer, if it has come.
    pub(super) fn take_result(&mut self, poll: &Poll, id: u64) {
        if self.spare.as_ref().is_some_and(|(spare, _)| *spare == id) {
            self.spare_ended(poll);
        }
        let Some((descriptor, bytes)) = self.queue.child_mut(id).and_then(Child::take_result) else { return };
        poll.remove(descriptor);
        if bytes.is_empty() {
            return;
        }
        let written = decode(&bytes);
        if let Some(job) = self.queue.job(id) {
            log_written(job, &written);
            let report = report_of(job, &written);
            self.queue.written(id, report);
        }
    }

    /// Takes all results that have come.
    pub(super) fn take_results(&mut self, poll: &Poll) {
        for id in self.queue.writers() {
            self.take_result(poll, id);
        }
    }

    fn call_back(&mut self, report: Report) {
        let is_report = report.dump.is_some() || report.record.is_some();
        if is_report && callbacks::is_set() && !self.queue.push_callback(report) {
            log::error!("the dump callback is not called: too many reports wait for theirs");
        }
    }

    /// A child may have ended.
    pub(super) fn ended(&mut self, poll: &Poll, id: u64) -> Option<Unanswered> {
        self.take_result(poll, id);
        let End(fate) = self.queue.child_mut(id)?.reap()?;
        let (child, stage) = self.queue.ended(id)?;
        unwatch(poll, &child);
        self.stage_ended(child.pid, stage, fate)
    }

    fn spare_ended(&mut self, poll: &Poll) {
        let ended = self.spare.take_if(|(_, child)| child.reap().is_some());
        if let Some((_, child)) = ended {
            log::warn!("process {}, a spare writer, has ended; writers start with their jobs from now on", child.pid);
            unwatch(poll, &child);
            self.lost_spare = true;
        }
    }

    fn stage_ended(&mut self, pid: i32, stage: Stage<Process>, fate: Option<String>) -> Option<Unanswered> {
        match stage {
            Stage::Writing(job) => {
                let fate = fate.unwrap_or_else(|| "ended without a result".to_owned());
                log::error!("process {}: the writer {fate}", job.pid);
                self.writer_failed(*job, pid, format!("the writer {fate}"))
            }
            Stage::Finishing(report) => {
                if let Some(fate) = fate {
                    log::error!("process {}: the writer {fate}, after the report was written", report.pid);
                }
                self.call_back(*report);
                None
            }
            Stage::Callback => {
                fate.into_iter().for_each(|fate| log::error!("the process of the dump callback {fate}"));
                None
            }
        }
    }

    /// After a writer has ended without a result, another one writes the record of the failure and answers the host.
    fn writer_failed(&mut self, job: Job<Process>, writer: i32, reason: String) -> Option<Unanswered> {
        match job.work {
            Work::Dump { tid, cause } => {
                let work = Work::FailedDump { tid, cause, writer, reason };
                self.queue.push(Job { work, ..job });
                None
            }
            Work::FailedDump { ref cause, .. } => {
                let failed = Written { failure: Some(reason), ..Written::default() };
                let answer = answer_to(cause, &failed);
                job.session.map(|session| Unanswered { session, answer })
            }
            Work::Death { .. } => None,
        }
    }

    /// Kills late children. To be called after each wait, which may be no longer than until [`Self::next_deadline`].
    pub(super) fn end_overdue(&mut self, poll: &Poll) -> Vec<Unanswered> {
        while let Some(late) = self.queue.overdue(Instant::now()) {
            log::error!("process {}, a writer, did not end in time and is ended", late.pid);
            late.kill();
        }
        let mut unanswered = Vec::new();
        if self.has_no_pidfds() {
            for id in self.queue.children().map(|(id, _)| id).collect::<Vec<_>>() {
                unanswered.extend(self.ended(poll, id));
            }
        }
        unanswered
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let ask = self.has_no_pidfds().then(|| Instant::now() + ASK);
        self.queue.next_deadline().into_iter().chain(ask).min()
    }

    fn has_no_pidfds(&self) -> bool {
        self.queue.children().any(|(_, child)| child.end().is_none())
    }
}

/// Has the child's end, and its result where it `has_result`, come as events.
fn watch(poll: &Poll, id: u64, child: &Child, has_result: bool) {
    if let Some(end) = child.end() {
        poll.add(end, Source::ChildEnd(id));
    }
    if let Some(result) = child.result().filter(|_| has_result) {
        poll.add(result, Source::ChildResult(id));
    }
}

fn unwatch(poll: &Poll, child: &Child) {
    child.end().into_iter().chain(child.result()).for_each(|fd| poll.remove(fd));
}

/// A writer's whole work: it tells the monitor and the host, whose connection is `socket`, of what it has written.
fn work(job: &Job<Process>, system: &SystemInfo, socket: Option<OwnedFd>, monitor: &ToMonitor) {
    process::set_name(c"crash-writer");
    writer::write(job, system, writer::HOST_END, |written| {
        // Sent first, so that the monitor has it before the host's next request.
        monitor.send_result(&encode(written));
        // Closed when it has been answered: a copy that stayed open would hide the connection's end from the host.
        if let Some(socket) = socket {
            answer(socket.as_fd(), job, written);
        }
        // Other dumps, for which hosts wait, go before what is left to do for this one.
        let _ = rustix::process::nice(19);
    });
}

fn log_written(job: &Job<Process>, written: &Written) {
    let pid = job.pid;
    if let Some(path) = written.dump.as_ref().or(written.record.as_ref()) {
        log::info!("process {pid}: wrote {}", path.display());
    }
    // For a failed dump the end of its writer has been logged.
    if let Some(reason) = written.failure.as_ref().filter(|_| !matches!(job.work, Work::FailedDump { .. })) {
        log::error!("process {pid}: {reason}");
    }
}

/// The report for the program's callback.
fn report_of(job: &Job<Process>, written: &Written) -> Report {
    let mut report = Report {
        dump: written.dump.clone(),
        record: written.record.clone(),
        app_name: job.description.app_name.clone(),
        pid: job.pid as u32,
        ..Report::default()
    };
    match &job.work {
        Work::Dump { tid, cause } | Work::FailedDump { tid, cause, .. } => {
            report.thread = *tid as u32;
            match cause {
                Cause::Crash(crash) => report.signal = crash.context.siginfo.ssi_signo as i32,
                Cause::Request(reason) => (report.kind, report.reason) = (Kind::Request, Some(reason.clone())),
                Cause::Hang(_) => report.kind = Kind::Hang,
            }
        }
        Work::Death { status, .. } => {
            report.kind = Kind::Death;
            match *status {
                Some(status) if libc::WIFSIGNALED(status) => report.signal = libc::WTERMSIG(status),
                Some(status) => report.exit_status = Some(libc::WEXITSTATUS(status)),
                None => {}
            }
        }
    }
    report
}

/// Answers the host: its dump is there, or there will be none. The host may have ended already.
fn answer(socket: BorrowedFd<'_>, job: &Job<Process>, written: &Written) {
    let (Work::Dump { cause, .. } | Work::FailedDump { cause, .. }) = &job.work else { return };
    let sent = rustix::net::send(socket, &answer_to(cause, written), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    if let Err(errno) = sent.map_err(|errno| (errno != rustix::io::Errno::PIPE).then_some(errno)) {
        errno.into_iter().for_each(|errno| log::warn!("process {}: cannot answer: {errno}", job.pid));
        // A peer that does not read its answers loses its connection; the monitor then sees it closed.
        let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
    }
}

fn answer_to(cause: &Cause, written: &Written) -> Vec<u8> {
    if let Cause::Crash(_) = cause {
        return wire::header(wire::KIND_CRASH_ACK, 0).to_vec();
    }
    let payload = match (&written.dump, &written.failure) {
        (Some(path), _) => Payload::default().number(0).string(path.as_os_str().as_bytes()),
        (None, reason) => Payload::default().number(1).string(reason.as_deref().unwrap_or_default().as_bytes()),
    };
    [&wire::header(wire::KIND_USER + wire::USER_DUMPED, payload.0.len())[..], &payload.0].concat()
}

/// A writer's result: dump, record and failure, each ended by a NUL, which none of them holds.
fn encode(written: &Written) -> Vec<u8> {
    let bytes = |path: &Option<PathBuf>| path.as_deref().unwrap_or(Path::new("")).as_os_str().as_bytes().to_vec();
    let failure = written.failure.as_deref().unwrap_or_default().replace('\0', "");
    [bytes(&written.dump), bytes(&written.record), failure.into_bytes()].join(&0)
}

fn decode(bytes: &[u8]) -> Written {
    let mut parts = bytes.splitn(3, |byte| *byte == 0).map(|part| Some(part).filter(|part| !part.is_empty()));
    let mut part = || parts.next().flatten();
    let path = |part: Option<&[u8]>| part.map(|part| PathBuf::from(OsStr::from_bytes(part)));
    let (dump, record) = (path(part()), path(part()));
    Written { dump, record, failure: part().map(|reason| String::from_utf8_lossy(reason).into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_survives_its_way() {
        for (dump, record, failure) in
            [(Some("/d"), Some("/r"), None), (None, None, Some("no room")), (None, None, None)]
        {
            let failure = failure.map(str::to_owned);
            let written = Written { dump: dump.map(PathBuf::from), record: record.map(PathBuf::from), failure };
            assert_eq!(decode(&encode(&written)), written);
        }
    }
}
