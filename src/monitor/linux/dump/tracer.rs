//! Stopping all threads of a process, and resuming them. ptrace(2) requires that one thread makes all these calls.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use minidump_writer::thread_info::ThreadInfo;
use rustix::fs::{Dir, Mode, OFlags};

use crate::monitor::linux::process_info::{self, Stat};
use crate::sys::ptrace::{self, ThreadEvents, ThreadState};

/// Threads beyond this number are counted, but not dumped.
const THREADS_MAX: usize = 4096;
/// How long all threads together may take to stop. One in uninterruptible sleep (proc(5), state D) does not.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// The threads of a process as they are while it is stopped.
pub(super) struct Stopped {
    pub threads: Vec<StoppedThread>,
    /// What [`super::process::StoppedProcess::thread_names`] reads.
    pub names: Arc<ThreadNames>,
    /// /proc/PID/status, read when all had stopped.
    pub status: io::Result<Vec<u8>>,
    /// What could not be had.
    pub missing: Vec<String>,
    /// Until every thread had stopped.
    pub took: Duration,
}

/// A thread of a stopped process.
pub(super) struct StoppedThread {
    pub tid: i32,
    /// None where it could not be stopped.
    pub registers: Option<ThreadInfo>,
}

/// The tracer of a process.
pub(super) struct Tracer {
    pid: i32,
    /// Whose /proc entry shows what the threads share: another thread's where the main one has ended.
    proc_entry: i32,
    /// The thread that crashed, or that is to blame. It is kept where there are too many threads.
    blamed: i32,
    /// Whether the blamed thread's floating-point registers are wanted.
    floating: bool,
    events: Option<ThreadEvents>,
    /// Every thread that was found, in the order of the listing.
    found: Vec<i32>,
    /// Those that did not stop in time.
    late: HashSet<i32>,
}

/// The names of the threads. The kernel gives them one by one, so the tracing thread and the writing one share the work.
#[derive(Default)]
pub(super) struct ThreadNames {
    tasks: Option<TaskDirectory>,
    tids: Vec<i32>,
    next: AtomicUsize,
}

impl ThreadNames {
    /// Reads those that the other thread has not taken: pairs of a thread's place in the list and its name.
    pub(super) fn read(&self) -> Vec<(usize, String)> {
        let mut names = Vec::new();
        let next = || {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            self.tids.get(place).map(|tid| (place, *tid))
        };
        while let Some((place, tid)) = next() {
            names.extend(self.tasks.as_ref().and_then(|tasks| tasks.name(tid)).map(|name| (place, name)));
        }
        names
    }
}

impl Tracer {
    pub(super) fn new(pid: i32, proc_entry: i32, blamed: i32, floating: bool) -> Self {
        Self { pid, proc_entry, blamed, floating, events: None, found: Vec::new(), late: HashSet::new() }
    }

    /// Stops all threads. One that cannot be stopped is in the list all the same, and in `missing`.
    pub(super) fn stop(&mut self, started: Instant) -> Stopped {
        let mut stopped = Stopped {
            threads: Vec::new(),
            names: Arc::default(),
            status: Ok(Vec::new()),
            missing: Vec::new(),
            took: Duration::ZERO,
        };
        let ended = (self.proc_entry != self.pid).then_some(self.pid);
        let tasks = TaskDirectory::open(self.pid, ended);
        let outcome = match &tasks {
            Ok(tasks) => self.stop_all(tasks, &mut stopped).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = outcome {
            stopped.missing.push(format!("threads: process {} cannot be stopped: {error}", self.pid));
            stopped.status = read_status(self.proc_entry);
        }
        self.found = stopped.threads.iter().map(|thread| thread.tid).collect();
        stopped.names =
            Arc::new(ThreadNames { tasks: tasks.ok(), tids: self.found.clone(), next: AtomicUsize::new(0) });
        stopped.took = started.elapsed();
        stopped
    }

    /// Seizes every thread, again and again until no new one appears, and waits for all to stop: the time is that of the
    /// slowest, not the sum.
    fn stop_all(&mut self, tasks: &TaskDirectory, into: &mut Stopped) -> io::Result<()> {
        let deadline = Instant::now() + STOP_DEADLINE;
        let events = self.events.insert(ThreadEvents::watch()?);
        let mut seen = HashSet::new();
        let mut all_stopped = true;
        loop {
            let mut new = tasks.list()?;
            new.retain(|tid| seen.insert(*tid));
            if new.is_empty() {
                break;
            }
            let (found, room) = (into.threads.len() + new.len(), THREADS_MAX - into.threads.len());
            if found > THREADS_MAX {
                into.missing.push(format!("threads: {} of {found} left out", found - THREADS_MAX));
                if let Some(at) = new.iter().position(|tid| *tid == self.blamed).filter(|at| *at >= room && room > 0) {
                    new.swap(room - 1, at);
                }
                new.truncate(room);
            }
            let missing = &mut into.missing;
            let asked = new.iter().map(|tid| {
                let asked = ptrace::seize(*tid).and_then(|()| ptrace::interrupt(*tid));
                asked.inspect_err(|error| missing.push(format!("thread {tid}: cannot be stopped: {error}"))).is_ok()
            });
            for (tid, asked) in new.iter().copied().zip(asked.collect::<Vec<_>>()) {
                let floating = self.floating && tid == self.blamed;
                let is_main = tid == self.pid;
                let registers = || registers(events, tid, floating, is_main, deadline);
                let state = if asked { registers() } else { Err(ThreadState::Ended) };
                if state.as_ref().is_err_and(|state| *state == ThreadState::Running) {
                    self.late.insert(tid);
                }
                all_stopped &= state.is_ok();
                into.threads.push(StoppedThread { tid, registers: state.ok() });
            }
            into.status = read_status(self.proc_entry);
            // Stopped threads neither end nor start others. So where the kernel counts as many, no thread is missing, and
            // the directory need not be listed again.
            let counted = into.status.as_deref().ok().and_then(thread_count);
            if all_stopped && counted == Some(into.threads.len() + usize::from(tasks.ended.is_some())) {
                break;
            }
        }
        if !self.late.is_empty() {
            let late = self.late.len();
            into.missing.push(format!("threads: {late} did not stop within {STOP_DEADLINE:?}"));
        }
        Ok(())
    }

    /// Resumes one thread, for good.
    pub(super) fn resume(&self, tid: i32) {
        // A thread that has died meanwhile needs no resuming.
        let _ = ptrace::detach(tid);
    }

    /// Resumes all threads, except those that have not stopped in time: only the end of this thread resumes them. Those that
    /// SIGKILL has set going are waited for until the deadline, and freed.
    pub(super) fn resume_all(&mut self, deadline: Instant) {
        let (nobody, mut killed) = (0, Vec::new());
        for tid in self.others(nobody) {
            match ptrace::thread_state(tid) {
                ThreadState::Ended => ptrace::reap(tid),
                ThreadState::Running if self.late.contains(&tid) => {}
                ThreadState::Stopped { .. } if ptrace::detach(tid).is_ok() => {}
                _ => killed.push(tid),
            }
        }
        self.reap(&killed, deadline);
        self.found.clear();
    }

    /// Waits until threads have ended, and frees each.
    fn reap(&self, tids: &[i32], deadline: Instant) {
        let Some(events) = &self.events else { return };
        for tid in tids {
            if events.wait(*tid, deadline, |state| state == ThreadState::Ended) == ThreadState::Ended {
                ptrace::reap(*tid);
            }
        }
    }

    /// Waits until a thread other than `resumed` has ended. A stopped thread ends only when the whole process is killed, so
    /// all of them have SIGKILL pending by then, and the end of this tracing thread resumes none of them. This thread has to
    /// end right after, because the kernel keeps ended traced threads, and with them the process, until their tracer is gone.
    pub(super) fn wait_for_death(&self, resumed: i32, deadline: Instant) {
        if let (Some(other), Some(events)) = (self.others(resumed).first(), &self.events) {
            events.wait(*other, deadline, |state| state == ThreadState::Ended);
        }
    }

    /// For a thread that cannot end: waits until all threads have ended, and frees each. The resumed one is not traced any
    /// more, and so counts as ended, unless SIGKILL came before it could be resumed.
    pub(super) fn reap_dying(&self, deadline: Instant) {
        let nobody = 0;
        self.reap(&self.others(nobody), deadline);
    }

    /// The threads but for one. The main thread, which cannot be waited for before the others are gone (kernel/exit.c,
    /// `delay_group_leader`), is the last.
    fn others(&self, resumed: i32) -> Vec<i32> {
        let mut others: Vec<_> = self.found.iter().copied().filter(|tid| *tid != resumed).collect();
        others.sort_by_key(|tid| *tid == self.pid);
        others
    }
}

/// The registers of a thread that was asked to stop, as soon as it has; or its state, where it has not by the deadline.
pub(super) fn registers(
    events: &ThreadEvents,
    tid: i32,
    floating: bool,
    is_main: bool,
    deadline: Instant,
) -> Result<ThreadInfo, ThreadState> {
    // Killed meanwhile, the main thread is a zombie, which cannot be waited for before the others are gone.
    let is_zombie = || is_main && Stat::of(tid).is_none_or(|stat| stat.is_zombie());
    // Most have stopped by now: then this is the only call that they take.
    ptrace::registers(tid, floating).or_else(|_| {
        match events.wait(tid, deadline, |state| state != ThreadState::Running || is_zombie()) {
            ThreadState::Running if is_zombie() => Err(ThreadState::Ended),
            ThreadState::Stopped { .. } => ptrace::registers(tid, floating).map_err(|_| ThreadState::Ended),
            state => Err(state),
        }
    })
}

fn read_status(proc_entry: i32) -> io::Result<Vec<u8>> {
    process_info::read(&format!("/proc/{proc_entry}/status"))
}

/// The number of threads in the text of /proc/PID/status (proc(5)).
fn thread_count(status: &[u8]) -> Option<usize> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Threads:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// /proc/PID/task, opened once: the kernel resolves names relative to it faster than from the root.
struct TaskDirectory {
    directory: OwnedFd,
    /// A main thread that has ended, of which an entry is left as long as there are others.
    ended: Option<i32>,
}

impl TaskDirectory {
    fn open(pid: i32, ended: Option<i32>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: rustix::fs::open(format!("/proc/{pid}/task"), flags, Mode::empty())?, ended })
    }

    /// The threads, in the order of their making.
    fn list(&self) -> io::Result<Vec<i32>> {
        let mut tids = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let tid = entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
            tids.extend(tid.filter(|tid| Some(*tid) != self.ended));
        }
        Ok(tids)
    }

    /// At most 15 bytes (prctl(2), `PR_SET_NAME`), so one read gets it.
    fn name(&self, tid: i32) -> Option<String> {
        let mut bytes = [0; 64];
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, format!("{tid}/comm"), flags, Mode::empty());
        let length = rustix::io::read(file.ok()?, &mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned())
    }
}
