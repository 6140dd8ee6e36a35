//! What one dumper does: the dump, the attachments, the record, and afterwards what may take its time.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::attachments::Attachments;
use super::dump::{self, Subject};
use super::dumper::{Cause, Job, Work};
use super::process_info::ProcessInfo;
use super::record::{self, Dumped};
use super::session::Description;
use crate::monitor::dump_file::{self, NewFile};
use crate::monitor::{callbacks, retention};
use crate::page::read::Entries;
use crate::sys::process;
use crate::sys::signals::AllBlocked;

type Outcome = Result<(File, PathBuf), String>;

/// How long a crashed host's end is waited for, before its attachments are looked at for the last time: it has been told to
/// go on, and the handlers that were there before ours may have something to write.
pub(super) const HOST_END: Duration = Duration::from_secs(3);

/// Writes what the job asks for. `visible` is told the path, or why there is nothing, as soon as everything has its name
/// and the host goes on; then come last words of a crashed host, whose end is waited for `host_end` at most, the files are
/// forced to the disk, old ones removed, and the program's own callback called.
pub(super) fn write(job: &Job, host_end: Duration, visible: impl FnOnce(Result<&Path, String>)) {
    let Description { dump_dir, app_name, retention, .. } = &job.description;
    let stem = dump_file::stem(app_name, job.pid);
    let entries = &job.page.entries(job.pid);
    let mut attachments = Vec::new();
    let (dump, record) = match &job.work {
        Work::Dump { tid, cause, .. } => {
            let (dump, record, copies) = dump_and_record(job, entries, *tid, cause, &stem, host_end, visible);
            attachments = copies;
            (Some(dump), record)
        }
        Work::Lost { tid, cause, dumper, reason, .. } => {
            dump_file::remove_temporary(dump_dir, *dumper);
            let record =
                write_record(dump_dir, &stem, &record::report(&subject(job, entries, *tid, cause), Err(reason)));
            tell(visible, &record);
            (None, record)
        }
        Work::Death { status } => {
            let info = job.info.clone().unwrap_or_default();
            let record = write_record(dump_dir, &stem, &record::death(job, entries, &info, *status));
            tell(visible, &record);
            (None, record)
        }
    };

    let files = [dump.and_then(Result::ok), record.ok()];
    for (file, path) in files.iter().flatten() {
        if let Err(error) = file.sync_all() {
            log::error!("process {}: cannot force {} to the disk: {error}", job.pid, path.display());
        }
    }
    let [dump, record] = files.map(|file| file.map(|(_, path)| path));
    if let Some(newest) = dump.as_deref().or(record.as_deref()).filter(|newest| newest.exists()) {
        for removed in retention::prune(dump_dir, *retention, &name(newest.file_stem())) {
            log::info!("removed {}: more than the retention keeps", removed.display());
        }
    }
    dump_file::remove_abandoned(dump_dir);
    callbacks::report_written(&callbacks::Report { dump, record, attachments, ..told(job, entries) });
}

/// What the program's own callback is told of a job, besides the files.
fn told(job: &Job, entries: &Entries) -> callbacks::Report {
    let mut report = callbacks::Report {
        app_name: job.description.app_name.clone(),
        pid: job.pid as u32,
        annotations: entries.annotations.clone(),
        ..Default::default()
    };
    match &job.work {
        Work::Dump { tid, cause, .. } | Work::Lost { tid, cause, .. } => {
            report.thread = *tid as u32;
            match cause {
                Cause::Crash(context) => report.signal = context.siginfo.ssi_signo as i32,
                Cause::Request(reason) => {
                    report.kind = callbacks::Kind::Request;
                    report.reason = Some(reason.clone());
                }
                Cause::Hang(_) => report.kind = callbacks::Kind::Hang,
            }
        }
        Work::Death { status } => {
            report.kind = callbacks::Kind::Death;
            match *status {
                Some(status) if libc::WIFSIGNALED(status) => report.signal = libc::WTERMSIG(status),
                Some(status) => report.exit_status = Some(libc::WEXITSTATUS(status)),
                None => {}
            }
        }
    }
    report
}

fn tell(visible: impl FnOnce(Result<&Path, String>), outcome: &Outcome) {
    visible(outcome.as_ref().map(|(_, path)| path.as_path()).map_err(Clone::clone));
}

/// What the record is about. What /proc says of the host is read now, if it has not been before.
fn subject<'a>(job: &'a Job, entries: &'a Entries, tid: i32, cause: &'a Cause) -> record::Report<'a> {
    let info = job.info.clone().unwrap_or_else(|| ProcessInfo::read(job.pid, tid));
    record::Report { job, entries, tid, cause, info, happened: SystemTime::now() }
}

/// Dump, record and the attachments' copies; or at least a record that says why there is no dump.
fn dump_and_record(
    job: &Job,
    entries: &Entries,
    tid: i32,
    cause: &Cause,
    stem: &str,
    host_end: Duration,
    visible: impl FnOnce(Result<&Path, String>),
) -> (Outcome, Outcome, Vec<PathBuf>) {
    let directory = &job.description.dump_dir;
    let pidfd = process::pidfd(job.pid);
    let subject = subject(job, entries, tid, cause);
    let dumped = write_dump(job, entries, tid, cause, stem);
    let stem = dumped.as_ref().map_or_else(|_| stem.to_owned(), |dumped| name(dumped.path.file_stem()));
    let mut attachments = Attachments::copy(&entries.attachments, directory, &stem);
    let dump = match &dumped {
        Ok(WrittenDump { path, made, took, .. }) => {
            Ok(Dumped { file_name: name(path.file_name()), made, writing: *took })
        }
        Err(reason) => Err(reason.as_str()),
    };
    let description = record::report(&subject, dump);
    let with_attachments = record::with_attachments(description.clone(), &attachments);
    let mut record = write_record(directory, &stem, &with_attachments);
    if let Err(reason) = &record {
        log::error!("process {}: {reason}", job.pid);
    }
    // With `made` goes the host's being stopped: it goes on before it is told that it may.
    let dump = dumped.map(|dumped| (dumped.file, dumped.path));
    tell(visible, &dump);

    let may_grow = matches!(cause, Cause::Crash(_)) && !attachments.is_empty();
    if let (true, Some(pidfd)) = (may_grow, pidfd) {
        process::wait_for_end(&pidfd, host_end);
    }
    // Retention may have removed it by now, in favour of newer ones.
    let kept = dump.as_ref().or(record.as_ref()).is_ok_and(|(_, path)| path.exists());
    if kept && (may_grow || attachments.is_unfinished()) {
        attachments.copy_what_is_new();
        let now = record::with_attachments(description, &attachments);
        if let Some(path) = record.as_ref().ok().map(|(_, path)| path.clone()).filter(|_| now != with_attachments) {
            record = replace_record(&path, &stem, &now);
        }
    }
    (dump, record, attachments.names().map(|name| directory.join(name)).collect())
}

struct WrittenDump {
    made: dump::Made,
    file: File,
    path: PathBuf,
    took: Duration,
}

fn write_dump(job: &Job, entries: &Entries, tid: i32, cause: &Cause, stem: &str) -> Result<WrittenDump, String> {
    let Description { dump_dir, contents, .. } = &job.description;
    let context = match cause {
        Cause::Crash(context) => Some(context.as_ref()),
        Cause::Request(_) | Cause::Hang(_) => None,
    };
    let mut new = NewFile::create(dump_dir, stem).map_err(|error| at("cannot make a file", dump_dir, &error))?;
    let (pid, contents) = (job.pid, *contents);
    let made = match context {
        // It has nothing to do but wait.
        Some(_) => dump::make(&Subject { pid, tid, context, entries, contents })?,
        None => in_a_thread(|| {
            let mut made = dump::make(&Subject { pid, tid, context: None, entries, contents })?;
            made.release();
            Ok(made)
        })?,
    };
    let start = Instant::now();
    new.file.write_all(&made.bytes).map_err(|error| at("cannot write the dump", dump_dir, &error))?;
    let (file, path) = new.publish("dmp").map_err(|error| at("cannot name the dump", dump_dir, &error))?;
    Ok(WrittenDump { made, file, path, took: start.elapsed() })
}

/// Dumps a process that lives on in a thread of its own: one of the process's threads that has not stopped in time, for being
/// in vfork(2), say, cannot be let go. It would stop later and stay so as long as its tracer is there, which is a thread too.
fn in_a_thread(make: impl Fn() -> Result<dump::Made, String> + Sync) -> Result<dump::Made, String> {
    // SIGCHLD, which that thread waits for, is not to come to this one, where it is lost.
    let _blocked = AllBlocked::new();
    std::thread::scope(|scope| {
        match std::thread::Builder::new().spawn_scoped(scope, &make) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // Where no thread can be had (RLIMIT_NPROC).
            Err(_) => make(),
        }
    })
}

fn write_record(directory: &Path, stem: &str, record: &serde_json::Value) -> Outcome {
    let publish = |new: NewFile| new.publish("json");
    put_record(directory, stem, record, publish).map_err(|error| at("cannot write a record", directory, &error))
}

fn replace_record(path: &Path, stem: &str, record: &serde_json::Value) -> Outcome {
    let directory = path.parent().unwrap_or(path);
    let replace = |new: NewFile| new.replace(path);
    put_record(directory, stem, record, replace).map_err(|error| at("cannot rewrite a record", directory, &error))
}

fn put_record(
    directory: &Path,
    stem: &str,
    record: &serde_json::Value,
    put: impl FnOnce(NewFile) -> io::Result<(File, PathBuf)>,
) -> io::Result<(File, PathBuf)> {
    let mut new = NewFile::create(directory, stem)?;
    new.file.write_all(format!("{record:#}\n").as_bytes())?;
    put(new)
}

fn at(what: &str, directory: &Path, error: &io::Error) -> String {
    format!("{what} in {}: {error}", directory.display())
}

/// A part of a path as text.
fn name(part: Option<&OsStr>) -> String {
    part.unwrap_or_default().to_string_lossy().into_owned()
}
