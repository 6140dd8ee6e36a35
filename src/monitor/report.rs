//! What one dumper does: the dump, the attachments, the record, and afterwards what may take its time.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::dump::{self, Subject};
use super::dump_file::{self, NewFile};
use super::dumper::{Cause, Job, Work};
use super::process_info::ProcessInfo;
use super::record::{self, Dumped};
use super::session::Description;
use super::{attachments, callbacks, retention};

type Outcome = Result<(File, PathBuf), String>;

/// Writes what the job asks for. `visible` is told the path, or why there is nothing, as soon as everything has its name
/// and the host goes on; then the files are forced to the disk, old ones removed, and the program's own callback called.
pub(super) fn write(job: &Job, visible: impl FnOnce(Result<&Path, String>)) {
    let Description { dump_dir, app_name, retention, .. } = &job.description;
    let stem = dump_file::stem(app_name, job.pid);
    let (dump, record) = match &job.work {
        Work::Dump { tid, cause, .. } => {
            let (dump, record) = dump_and_record(job, *tid, cause, &stem);
            (Some(dump), record)
        }
        Work::Lost { tid, cause, dumper, reason, .. } => {
            dump_file::remove_temporary(dump_dir, *dumper);
            let info = ProcessInfo::read(job.pid);
            let report = record::Report { job, tid: *tid, cause, info: &info, attachments: &[] };
            (None, write_record(dump_dir, &stem, &record::report(&report, Err(reason))))
        }
        Work::Death { info, status } => {
            (None, write_record(dump_dir, &stem, &record::death(app_name, job.pid, info, *status)))
        }
    };
    // Of a death, and of a dump that was lost, the record is all there is.
    let outcome = dump.as_ref().unwrap_or(&record);
    visible(outcome.as_ref().map(|(_, path)| path.as_path()).map_err(Clone::clone));
    if let (Some(_), Err(reason)) = (&dump, &record) {
        log::error!("process {}: {reason}", job.pid);
    }

    let files = [dump.and_then(Result::ok), record.ok()];
    for (file, path) in files.iter().flatten() {
        if let Err(error) = file.sync_all() {
            log::error!("process {}: cannot force {} to the disk: {error}", job.pid, path.display());
        }
    }
    let [dump, record] = files.map(|file| file.map(|(_, path)| path));
    if let Some(newest) = dump.as_deref().or(record.as_deref()) {
        for removed in retention::prune(dump_dir, *retention, &name(newest.file_stem())) {
            log::info!("removed {}: more than the retention keeps", removed.display());
        }
    }
    callbacks::written(dump.as_deref(), record.as_deref());
}

/// Dump, attachments and record; or at least a record that says why there is no dump.
fn dump_and_record(job: &Job, tid: i32, cause: &Cause, stem: &str) -> (Outcome, Outcome) {
    let directory = &job.description.dump_dir;
    let info = ProcessInfo::read(job.pid);
    let dumped = write_dump(job, tid, cause, stem);
    let stem = dumped.as_ref().map_or_else(|_| stem.to_owned(), |dumped| name(dumped.path.file_stem()));
    let attachments = attachments::copy(&job.extras.attachments, directory, &stem);
    let dump = match &dumped {
        Ok(WrittenDump { path, made, took, .. }) => {
            Ok(Dumped { file_name: name(path.file_name()), made, writing: *took })
        }
        Err(reason) => Err(reason.as_str()),
    };
    let report = record::Report { job, tid, cause, info: &info, attachments: &attachments };
    let record = write_record(directory, &stem, &record::report(&report, dump));
    // With `made` goes the host's being stopped: it goes on before it is told that it may.
    (dumped.map(|dumped| (dumped.file, dumped.path)), record)
}

struct WrittenDump {
    made: dump::Made,
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
    let mut new = NewFile::create(dump_dir, stem).map_err(|error| at("cannot make a file", dump_dir, &error))?;
    let made = dump::make(&Subject { pid: job.pid, tid, context, extras: &job.extras, contents: *contents })?;
    let start = Instant::now();
    new.file.write_all(&made.bytes).map_err(|error| at("cannot write the dump", dump_dir, &error))?;
    let (file, path) = new.publish("dmp").map_err(|error| at("cannot name the dump", dump_dir, &error))?;
    Ok(WrittenDump { made, file, path, took: start.elapsed() })
}

fn write_record(directory: &Path, stem: &str, record: &serde_json::Value) -> Outcome {
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

/// A part of a path as text.
fn name(part: Option<&OsStr>) -> String {
    part.unwrap_or_default().to_string_lossy().into_owned()
}
