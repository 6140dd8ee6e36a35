//! The process that is dumped: stopped as a whole, and let go when dropped.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use minidump_writer::thread_info::ThreadInfo;

use crate::monitor::process_info;
use crate::sys::ptrace::{self, Stop, Stops};

/// More threads than this are counted, not dumped.
const THREADS_MAX: usize = 4096;
/// How long all threads together may take to stop. One in uninterruptible sleep (proc(5), state D) does not.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// A stopped process.
pub(in crate::monitor) struct Target {
    pid: i32,
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
    /// stopped is in the list all the same, and in `missing`.
    pub(super) fn stop(pid: i32, missing: &mut Vec<String>) -> Self {
        let stopped = Stops::watch().and_then(|stops| stop_all(pid, &stops, missing));
        let stopped = stopped.unwrap_or_else(|error| {
            missing.push(format!("threads: process {pid} cannot be stopped: {error}"));
            HashSet::new()
        });
        let tids = match list(pid) {
            Ok(tids) => tids,
            Err(error) => {
                missing.push(format!("threads: /proc/{pid}/task: {error}"));
                Vec::new()
            }
        };
        if tids.len() > THREADS_MAX {
            missing.push(format!("threads: {} of {} left out", tids.len() - THREADS_MAX, tids.len()));
        }
        let thread = |tid: i32| Thread {
            tid,
            name: name(pid, tid),
            registers: stopped.contains(&tid).then(|| ptrace::registers(tid).ok()).flatten(),
        };
        let arguments = process_info::stat_field(pid, 48).and_then(|address| address.parse().ok());
        Self { pid, arguments, threads: tids.into_iter().take(THREADS_MAX).map(thread).collect() }
    }

    /// A file of /proc/PID.
    pub(super) fn read_file(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(format!("/proc/{}/{name}", self.pid))
    }

    /// As much of the memory at `address` as there is.
    pub(super) fn read_memory(&self, address: usize, length: usize) -> io::Result<Vec<u8>> {
        ptrace::read_memory(self.pid, address, length)
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

/// Seizes every thread, again and again until no new one appears, and waits for all to stop. Gives those that have.
fn stop_all(pid: i32, stops: &Stops, missing: &mut Vec<String>) -> io::Result<HashSet<i32>> {
    let deadline = Instant::now() + STOP_DEADLINE;
    let (mut seen, mut stopped) = (HashSet::new(), HashSet::new());
    let mut late = 0;
    while seen.len() < THREADS_MAX {
        let mut new: Vec<i32> = list(pid)?.into_iter().filter(|tid| seen.insert(*tid)).take(THREADS_MAX).collect();
        if new.is_empty() {
            break;
        }
        new.retain(|tid| {
            let asked = ptrace::seize(*tid).and_then(|()| ptrace::interrupt(*tid));
            asked.inspect_err(|error| missing.push(format!("thread {tid}: cannot be stopped: {error}"))).is_ok()
        });
        for tid in new {
            match stops.wait(tid, deadline) {
                Stop::Stopped => _ = stopped.insert(tid),
                Stop::Ended => {}
                Stop::Late => late += 1,
            }
        }
    }
    if late > 0 {
        missing.push(format!("threads: {late} did not stop within {STOP_DEADLINE:?}"));
    }
    Ok(stopped)
}

/// The threads, in the order of their making.
fn list(pid: i32) -> io::Result<Vec<i32>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// At most 15 bytes (prctl(2), `PR_SET_NAME`), so one read gets it.
fn name(pid: i32, tid: i32) -> Option<String> {
    let mut bytes = [0; 64];
    let length = File::open(format!("/proc/{pid}/task/{tid}/comm")).ok()?.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned())
}
