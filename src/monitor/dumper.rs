//! The short-lived child that writes one dump: what happens to it harms nobody else.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minidump_writer::CrashContextExt;
use minidump_writer::crash_context::CrashContext;
use minidump_writer::minidump_writer::MinidumpWriterConfig;

use super::dump_file::DumpFile;
use super::session::Description;
use crate::sys::process;

/// A dumper that has not ended by then is stuck, and is ended; the host it held goes free.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest result: a path or an error text.
const RESULT_MAX: usize = 8192;

/// A dump to be written.
pub(super) struct Job {
    /// The connection that gets the ack.
    pub session: u64,
    pub context: Box<CrashContext>,
    pub description: Description,
}

/// A child at work.
pub(super) struct Dumper {
    pub job: Job,
    /// The read end of the pipe on which the child tells its result, and whose end is the child's end.
    pub result: OwnedFd,
    pub deadline: Instant,
    /// Whether the host has got its ack.
    pub acked: bool,
    child: i32,
}

impl Dumper {
    /// Starts a child for `job`; gives the job back where that fails.
    pub(super) fn start(job: Job) -> Result<Self, (Job, std::io::Error)> {
        let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (read, write) = match pipe {
            Ok(ends) => ends,
            Err(errno) => return Err((job, errno.into())),
        };
        let forked = process::fork(&[write.as_fd()], || {
            let mut pipe = File::from(write.try_clone().unwrap_or_else(|_| std::process::abort()));
            let outcome = write_dump(&job, |path| {
                let _ = pipe.write_all(&encode(Ok(path)));
            });
            if let Err(reason) = &outcome {
                let _ = pipe.write_all(&encode(Err(reason)));
            }
            outcome.is_err().into()
        });
        match forked {
            Ok(child) => Ok(Self { job, result: read, deadline: Instant::now() + DEADLINE, acked: false, child }),
            Err(error) => Err((job, error)),
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
        let status = rustix::io::retry_on_intr(|| {
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
        });
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

/// The child's work: `visible` is called once the dump has its name, before it is forced to the disk.
fn write_dump(job: &Job, visible: impl FnOnce(&Path)) -> Result<(), String> {
    let Description { dump_dir, app_name } = &job.description;
    let at = |what: &str, error: &dyn std::fmt::Display| format!("{what} in {}: {error}", dump_dir.display());
    let context = job.context.as_ref().clone();
    let mut dump = DumpFile::create(dump_dir, app_name, context.pid).map_err(|e| at("cannot make a file", &e))?;
    let mut config = MinidumpWriterConfig::new(context.pid, context.tid);
    config.set_crash_context(CrashContextExt { inner: context });
    config.write(&mut dump.file).map_err(|e| at("cannot write the dump", &e))?;
    let (file, path) = dump.publish().map_err(|e| at("cannot name the dump", &e))?;
    visible(&path);
    file.sync_all().map_err(|e| at("cannot force the dump to the disk", &e))
}
