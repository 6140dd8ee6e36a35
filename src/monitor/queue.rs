//! The jobs that wait, and the children that work: a bounded number at a time, each with a deadline.
//!
//! A child is first a writer, for which its host waits. Then it finishes, which may take long, so finishing children have
//! limits of their own and never keep a crash from being written. A callback runs after that, in another child.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minidump_writer::crash_context::CrashContext;

use super::callbacks::Report;
use super::hosts::Description;
use super::record::HostInfo;
use crate::wire::AfterReport;

/// Writers at a time. Jobs that are no crashes begin only while fewer than the second number are writing.
const WRITERS_MAX: usize = 8;
const OTHER_WRITERS_MAX: usize = 4;
/// Finishing children at a time.
const FINISHING_MAX: usize = 32;
/// Callbacks at a time, and reports that wait for theirs.
const CALLBACKS_MAX: usize = 4;
const CALLBACKS_WAITING_MAX: usize = 4096;
/// The descriptors that all children together cost the monitor: a writer's are two.
pub(super) const DESCRIPTORS_MAX: usize = 2 * WRITERS_MAX + FINISHING_MAX + CALLBACKS_MAX;

/// For the record of a death or of a failed dump, which holds no host.
const WRITER_DEADLINE: Duration = Duration::from_secs(30);
/// For finishing children, which copy files and sync them, and for callbacks, which may upload them.
const AFTERWARDS_DEADLINE: Duration = Duration::from_secs(600);

/// Something to be written to a host's dump directory. `P` is the platform's handle of a process.
pub(super) struct Job<P> {
    pub pid: i32,
    pub process: P,
    pub description: Description,
    /// None for a host that said no hello.
    pub info: Option<HostInfo>,
    pub requested: Instant,
    /// The connection that waits for an answer.
    pub session: Option<u64>,
    pub work: Work,
}

pub(super) enum Work {
    /// A dump of the process with its record.
    Dump { tid: i32, cause: Cause },
    /// The record of a dump whose writer, process `writer`, has ended without a result.
    FailedDump { tid: i32, cause: Cause, writer: i32, reason: String },
    /// The record of a host that ended without a goodbye, with its wait status where that is known; and why a crash was not
    /// reported, where it was one.
    Death { status: Option<i32>, unreported: Option<String> },
}

/// What a host has reported.
pub(super) struct Crash {
    pub context: CrashContext,
    pub after: AfterReport,
}

/// Why there is a dump.
pub(super) enum Cause {
    Crash(Box<Crash>),
    /// The host asked for it, for this reason.
    Request(String),
    /// The host gave no heartbeat within this time.
    Hang(Duration),
}

impl<P> Job<P> {
    fn is_crash(&self) -> bool {
        let (Work::Dump { cause, .. } | Work::FailedDump { cause, .. }) = &self.work else { return false };
        matches!(cause, Cause::Crash(_))
    }

    /// While the writer has the host stopped, the host cannot keep its own deadline; so its time in the queue counts too.
    fn deadline(&self) -> Instant {
        match self.work {
            Work::Dump { .. } if self.session.is_some() => self.requested + self.description.deadline,
            Work::Dump { .. } => Instant::now() + self.description.deadline,
            _ => Instant::now() + WRITER_DEADLINE,
        }
    }
}

/// What a writer has made.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub dump: Option<PathBuf>,
    pub record: Option<PathBuf>,
    /// Why what was to be written is not there.
    pub failure: Option<String>,
}

impl Written {
    /// The same files by a path that has this directory.
    pub(super) fn named_in(&self, directory: &Path) -> Self {
        let named = |path: &Option<PathBuf>| Some(directory.join(path.as_ref()?.file_name()?));
        Self { dump: named(&self.dump), record: named(&self.record), failure: self.failure.clone() }
    }
}

/// What a child is doing.
pub(super) enum Stage<P> {
    Writing(Box<Job<P>>),
    /// What the program will be told.
    Finishing(Box<Report>),
    Callback,
}

/// A child at work. `C` is the platform's handle of it.
struct Running<P, C> {
    child: C,
    stage: Stage<P>,
    /// None once it was killed. It may take long to end, in uninterruptible sleep, and does not count any more.
    deadline: Option<Instant>,
}

/// All jobs and children.
pub(super) struct Queue<P, C> {
    waiting: VecDeque<Job<P>>,
    running: BTreeMap<u64, Running<P, C>>,
    callbacks: VecDeque<Report>,
}

impl<P, C> Queue<P, C> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), running: BTreeMap::new(), callbacks: VecDeque::new() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.callbacks.is_empty()
    }

    pub(super) fn push(&mut self, job: Job<P>) {
        self.waiting.push_back(job);
    }

    /// The next job for which there is room: crashes go first.
    pub(super) fn next_job(&mut self) -> Option<Job<P>> {
        let writers = self.count(|stage| matches!(stage, Stage::Writing(_)));
        if writers >= WRITERS_MAX {
            return None;
        }
        if let Some(crash) = self.waiting.iter().position(Job::is_crash) {
            return self.waiting.remove(crash);
        }
        let room = writers < OTHER_WRITERS_MAX && self.finishing() < FINISHING_MAX;
        if room { self.waiting.pop_front() } else { None }
    }

    /// The child that has been finishing for longest, where there are too many: it is to be killed.
    pub(super) fn make_room(&mut self) -> Option<&C> {
        if self.finishing() < FINISHING_MAX {
            return None;
        }
        let finishing = self.running.values_mut().filter(|running| matches!(running.stage, Stage::Finishing(_)));
        // Their deadlines are equally far from when they began.
        let oldest = finishing.filter(|running| running.deadline.is_some()).min_by_key(|running| running.deadline)?;
        oldest.deadline = None;
        Some(&oldest.child)
    }

    fn finishing(&self) -> usize {
        self.count(|stage| matches!(stage, Stage::Finishing(_)))
    }

    /// How many children are at a stage, without those that were killed.
    fn count(&self, is_at: impl Fn(&Stage<P>) -> bool) -> usize {
        self.running.values().filter(|running| running.deadline.is_some() && is_at(&running.stage)).count()
    }

    /// The next report whose callback may be called.
    pub(super) fn next_callback(&mut self) -> Option<Report> {
        let room = self.count(|stage| matches!(stage, Stage::Callback)) < CALLBACKS_MAX;
        if room { self.callbacks.pop_front() } else { None }
    }

    /// Has the callback called for a report; false where too many wait.
    pub(super) fn push_callback(&mut self, report: Report) -> bool {
        let room = self.callbacks.len() < CALLBACKS_WAITING_MAX;
        if room {
            self.callbacks.push_back(report);
        }
        room
    }

    /// A child has been started.
    pub(super) fn started(&mut self, id: u64, child: C, stage: Stage<P>) {
        let deadline = match &stage {
            Stage::Writing(job) => job.deadline(),
            _ => Instant::now() + AFTERWARDS_DEADLINE,
        };
        self.running.insert(id, Running { child, stage, deadline: Some(deadline) });
    }

    /// What a writer is writing.
    pub(super) fn job(&self, id: u64) -> Option<&Job<P>> {
        match &self.running.get(&id)?.stage {
            Stage::Writing(job) => Some(job),
            _ => None,
        }
    }

    /// A writer has made its report, and finishes.
    pub(super) fn written(&mut self, id: u64, report: Report) {
        if let Some(running) = self.running.get_mut(&id) {
            running.deadline = Some(Instant::now() + AFTERWARDS_DEADLINE);
            running.stage = Stage::Finishing(Box::new(report));
        }
    }

    /// A child has ended.
    pub(super) fn ended(&mut self, id: u64) -> Option<(C, Stage<P>)> {
        self.running.remove(&id).map(|running| (running.child, running.stage))
    }

    pub(super) fn child_mut(&mut self, id: u64) -> Option<&mut C> {
        self.running.get_mut(&id).map(|running| &mut running.child)
    }

    pub(super) fn children(&self) -> impl Iterator<Item = (u64, &C)> {
        self.running.iter().map(|(id, running)| (*id, &running.child))
    }

    /// The children that have not told what they have written.
    pub(super) fn writers(&self) -> Vec<u64> {
        let writers = self.running.iter().filter(|(_, running)| matches!(running.stage, Stage::Writing(_)));
        writers.map(|(id, _)| *id).collect()
    }

    /// Whether the answer to a request of this session is still to come.
    pub(super) fn owes_answer(&self, session: u64) -> bool {
        let writing = self.running.values().filter_map(|running| match &running.stage {
            Stage::Writing(job) => Some(&**job),
            _ => None,
        });
        self.waiting.iter().chain(writing).any(|job| job.session == Some(session))
    }

    /// Drops the dumps that this session has requested and that have not begun: the session has ended.
    pub(super) fn cancel_requests(&mut self, session: u64) {
        let is_request = |job: &Job<P>| matches!(job.work, Work::Dump { cause: Cause::Request(_), .. });
        self.waiting.retain(|job| job.session != Some(session) || !is_request(job));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.running.values().filter_map(|running| running.deadline).min()
    }

    /// A child whose deadline has passed: it is to be killed.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<&C> {
        let late = |running: &&mut Running<P, C>| running.deadline.is_some_and(|deadline| deadline <= now);
        let running = self.running.values_mut().find(late)?;
        running.deadline = None;
        Some(&running.child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(pid: i32, session: u64, work: Work) -> Job<()> {
        let description = Description::default_in(Path::new("/d"));
        let (info, requested) = (None, Instant::now());
        Job { pid, process: (), description, info, requested, session: Some(session), work }
    }

    fn request(pid: i32, session: u64) -> Job<()> {
        job(pid, session, Work::Dump { tid: pid, cause: Cause::Request(String::new()) })
    }

    /// Starts what there is room for; gives how many.
    fn start(queue: &mut Queue<(), ()>, first_id: u64) -> u64 {
        let mut id = first_id;
        while let Some(job) = queue.next_job() {
            queue.started(id, (), Stage::Writing(Box::new(job)));
            id += 1;
        }
        id - first_id
    }

    #[test]
    fn crashes_go_before_requests() {
        let mut queue = Queue::new();
        (0..20).for_each(|n| queue.push(request(n, 7)));
        assert_eq!(start(&mut queue, 0), OTHER_WRITERS_MAX as u64);
        let context = CrashContext::from_bytes(&vec![0; size_of::<CrashContext>()]).unwrap();
        let crash = Box::new(Crash { context, after: AfterReport::DefaultAction });
        queue.push(job(99, 8, Work::Dump { tid: 99, cause: Cause::Crash(crash) }));
        assert_eq!(queue.next_job().map(|job| job.pid), Some(99));
        assert!(queue.owes_answer(7));
        queue.cancel_requests(7);
        assert!(queue.next_job().is_none() && queue.owes_answer(7), "what is being written goes on");
    }

    #[test]
    fn a_callback_waits_for_its_turn_and_keeps_no_writer() {
        let mut queue: Queue<(), ()> = Queue::new();
        (0..20).for_each(|_| assert!(queue.push_callback(Report::default())));
        for id in 0..CALLBACKS_MAX as u64 {
            assert!(queue.next_callback().is_some());
            queue.started(id, (), Stage::Callback);
        }
        assert!(queue.next_callback().is_none());
        queue.push(request(1, 1));
        assert!(queue.next_job().is_some());
        queue.ended(0);
        assert!(queue.next_callback().is_some());
    }

    #[test]
    fn a_late_child_is_killed_once_and_keeps_no_writer() {
        let mut queue = Queue::new();
        (0..20).for_each(|n| queue.push(request(n, 1)));
        let started = start(&mut queue, 0);
        let late = queue.next_deadline().unwrap() + Duration::from_secs(1);
        assert_eq!(std::iter::from_fn(|| queue.overdue(late).copied()).count() as u64, started);
        assert_eq!(queue.next_deadline(), None);
        assert_eq!(start(&mut queue, started), started);
    }
}
