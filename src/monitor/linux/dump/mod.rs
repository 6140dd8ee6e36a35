//! What is in a dump.
//!
//! minidump-writer gives the format's types, the registers' layout and the module reader. Stopping the threads, choosing the
//! memory and writing the streams is done here, for two reasons: a dump has to be bounded, whatever the stack pointers point
//! to, and stopping a process of a thousand threads as a whole is many times faster than thread by thread.
//!
//! `process` and `tracer` stop the process, `writer` holds the bytes, and each other file writes one stream.

mod abort_message;
mod annotations;
mod exception;
mod maps;
mod memory_info;
mod module_memory;
mod modules;
mod process;
mod sanitize;
mod system_info;
#[cfg(test)]
mod tests;
mod threads;
mod tracer;
mod writer;

use std::time::{Duration, Instant};

use minidump_writer::CrashContextExt;
use minidump_writer::crash_context::CrashContext;
use minidump_writer::minidump_format::MDStreamType;

use crate::monitor::host_data;
use crate::monitor::linux::sender;
use crate::page::read::Entries;
use crate::settings::DumpContents;
use maps::Maps;
pub(super) use process::StoppedProcess;
pub(super) use system_info::SystemInfo;
use threads::Threads;
use writer::DumpWriter;

/// Files of /proc/PID that go into the dump as they are, besides its status and maps. The environment is not among them. They
/// are read while the threads are still about to stop.
const FILES: [(&str, MDStreamType); 3] = [
    ("cmdline", MDStreamType::LinuxCmdLine),
    ("auxv", MDStreamType::LinuxAuxv),
    ("limits", MDStreamType::MozLinuxLimits),
];

/// What goes into a dump besides what the process has.
pub(super) struct DumpRequest<'a> {
    /// None for a process that has not crashed: then its thread is shown where it is now.
    pub context: Option<&'a CrashContext>,
    /// Reads what the process has put into its page. Asked while the process is stopped: what its threads change all the
    /// time cannot be read otherwise.
    pub entries: &'a dyn Fn() -> Entries,
    pub contents: DumpContents,
    pub system: &'a SystemInfo,
}

/// A dump in memory, and how long its making took. Its process is still stopped, and resumed when this is dropped.
pub(super) struct FinishedDump {
    pub bytes: Vec<u8>,
    /// What could not be read; in the dump too, as its soft errors.
    pub missing: Vec<String>,
    /// Until every thread had stopped.
    pub stopping: Duration,
    /// Until everything was read.
    pub reading: Duration,
    pub threads: usize,
    pub thread_name: Option<String>,
    pub executable_build_id: Option<String>,
    /// What the C library has said before it aborted the process.
    pub abort_message: Option<String>,
    pub entries: Entries,
    process: StoppedProcess,
}

impl FinishedDump {
    /// Resumes all threads, each with the signal that was about to be delivered to it.
    pub(super) fn resume(&mut self) {
        self.process.resume();
    }

    /// For a process that dies as soon as its crashing thread continues: resumes that thread alone. The others stay stopped,
    /// unless the process still lives when `limit` is over: then all are resumed.
    pub(super) fn resume_crashing_thread_only(&mut self, limit: Duration) {
        self.process.resume_crashing_thread_only(limit);
    }

    /// Waits for the death that [`Self::resume_crashing_thread_only`] has begun. To be called right after the host was answered,
    /// because its parent cannot wait for it before.
    pub(super) fn wait_for_death(&mut self) {
        self.process.resume();
    }
}

/// Makes a dump of a process, which may still be about to stop.
pub(super) fn make(mut process: StoppedProcess, request: &DumpRequest<'_>) -> Result<FinishedDump, String> {
    let DumpRequest { context, contents, system, .. } = *request;
    let files = FILES.map(|(name, kind)| (name, kind, process.read_file(name)));
    let stopped = process.threads()?;
    let start = Instant::now();
    let entries = (request.entries)();
    let mut writer = DumpWriter::new(stopped.missing.clone());
    entries.missing.iter().for_each(|missing| writer.note(missing.clone()));
    let maps_file = process.read_file("maps");
    let maps = Maps::parse(maps_file.as_ref().ok());

    let crash = context.map(|context| CrashContextExt { inner: context.clone() });
    let threads = Threads {
        process: &process,
        stopped: &stopped.threads,
        crash: crash.as_ref(),
        maps: &maps,
        sanitize: contents.sanitized_stacks,
    };
    let site = threads.write(&mut writer);
    let auxv = files.iter().find(|(name, ..)| *name == "auxv").and_then(|(.., text)| text.as_deref().ok());
    let mappings = modules::mappings(auxv.unwrap_or_default(), &maps).unwrap_or_else(|error| {
        writer.note(format!("mappings: {error}"));
        Vec::new()
    });
    let executable_build_id = modules::write(&mut writer, &process, &maps, &mappings);
    for (start, length) in &entries.memory {
        if let Err(error) = threads::write_memory(&mut writer, &process, *start, start.saturating_add(*length)) {
            writer.note(format!("memory at {start:#x}: {error}"));
        }
    }
    writer.add_memory_list();
    let aborted = context.is_some_and(|context| context.siginfo.ssi_signo == libc::SIGABRT as u32);
    let abort_message = if aborted { abort_message::read(&process, &mappings) } else { None };
    abort_message.iter().for_each(|text| abort_message::write(&mut writer, text));
    let sender = context.and_then(sender::of_crash).map(|sender| sender.to_string());
    let found = [("abort_message", abort_message.as_deref()), ("signal_sender", sender.as_deref())];
    annotations::write(&mut writer, &host_data::dump_annotations(&entries, &found));
    exception::write(&mut writer, process.tid, context, &site);
    system.write(&mut writer);
    memory_info::write(&mut writer, maps.sorted());
    writer.add_raw("status", MDStreamType::LinuxProcStatus, stopped.status.as_deref());
    for (name, kind, text) in &files {
        writer.add_raw(name, *kind, text.as_deref());
    }
    writer.add_raw("maps", MDStreamType::LinuxMaps, maps_file.as_deref());
    if contents.environment {
        writer.add_raw("environ", MDStreamType::LinuxEnviron, process.read_file("environ").as_deref());
    }
    let names = process.thread_names(&stopped);
    threads::write_names(&mut writer, &stopped.threads, &names);
    let blamed = stopped.threads.iter().position(|thread| thread.tid == process.tid);

    let (bytes, missing) = writer.finish();
    Ok(FinishedDump {
        bytes,
        missing,
        stopping: stopped.took,
        reading: start.elapsed(),
        threads: stopped.threads.len(),
        thread_name: blamed.and_then(|blamed| names.get(blamed)?.clone()),
        executable_build_id,
        abort_message,
        entries,
        process,
    })
}
