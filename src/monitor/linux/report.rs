//! What one dumper does: the dump, the attachments, the record, and afterwards what may take its time.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::attachments::Attachments;
use super::dump::{self, DumpRequest, FinishedDump, StoppedProcess, SystemInfo};
use super::dumper::{Cause, Job, Work};
use super::process_info::ProcessInfo;
use super::record::{self, Dumped};
use super::session::Description;
use crate::monitor::dump_file::{self, NewFile};
use crate::monitor::{callbacks, retention};
use crate::sys::process;

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
    let (dump, record) = match &job.work {
        Work::Dump { tid, cause, .. } => {
            let (dump, record) = dump_and_record(job, *tid, cause, &stem, host_end, visible);
            (Some(dump), record)
        }
        Work::Lost { tid, cause, dumper, reason, .. } => {
            dump_file::remove_temporary(dump_dir, *dumper);
            let record = write_record(dump_dir, &stem, &record::report(&subject(job, *tid, cause), Err(reason)));
            tell(visible, &record);
            (None, record)
        }
        Work::Death { status } => {
            let info = job.info.clone().unwrap_or_default();
            let record = write_record(dump_dir, &stem, &record::death(job, &info, *status));
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
    callbacks::written(dump.as_deref(), record.as_deref());
}

fn tell(visible: impl FnOnce(Result<&Path, String>), outcome: &Outcome) {
    visible(outcome.as_ref().map(|(_, path)| path.as_path()).map_err(Clone::clone));
}

/// What the record is about. What /proc says of the host is read now, if it has not been before.
fn subject<'a>(job: &'a Job, tid: i32, cause: &'a Cause) -> record::Report<'a> {
    let info = job.info.clone().unwrap_or_else(|| ProcessInfo::read(job.pid, tid));
    record::Report { job, tid, cause, info, happened: SystemTime::now() }
}

/// Dump, attachments and record; or at least a record that says why there is no dump.
fn dump_and_record(
    job: &Job,
    tid: i32,
    cause: &Cause,
    stem: &str,
    host_end: Duration,
    visible: impl FnOnce(Result<&Path, String>),
) -> (Outcome, Outcome) {
    let directory = &job.description.dump_dir;
    let pidfd = process::pidfd(job.pid);
    let subject = subject(job, tid, cause);
    let dumped = write_dump(job, tid, cause, stem);
    let stem = dumped.as_ref().map_or_else(|_| stem.to_owned(), |dumped| name(dumped.path.file_stem()));
    let mut attachments = Attachments::copy(&job.extras.attachments, directory, &stem);
    let dump = match &dumped {
        Ok(WrittenDump { path, dump, took, .. }) => {
            Ok(Dumped { file_name: name(path.file_name()), dump, writing: *took })
        }
        Err(reason) => Err(reason.as_str()),
    };
    let description = record::report(&subject, dump);
    let with_attachments = record::with_attachments(description.clone(), &attachments);
    let mut record = write_record(directory, &stem, &with_attachments);
    if let Err(reason) = &record {
        log::error!("process {}: {reason}", job.pid);
    }
    // With the finished dump goes the host's being stopped: it goes on before it is told that it may.
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
    (dump, record)
}

struct WrittenDump {
    dump: FinishedDump,
    file: File,
    path: PathBuf,
    took: Duration,
}

fn write_dump(job: &Job, tid: i32, cause: &Cause, stem: &str) -> Result<WrittenDump, String> {
    let Description { dump_dir, contents, .. } = &job.description;
    let context = match cause {
        Cause::Crash(context) => Some(context.as_ref()),
        Cause::Request(_) | Cause::Hang(_) => None,
    };
    // It stops while the file is made.
    let process = StoppedProcess::stop(job.pid, tid, context.is_some());
    let mut new = NewFile::create(dump_dir, stem).map_err(|error| at("cannot make a file", dump_dir, &error))?;
    let system = SystemInfo::read();
    let request = DumpRequest { context, extras: &job.extras, contents: *contents, system: &system };
    let mut dump = dump::make(process, &request)?;
    if context.is_none() {
        // It lives on, and is not to wait for the disk.
        dump.resume();
    }
    let start = Instant::now();
    new.file.write_all(&dump.bytes).map_err(|error| at("cannot write the dump", dump_dir, &error))?;
    let (file, path) = new.publish("dmp").map_err(|error| at("cannot name the dump", dump_dir, &error))?;
    Ok(WrittenDump { dump, file, path, took: start.elapsed() })
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
