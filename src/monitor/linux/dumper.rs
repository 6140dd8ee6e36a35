//! The short-lived child that writes one dump or record: what happens to it harms nobody else.

use std::fs::File;
use std::io::Read;
use std::os::fd::{OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minidump_writer::crash_context::CrashContext;

use super::host_page::HostPage;
use super::process_info::ProcessInfo;
use super::report;
use super::session::Description;
use crate::sys::process;

/// A dumper that holds no host and has not ended by then is stuck, and is ended.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest result: a path or an error text.
const RESULT_MAX: usize = 8192;

/// Something to be written to a host's dump directory.
pub(super) struct Job {
    pub pid: i32,
    pub description: Description,
    pub page: HostPage,
    /// What /proc said of the host when it said hello; None for one that did not.
    pub info: Option<ProcessInfo>,
    pub asked: Instant,
    pub work: Work,
}

pub(super) enum Work {
    /// A dump and its record. `session` is told; of a hang nobody is.
    Dump { session: Option<u64>, tid: i32, cause: Cause },
    /// The record of a dump whose dumper, this child, has ended without a result.
    Lost { session: Option<u64>, tid: i32, cause: Cause, dumper: i32, reason: String },
    /// The record of a host that ended without a word, with its wait status where that is known.
    Death { status: Option<i32> },
}

impl Job {
    /// The session that waits for this.
    pub(super) fn session(&self) -> Option<u64> {
        match self.work {
            Work::Dump { session, .. } | Work::Lost { session, .. } => session,
            Work::Death { .. } => None,
        }
    }
}

/// Why there is a dump.
pub(super) enum Cause {
    Crash(Box<CrashContext>),
    /// The host asked for it, for this reason.
    Request(String),
    /// The host was silent for longer than this.
    Hang(Duration),
}

/// A child at work.
pub(super) struct Dumper {
    pub job: Job,
    /// The read end of the pipe on which the child tells its result, and whose end is the child's end.
    pub result: OwnedFd,
    pub deadline: Instant,
    /// Whether the host has got its ack, or needs none.
    pub acked: bool,
    pub child: i32,
}

impl Dumper {
    /// Starts a child for `job`, which has no use for `monitors_own` descriptors; gives the job back where that fails.
    pub(super) fn start(job: Job, monitors_own: &[RawFd]) -> Result<Self, Box<(Job, std::io::Error)>> {
        let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (read, write) = match pipe {
            Ok(ends) => ends,
            Err(errno) => return Err(Box::new((job, errno.into()))),
        };
        let forked = process::fork(monitors_own, || {
            report::write(&job, report::HOST_END, |outcome| {
                // The monitor may be gone: the files are there all the same.
                let _ = rustix::io::write(&write, &encode(outcome));
                // Other dumps, for which hosts wait, go before what is left to do for this one.
                let _ = rustix::process::nice(19);
            });
            0
        });
        match forked {
            Ok(child) => {
                // One that holds its host for longer than that wants to wait, the time in the queue included, is ended, and
                // the host goes free: stopped by its tracer, it cannot see to its own deadline.
                let deadline = match job.work {
                    Work::Dump { session: Some(_), .. } => job.asked + job.description.deadline,
                    Work::Dump { .. } => Instant::now() + job.description.deadline,
                    _ => Instant::now() + DEADLINE,
                };
                Ok(Self { job, result: read, deadline, acked: false, child })
            }
            Err(error) => Err(Box::new((job, error))),
        }
    }

    /// What the child says on its pipe; None where it has ended.
    pub(super) fn read_result(&self) -> Option<Result<PathBuf, String>> {
        let mut bytes = vec![0; RESULT_MAX];
        let mut pipe = File::from(self.result.try_clone().ok()?);
        match pipe.read(&mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(length) => Some(decode(&bytes[..length])),
        }
    }

    /// Ends the child.
    pub(super) fn kill(&self) {
        crate::sys::raw::kill(self.child);
    }

    /// Waits for the child, whose pipe has closed; says how it ended where that was not well.
    pub(super) fn reap(&self) -> Option<String> {
        let pid = rustix::process::Pid::from_raw(self.child)?;
        let status =
            rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()));
        let (_, status) = status.ok()??;
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) if code == i32::from(process::PANICKED) => Some("panicked".to_owned()),
            (_, Some(signal)) => Some(format!("was ended by signal {signal}")),
            _ => None,
        }
    }
}

/// Writes in this process: where no child can be had (RLIMIT_NPROC), a dump that holds up the others is better than none.
/// `tell` is called once, as soon as the host need not wait any longer; its end is not waited for.
pub(super) fn write_here(job: &Job, mut tell: impl FnMut(Result<PathBuf, String>)) {
    let mut told = false;
    let visible = |outcome: Result<&Path, String>| {
        told = true;
        tell(outcome.map(Path::to_owned));
    };
    // A panic has been told on standard error.
    let _ = catch_unwind(AssertUnwindSafe(|| report::write(job, Duration::ZERO, visible)));
    if !told {
        tell(Err("the dumper panicked".to_owned()));
    }
}

fn encode(result: Result<&Path, String>) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let (tag, bytes) = match result {
        Ok(path) => (b'+', path.as_os_str().as_bytes()),
        Err(ref reason) => (b'-', reason.as_bytes()),
    };
    std::iter::once(&tag).chain(bytes).copied().take(RESULT_MAX).collect()
}

fn decode(bytes: &[u8]) -> Result<PathBuf, String> {
    use std::os::unix::ffi::OsStrExt;
    match bytes {
        [b'+', path @ ..] => Ok(PathBuf::from(std::ffi::OsStr::from_bytes(path))),
        [_, reason @ ..] => Err(String::from_utf8_lossy(reason).into_owned()),
        [] => Err("no result".to_owned()),
    }
}
