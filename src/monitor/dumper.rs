//! The short-lived child that writes one dump or record: what happens to it harms nobody else.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minidump_writer::crash_context::CrashContext;

use super::attachments;
use super::dump::{self, Subject};
use super::dump_file::{self, NewFile};
use super::extras::Extras;
use super::process_info::ProcessInfo;
use super::record::{self, Dumped};
use super::retention;
use super::session::Description;
use crate::sys::process;

/// A dumper that has not ended by then is stuck, and is ended; the host it held goes free.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest result: a path or an error text.
const RESULT_MAX: usize = 8192;

/// Something to be written to a host's dump directory.
pub(super) struct Job {
    pub pid: i32,
    pub description: Description,
    pub extras: Extras,
    pub work: Work,
}

pub(super) enum Work {
    /// A dump and its record. `session` is told; of a hang nobody is.
    Dump { session: Option<u64>, tid: i32, cause: Cause },
    /// The record of a host that ended without a word, with its wait status where that is known.
    Death { info: ProcessInfo, status: Option<i32> },
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
    child: i32,
}

impl Dumper {
    /// Starts a child for `job`; gives the job back where that fails.
    pub(super) fn start(job: Job) -> Result<Self, Box<(Job, std::io::Error)>> {
        let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (read, write) = match pipe {
            Ok(ends) => ends,
            Err(errno) => return Err(Box::new((job, errno.into()))),
        };
        let forked = process::fork(&[write.as_fd()], || {
            let mut pipe = File::from(write.try_clone().unwrap_or_else(|_| std::process::abort()));
            let outcome = work(&job, |path| {
                let _ = pipe.write_all(&encode(Ok(path)));
            });
            if let Err(reason) = &outcome {
                let _ = pipe.write_all(&encode(Err(reason)));
            }
            outcome.is_err().into()
        });
        match forked {
            Ok(child) => Ok(Self { job, result: read, deadline: Instant::now() + DEADLINE, acked: false, child }),
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
    pub(super) fn reap(self) -> Option<String> {
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
pub(super) fn write_here(job: &Job) -> Result<PathBuf, String> {
    let mut written = Err("nothing was written".to_owned());
    let writing = AssertUnwindSafe(|| work(job, |path| written = Ok(path.to_owned())));
    catch_unwind(writing).unwrap_or_else(|_| Err("the dumper panicked".to_owned())).and(written)
}

fn encode(result: Result<&Path, &str>) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let (tag, bytes) = match result {
        Ok(path) => (b'+', path.as_os_str().as_bytes()),
        Err(reason) => (b'-', reason.as_bytes()),
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

/// The child's work: `visible` is called once everything has its name, before it is forced to the disk.
fn work(job: &Job, visible: impl FnOnce(&Path)) -> Result<(), String> {
    let directory = &job.description.dump_dir;
    let stem = dump_file::stem(&job.description.app_name, job.pid);
    let (file, path) = match &job.work {
        Work::Dump { tid, cause, .. } => write_report(job, *tid, cause, &stem)?,
        Work::Death { info, status } => {
            write_record(directory, &stem, &record::death(&job.description.app_name, job.pid, info, *status))?
        }
    };
    visible(&path);
    file.sync_all().map_err(|error| at("cannot force to the disk", directory, &error))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    for removed in retention::prune(directory, job.description.retention, &stem) {
        log::info!("removed {}: more than the retention keeps", removed.display());
    }
    Ok(())
}

/// Writes dump, attachments and record, or at least a record that says why there is no dump.
fn write_report(job: &Job, tid: i32, cause: &Cause, stem: &str) -> Result<(File, PathBuf), String> {
    let directory = &job.description.dump_dir;
    let info = ProcessInfo::read(job.pid);
    let result = write_dump(job, tid, cause, stem);
    let name = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let stem = result.as_ref().map_or_else(|_| stem.to_owned(), |(_, _, path, _)| name(path.file_stem()));
    let attachments = attachments::copy(&job.extras.attachments, directory, &stem);
    let dump = match &result {
        Ok((made, _, path, writing)) => Ok(Dumped { file_name: name(path.file_name()), made, writing: *writing }),
        Err(reason) => Err(reason.as_str()),
    };
    let report = record::Report { job, tid, cause, info: &info, attachments: &attachments };
    if let Err(reason) = write_record(directory, &stem, &record::report(&report, dump)) {
        log::error!("process {}: no record: {reason}", job.pid);
    }
    // With `made` goes the host's being stopped: it goes on before it is told that it may.
    result.map(|(_, file, path, _)| (file, path))
}

fn write_dump(job: &Job, tid: i32, cause: &Cause, stem: &str) -> Result<(dump::Made, File, PathBuf, Duration), String> {
    let directory = &job.description.dump_dir;
    let context = match cause {
        Cause::Crash(context) => Some(context.as_ref()),
        Cause::Request(_) | Cause::Hang(_) => None,
    };
    let mut new = NewFile::create(directory, stem).map_err(|error| at("cannot make a file", directory, &error))?;
    let made = dump::make(&Subject { pid: job.pid, tid, context, extras: &job.extras })?;
    let start = Instant::now();
    new.file.write_all(&made.bytes).map_err(|error| at("cannot write the dump", directory, &error))?;
    let (file, path) = new.publish("dmp").map_err(|error| at("cannot name the dump", directory, &error))?;
    Ok((made, file, path, start.elapsed()))
}

fn write_record(directory: &Path, stem: &str, record: &serde_json::Value) -> Result<(File, PathBuf), String> {
    let write = || {
        let mut new = NewFile::create(directory, stem)?;
        new.file.write_all(format!("{record:#}\n").as_bytes())?;
        new.publish("json")
    };
    write().map_err(|error| at("cannot write a record", directory, &error))
}

fn at(what: &str, directory: &Path, error: &std::io::Error) -> String {
    format!("{what} in {}: {error}", directory.display())
}
