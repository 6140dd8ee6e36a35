//! The work of a writer: dump, attachments and record; then, while it finishes, what no host waits for.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::attachments::Attachments;
use super::dump::{self, DumpRequest, FinishedDump, StoppedProcess, SystemInfo};
use super::process::{Process, Rights};
use super::signal_names;
use crate::monitor::hosts::Description;
use crate::monitor::queue::{Cause, Job, Work, Written};
use crate::monitor::record::{self, DumpFacts, HostFacts, HostInfo, Reason};
use crate::monitor::report_files::{self, NewFile};
use crate::monitor::retention;
use crate::page::read::Entries;
use crate::sys::signals::SI_KERNEL;
use crate::wire::AfterReport;

/// How long a finishing writer waits for the end of its crashed host. Syncing files would slow that end down, and the previous
/// handlers may still write to attached files.
pub(super) const HOST_END: Duration = Duration::from_secs(3);

/// How long a handler of the program's own, which comes after ours, runs without the other threads. It may need one of them: a
/// lock that it holds, for instance.
const HANDLER_ALONE: Duration = Duration::from_millis(500);

/// A file that has its name.
type NamedFile = (File, PathBuf);

/// Writes the files of a job. `visible` is called once all of them have their names and the host has been resumed (see
/// [`resume`]). Then the end of a crashed host is waited for, at most `host_end`, what it has added to attached files is
/// copied, the files are synced, and old ones are removed.
pub(super) fn write(job: &Job<Process>, system: &SystemInfo, host_end: Duration, visible: impl FnOnce(&Written)) {
    let Description { dump_dir, app_name, retention, .. } = &job.description;
    let visible = |written: &Written| visible(&written.named_in(dump_dir));
    let rights = job.process.rights();
    let directory = match job.process.directory(dump_dir, &rights) {
        Ok(directory) => directory,
        Err(reason) => return visible(&Written { failure: Some(reason), ..Written::default() }),
    };
    let directory = directory.as_path();
    let stem = report_files::stem(app_name, job.pid);
    let files = match &job.work {
        Work::Dump { tid, cause } => dump_and_record(
            &DumpJob { job, rights: &rights, directory, system, tid: *tid, cause },
            &stem,
            host_end,
            visible,
        ),
        Work::FailedDump { tid, cause, writer, reason } => {
            report_files::remove_temporary(directory, *writer);
            let entries = job.process.entries();
            let facts = host_facts(job, &entries, host_info(job, *tid));
            let record = record_of_dump(&facts, *tid, cause, Err(reason));
            let record = write_record(directory, &stem, &record, visible, Some(reason.clone()));
            [None, record]
        }
        Work::Death { status, unreported } => {
            let entries = job.process.entries();
            let facts = host_facts(job, &entries, job.info.clone().unwrap_or_default());
            let record = record::of_death(&facts, signal_names::of_exit(*status), unreported.as_deref());
            [None, write_record(directory, &stem, &record, visible, None)]
        }
    };
    for (file, path) in files.iter().flatten() {
        if let Err(error) = file.sync_all() {
            log::error!("process {}: cannot force {} to the disk: {error}", job.pid, path.display());
        }
    }
    if let Some((_, newest)) = files.into_iter().flatten().next().filter(|(_, newest)| newest.exists()) {
        for removed in retention::prune(directory, *retention, &name(newest.file_stem())) {
            log::info!("removed {}: more than the retention keeps", removed.display());
        }
    }
    report_files::remove_abandoned(directory);
}

/// Writes in this process, where no child can be started (RLIMIT_NPROC): a dump that holds up the others is better than none.
/// `visible` is called once; the host's end is not waited for.
pub(super) fn write_here(job: &Job<Process>, system: &SystemInfo, visible: impl Fn(&Written)) -> Written {
    let mut written = None;
    let told = |now: &Written| {
        visible(now);
        written = Some(now.clone());
    };
    // The panic's message is on standard error.
    let _ = catch_unwind(AssertUnwindSafe(|| write(job, system, Duration::ZERO, told)));
    written.unwrap_or_else(|| {
        let failed = Written { failure: Some("the writer panicked".to_owned()), ..Written::default() };
        visible(&failed);
        failed
    })
}

/// A dump that is to be made.
struct DumpJob<'a> {
    job: &'a Job<Process>,
    rights: &'a Rights,
    /// Where the files are made.
    directory: &'a Path,
    system: &'a SystemInfo,
    tid: i32,
    cause: &'a Cause,
}

/// Dump, attachments and record; or at least a record that says why there is no dump.
fn dump_and_record(
    of: &DumpJob<'_>,
    stem: &str,
    host_end: Duration,
    visible: impl FnOnce(&Written),
) -> [Option<NamedFile>; 2] {
    let DumpJob { job, rights, directory, tid, cause, .. } = *of;
    let (info, happened) = (host_info(job, tid), SystemTime::now());
    let mut dumped = write_dump(of, stem);
    let entries = match &mut dumped {
        Ok(dumped) => std::mem::take(&mut dumped.finished.entries),
        Err(_) => job.process.entries(),
    };
    let host = HostFacts { happened, ..host_facts(job, &entries, info) };
    let stem = dumped.as_ref().map_or_else(|_| stem.to_owned(), |dumped| name(dumped.path.file_stem()));
    let mut attachments = Attachments::copy(&entries.attachments, rights.clone(), directory, &stem);
    let facts = dumped.as_ref().map(|dumped| &dumped.facts).map_err(String::as_str);
    let description = record_of_dump(&host, tid, cause, facts);
    let first = record::with_attachments(description.clone(), attachments.names(), attachments.failures());
    let mut record = put_record(directory, &stem, &first, |new| new.publish("json"))
        .inspect_err(|reason| log::error!("process {}: {reason}", job.pid))
        .ok();
    let path = |file: &Option<NamedFile>| file.as_ref().map(|(_, path)| path.clone());
    let resumed = Instant::now();
    let dump = match dumped {
        Ok(WrittenDump { finished, file, path: dump, .. }) => {
            let written = Written { dump: Some(dump.clone()), record: path(&record), failure: None };
            let held = match cause {
                Cause::Crash(crash) => held_for(crash.after, host_end),
                Cause::Request(_) | Cause::Hang(_) => Duration::ZERO,
            };
            resume(finished, held, || visible(&written));
            Some((file, dump))
        }
        Err(reason) => {
            visible(&Written { dump: None, record: path(&record), failure: Some(reason) });
            None
        }
    };

    let is_crash = matches!(cause, Cause::Crash(_));
    if is_crash {
        // Of one that the kernel still writes a core dump of, this process may be the tracer: its end sets it free.
        job.process.wait_for_end(host_end.saturating_sub(resumed.elapsed()));
    }
    // Retention, in another writer, may have removed it by now.
    let kept = dump.as_ref().or(record.as_ref()).is_some_and(|(_, path)| path.exists());
    if kept && !attachments.is_empty() && (is_crash || attachments.is_unfinished()) {
        attachments.copy_what_is_new();
        let now = record::with_attachments(description, attachments.names(), attachments.failures());
        if let Some(path) = path(&record).filter(|_| now != first) {
            record = put_record(directory, &stem, &now, |new| new.replace(&path)).ok();
        }
    }
    [dump, record]
}

/// How long all threads but the crashing one stay stopped after its report, if the process does not end before.
fn held_for(after: AfterReport, host_end: Duration) -> Duration {
    match after {
        AfterReport::Anything => Duration::ZERO,
        AfterReport::DefaultAction => host_end,
        AfterReport::Handler => HANDLER_ALONE.min(host_end),
    }
}

/// Resumes the host and calls `tell`, which answers it. For the time `held`, or until the process ends, it is the crashing thread
/// alone that is resumed, so that no other thread can end the process in another way, by exit(3) for instance, before the signal
/// does, or the handler that comes next.
fn resume(mut finished: FinishedDump, held: Duration, tell: impl FnOnce()) {
    if held.is_zero() {
        // First, because the answer lets a host go on that would still be stopped.
        drop(finished);
        tell();
    } else {
        finished.resume_crashing_thread_only(held);
        tell();
        finished.wait_for_death();
    }
}

struct WrittenDump {
    /// Holds the host stopped.
    finished: FinishedDump,
    facts: DumpFacts,
    file: File,
    path: PathBuf,
}

fn write_dump(of: &DumpJob<'_>, stem: &str) -> Result<WrittenDump, String> {
    let DumpJob { job, directory, system, tid, cause, .. } = *of;
    let contents = job.description.contents;
    let pid = job.pid;
    let is_true = || match job.process.id_is_reused() {
        true => Err(format!("process {pid} has ended, and its id is another process's by now")),
        false => Ok(()),
    };
    is_true()?;
    let context = match cause {
        Cause::Crash(crash) => Some(&crash.context),
        Cause::Request(_) | Cause::Hang(_) => None,
    };
    // It stops while the file is made.
    let process = StoppedProcess::stop(pid, tid, context.is_some());
    let mut new = NewFile::create(directory, stem).map_err(|error| at("cannot make a file", directory, &error))?;
    let entries = || job.process.entries();
    let mut finished = dump::make(process, &DumpRequest { context, entries: &entries, contents, system })?;
    if context.is_none() {
        // It continues, so it does not wait for the disk.
        finished.resume();
    }
    // Checked again after reading: all that was read is of this process if its id was not reused in between.
    is_true()?;
    let start = Instant::now();
    new.file.write_all(&finished.bytes).map_err(|error| at("cannot write the dump", directory, &error))?;
    let (file, path) = new.publish("dmp").map_err(|error| at("cannot name the dump", directory, &error))?;
    let facts = DumpFacts {
        file_name: name(path.file_name()),
        bytes: finished.bytes.len(),
        threads: finished.threads,
        thread_name: finished.thread_name.take(),
        executable_build_id: finished.executable_build_id.take(),
        abort_message: finished.abort_message.take(),
        stopping: finished.stopping,
        reading: finished.reading,
        writing: start.elapsed(),
        missing: std::mem::take(&mut finished.missing),
    };
    Ok(WrittenDump { finished, facts, file, path })
}

/// What /proc says of the host: as read at its hello, else now.
fn host_info(job: &Job<Process>, tid: i32) -> HostInfo {
    job.info.clone().unwrap_or_else(|| job.process.info(tid))
}

fn host_facts<'a>(job: &'a Job<Process>, entries: &'a Entries, info: HostInfo) -> HostFacts<'a> {
    HostFacts { app_name: &job.description.app_name, pid: job.pid, info, happened: SystemTime::now(), entries }
}

fn record_of_dump(host: &HostFacts<'_>, tid: i32, cause: &Cause, dump: Result<&DumpFacts, &str>) -> Value {
    let reason = match cause {
        Cause::Crash(crash) => {
            let context = &crash.context;
            // Of a signal that was sent, or that the kernel says no more of, there is none (sigaction(2)).
            let has_address = context.siginfo.ssi_code > 0 && context.siginfo.ssi_code != SI_KERNEL;
            let address = has_address.then_some(context.siginfo.ssi_addr);
            Reason::Crash { signal: signal_names::of_crash(context), address }
        }
        Cause::Request(reason) => Reason::Request(reason),
        Cause::Hang(silence) => Reason::Hang(*silence),
    };
    record::of_dump(host, tid, &reason, dump)
}

/// Writes a record that goes without a dump, and tells of it. `failure` is why the dump is missing.
fn write_record(
    directory: &Path,
    stem: &str,
    record: &Value,
    visible: impl FnOnce(&Written),
    failure: Option<String>,
) -> Option<NamedFile> {
    let (file, failure) = match put_record(directory, stem, record, |new| new.publish("json")) {
        Ok(file) => (Some(file), failure),
        Err(reason) => (None, Some(failure.unwrap_or(reason))),
    };
    visible(&Written { dump: None, record: file.as_ref().map(|(_, path)| path.clone()), failure });
    file
}

fn put_record(
    directory: &Path,
    stem: &str,
    record: &Value,
    put: impl FnOnce(NewFile) -> io::Result<NamedFile>,
) -> Result<NamedFile, String> {
    let put = || {
        let mut new = NewFile::create(directory, stem)?;
        new.file.write_all(format!("{record:#}\n").as_bytes())?;
        put(new)
    };
    put().map_err(|error| at("cannot write a record", directory, &error))
}

fn at(what: &str, directory: &Path, error: &io::Error) -> String {
    format!("{what} in {}: {error}", directory.display())
}

/// A part of a path as text.
fn name(part: Option<&OsStr>) -> String {
    part.unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::rc::Rc;

    #[test]
    fn a_process_whose_id_is_anothers_is_not_dumped() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = crate::monitor::linux::process::tests::with_our_id();
        process.named_directory = Some(Rc::new(File::open(directory.path()).unwrap().into()));
        let description = Description::default_in(directory.path());
        let (pid, requested) = (process.pid, Instant::now());
        let work = Work::Dump { tid: pid, cause: Cause::Request("to see".to_owned()) };
        let job = Job { pid, process, description, info: None, requested, session: None, work };
        let written = write_here(&job, &SystemInfo::read(), |_| {});
        assert_eq!(written.dump, None);
        assert!(written.failure.unwrap().contains("its id is another process's"));
        let record = written.record.unwrap();
        assert!(record.starts_with(directory.path()), "{}", record.display());
        let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        assert_eq!((&record["pid"], &record["executable"]["path"]), (&json!(pid), &json!(null)));
    }
}
