//! What is in a dump.
//!
//! minidump-writer gives the format, the registers' layout and most streams; stopping the threads and choosing what
//! memory goes in is done here, because a crash dump has to be bounded, whatever the stack pointers point into, and
//! because a process of a thousand threads is stopped as a whole many times faster than thread by thread.

mod annotations;
mod builder;
mod maps;
mod memory;
mod modules;
mod target;
mod threads;

use std::time::{Duration, Instant};

use minidump_writer::CrashContextExt;
use minidump_writer::crash_context::CrashContext;
use minidump_writer::minidump_format::MDStreamType;

use crate::monitor::host_data;
use crate::page::read::Entries;
use crate::settings::Contents;
use builder::Builder;
use maps::Maps;
use target::Target;

/// A dump in memory, and how long its making took.
pub(super) struct Made {
    pub bytes: Vec<u8>,
    /// What could not be had; in the dump too, as its soft errors.
    pub missing: Vec<String>,
    /// Until every thread had stopped.
    pub stopping: Duration,
    /// Until everything was read.
    pub reading: Duration,
    pub threads: usize,
    pub thread_name: Option<String>,
    pub executable_build_id: Option<String>,
    /// Still stopped: goes on when this is dropped.
    target: Option<Target>,
}

impl Made {
    /// Lets the process go on.
    pub(super) fn release(&mut self) {
        self.target = None;
    }
}

/// Files of /proc/PID that go into the dump as they are. The environment is not among them.
const FILES: [(&str, MDStreamType); 5] = [
    ("status", MDStreamType::LinuxProcStatus),
    ("cmdline", MDStreamType::LinuxCmdLine),
    ("auxv", MDStreamType::LinuxAuxv),
    ("limits", MDStreamType::MozLinuxLimits),
    ("maps", MDStreamType::LinuxMaps),
];

/// What is dumped.
pub(super) struct Subject<'a> {
    pub pid: i32,
    /// The thread that crashed, or that is to blame.
    pub tid: i32,
    /// None for a process that has not crashed: then the thread is where it is.
    pub context: Option<&'a CrashContext>,
    pub entries: &'a Entries,
    pub contents: Contents,
}

/// Stops the process and makes a dump of it.
pub(super) fn make(subject: &Subject<'_>) -> Result<Made, String> {
    let start = Instant::now();
    let Subject { pid, tid, context, entries, contents } = *subject;
    let mut missing = entries.missing.clone();
    let target = Target::stop(pid, tid, &mut missing);
    let stopping = start.elapsed();
    let files = FILES.map(|(name, kind)| (name, kind, target.read_file(name)));
    let file = |wanted| files.iter().find(|(name, ..)| *name == wanted).and_then(|(.., text)| text.as_ref().ok());
    let maps = Maps::parse(file("maps"));
    let mut builder =
        Builder::new(pid, tid, context.map(|context| CrashContextExt { inner: context.clone() }), missing)?;

    builder.set_mappings(modules::mappings(file("auxv").map_or(&[], Vec::as_slice), &maps), contents.sanitized_stacks);
    builder.add("threads", |builder| threads::write(builder, &target, &maps));
    builder.add("modules", |builder| modules::write(builder, &target, &maps));
    for (start, length) in &entries.memory {
        if let Err(error) = builder.memory(&target, *start, start.saturating_add(*length)) {
            builder.note(format!("memory at {start:#x}: {error}"));
        }
    }
    builder.add("memory list", |builder| builder.memory_list());
    builder.add("annotations", |builder| annotations::write(builder, &host_data::dump_annotations(entries)));
    builder.add("exception", |builder| builder.exception());
    builder.add("system information", |builder| builder.system_info());
    builder.add("memory information", |builder| builder.memory_info(maps.sorted()));
    let names = target.threads.iter().map(|thread| (thread.tid, thread.name.clone()));
    builder.add("thread names", |builder| builder.thread_names(names));
    for (name, kind, text) in files {
        builder.add(name, |builder| text.map(|text| builder.raw(kind, &text)).map_err(|error| error.to_string()));
    }
    if contents.environment {
        let environment = target.read_file("environ").map_err(|error| error.to_string());
        builder.add("environ", |builder| Ok(builder.raw(MDStreamType::LinuxEnviron, &environment?)));
    }
    builder.add("cpuinfo", |builder| builder.file(MDStreamType::LinuxCpuInfo, "/proc/cpuinfo"));
    builder.add("os-release", |builder| builder.file(MDStreamType::LinuxLsbRelease, "/etc/os-release"));

    Ok(Made {
        missing: builder.missing().to_vec(),
        executable_build_id: builder.executable_build_id.take(),
        bytes: builder.finish()?,
        stopping,
        reading: start.elapsed() - stopping,
        threads: target.threads.len(),
        thread_name: target.threads.iter().find(|thread| thread.tid == tid).and_then(|thread| thread.name.clone()),
        target: Some(target),
    })
}
