//! The short-lived child that writes one dump or record: what happens to it harms nobody else.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minidump_writer::crash_context::CrashContext;

use super::dump;
use super::dump_file::{self, NewFile};
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
    pub work: Work,
}

pub(super) enum Work {
    /// A dump and its record; `session` gets the ack.
    Crash { session: u64, context: Box<CrashContext> },
    /// The record of a host that ended without a word, with its wait status where that is known.
    Death { info: ProcessInfo, status: Option<i32> },
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
        Work::Crash { context, .. } => write_crash(job, context, &stem)?,
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

/// Writes dump and record, or at least a record that says why there is no dump.
fn write_crash(job: &Job, context: &CrashContext, stem: &str) -> Result<(File, PathBuf), String> {
    let Description { dump_dir, app_name, .. } = &job.description;
    let info = ProcessInfo::read(job.pid);
    let result = write_dump(dump_dir, context, stem);
    let (dump, stem) = match &result {
        Ok((made, _, path, writing)) => {
            let name = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
            let dumped = Dumped { file_name: name(path.file_name()), made, writing: *writing };
            (Ok(dumped), name(path.file_stem()))
        }
        Err(reason) => (Err(reason.as_str()), stem.to_owned()),
    };
    if let Err(reason) = write_record(dump_dir, &stem, &record::crash(app_name, context, &info, dump)) {
        log::error!("process {}: no record: {reason}", job.pid);
    }
    // With `made` goes the host's being stopped: it goes on before it is told that it may.
    result.map(|(_, file, path, _)| (file, path))
}

fn write_dump(
    directory: &Path,
    context: &CrashContext,
    stem: &str,
) -> Result<(dump::Made, File, PathBuf, Duration), String> {
    let mut new = NewFile::create(directory, stem).map_err(|error| at("cannot make a file", directory, &error))?;
    let made = dump::make(context.clone())?;
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
