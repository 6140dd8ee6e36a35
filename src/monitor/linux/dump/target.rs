//! The process that is dumped: stopped as a whole, and let go when dropped.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use minidump_writer::thread_info::ThreadInfo;
use rustix::fs::{Dir, Mode, OFlags};

use crate::monitor::linux::process_info::{self, Stat};
use crate::sys::ptrace::{self, Stop, Stops};

/// More threads than this are counted, not dumped.
const THREADS_MAX: usize = 4096;
/// How long all threads together may take to stop. One in uninterruptible sleep (proc(5), state D) does not.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// A stopped process.
pub(in crate::monitor) struct Target {
    /// Whose /proc entry shows it.
    shown_by: i32,
    pub threads: Vec<Thread>,
    /// Where command line and environment begin, at the upper end of the main thread's stack (proc(5), field 48,
    /// arg_start). They are not to be in a dump for being near a stack.
    pub arguments: Option<u64>,
}

/// A thread of it.
pub(in crate::monitor) struct Thread {
    pub tid: i32,
    pub name: Option<String>,
    /// None where it could not be stopped.
    pub registers: Option<ThreadInfo>,
}

impl Target {
    /// Attaches to all threads, then waits for all: the time is that of the slowest, not the sum. What cannot be
    /// stopped is in the list all the same, and in `missing`. Of more threads than fit, `blamed` is not left out.
    pub(super) fn stop(pid: i32, blamed: i32, missing: &mut Vec<String>) -> Self {
        let stat = Stat::of(pid);
        let shown_by = process_info::shown_by(pid, stat.as_ref(), blamed);
        let ended = (shown_by != pid).then_some(pid);
        let threads = Tasks::open(pid, ended).and_then(|tasks| stop_all(&tasks, blamed, &Stops::watch()?, missing));
        let threads = threads.unwrap_or_else(|error| {
            missing.push(format!("threads: process {pid} cannot be stopped: {error}"));
            Vec::new()
        });
        let stat = if ended.is_none() { stat } else { Stat::of(shown_by) };
        Self { shown_by, arguments: stat.and_then(|stat| stat.field(48)), threads }
    }

    /// A file of /proc/PID.
    pub(super) fn read_file(&self, name: &str) -> io::Result<Vec<u8>> {
        process_info::read(&format!("/proc/{}/{name}", self.shown_by))
    }

    /// As much of the memory at `address` as there is.
    pub(super) fn read_memory(&self, address: usize, length: usize) -> io::Result<Vec<u8>> {
        ptrace::read_memory(self.shown_by, address, length)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        for thread in &self.threads {
            // One that has died meanwhile needs no letting go.
            let _ = ptrace::detach(thread.tid);
        }
    }
}

/// Seizes every thread, again and again until no new one appears, and waits for all to stop.
fn stop_all(tasks: &Tasks, blamed: i32, stops: &Stops, missing: &mut Vec<String>) -> io::Result<Vec<Thread>> {
    let deadline = Instant::now() + STOP_DEADLINE;
    let (mut seen, mut threads) = (HashSet::new(), Vec::new());
    let mut late = 0;
    loop {
        let mut new = tasks.list()?;
        new.retain(|tid| seen.insert(*tid));
        if new.is_empty() {
            break;
        }
        let (found, room) = (threads.len() + new.len(), THREADS_MAX - threads.len());
        if found > THREADS_MAX {
            missing.push(format!("threads: {} of {found} left out", found - THREADS_MAX));
            if let Some(at) = new.iter().position(|tid| *tid == blamed).filter(|at| *at >= room && room > 0) {
                new.swap(room - 1, at);
            }
            new.truncate(room);
        }
        let asked = new.iter().map(|tid| {
            let asked = ptrace::seize(*tid).and_then(|()| ptrace::interrupt(*tid));
            asked.inspect_err(|error| missing.push(format!("thread {tid}: cannot be stopped: {error}"))).is_ok()
        });
        for (tid, asked) in new.iter().copied().zip(asked.collect::<Vec<_>>()) {
            let name = tasks.name(tid);
            let stop = if asked { stops.wait(tid, deadline) } else { Stop::Ended };
            late += usize::from(matches!(stop, Stop::Late));
            let registers = if let Stop::Stopped = stop { ptrace::registers(tid).ok() } else { None };
            threads.push(Thread { tid, name, registers });
        }
    }
    if late > 0 {
        missing.push(format!("threads: {late} did not stop within {STOP_DEADLINE:?}"));
    }
    Ok(threads)
}

/// /proc/PID/task, opened once: from there the kernel finds what is in it faster than from the root.
struct Tasks {
    directory: OwnedFd,
    /// A main thread that has ended, of which an entry is left as long as there are others.
    ended: Option<i32>,
}

impl Tasks {
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
