//! A minidump's parts, as far as they are shown.

use std::collections::BTreeMap;

use minidump::format::MINIDUMP_LOCATION_DESCRIPTOR;
use minidump::strings::LinuxOsStr;
use minidump::system_info::{Cpu, Os};
use minidump::{
    Error, Minidump, MinidumpCrashpadInfo, MinidumpException, MinidumpLinuxLsbRelease, MinidumpLinuxMaps,
    MinidumpLinuxProcStatus, MinidumpModuleList, MinidumpStream, MinidumpSystemInfo, MinidumpThreadList,
    MinidumpThreadNames, UnifiedMemoryList,
};

/// What `show` needs of a dump.
pub struct Dump<'a> {
    /// Seconds since 1970.
    pub time: u32,
    pub pid: Option<String>,
    /// The Linux distribution's name and version.
    pub distribution: Option<String>,
    pub system: MinidumpSystemInfo,
    pub modules: MinidumpModuleList,
    pub threads: MinidumpThreadList<'a>,
    pub exception: MinidumpException<'a>,
    pub memory: UnifiedMemoryList<'a>,
    /// The memory map of the process; empty where the dump has none.
    pub maps: MinidumpLinuxMaps<'a>,
    /// What the program has told of itself.
    pub annotations: BTreeMap<String, String>,
    names: MinidumpThreadNames,
}

impl<'a> Dump<'a> {
    pub fn of(minidump: &'a Minidump<'a, &'a [u8]>, length: usize) -> Result<Self, String> {
        if minidump.all_streams().any(|stream| !is_within(length, &stream.location)) {
            return Err(truncated(length));
        }
        let system: MinidumpSystemInfo = part(minidump, "system")?;
        if !matches!((system.os, system.cpu), (Os::Linux, Cpu::X86_64 | Cpu::Arm64)) {
            let (os, cpu) = (system.os, system.cpu);
            return Err(format!("a dump from {os} on {cpu}: only those from Linux on x86-64 and aarch64 can be shown"));
        }
        let threads: MinidumpThreadList<'_> = part(minidump, "thread")?;
        if threads.threads.iter().any(|thread| !is_within(length, &thread.raw.stack.memory)) {
            return Err(truncated(length));
        }
        let status: MinidumpLinuxProcStatus<'_> = minidump.get_stream().unwrap_or_default();
        let release: MinidumpLinuxLsbRelease<'_> = minidump.get_stream().unwrap_or_default();
        let value = |(_, value): (_, &LinuxOsStr)| value.to_string_lossy().trim_matches(['"', ' ', '\t']).to_owned();
        let pid = status.iter().find(|(key, _)| key.as_bytes() == b"Pid").map(value);
        let distribution = release.iter().find(|(key, _)| key.as_bytes() == b"PRETTY_NAME").map(value);
        Ok(Self {
            time: minidump.header.time_date_stamp,
            pid,
            distribution,
            system,
            modules: minidump.get_stream().unwrap_or_default(),
            threads,
            exception: part(minidump, "exception")?,
            memory: minidump.get_memory().unwrap_or_default(),
            maps: minidump.get_stream().unwrap_or_default(),
            annotations: minidump
                .get_stream::<MinidumpCrashpadInfo>()
                .map_or_else(|_| BTreeMap::new(), |of| of.simple_annotations),
            names: minidump.get_stream().unwrap_or_default(),
        })
    }

    /// A thread's id and, where it has one, its name.
    pub fn thread_name(&self, id: u32) -> String {
        match self.names.get_name(id) {
            Some(name) => format!("{id} {name:?}"),
            None => id.to_string(),
        }
    }
}

/// Reads the bytes of a minidump as far as its table of contents.
pub fn open(bytes: &[u8]) -> Result<Minidump<'_, &[u8]>, String> {
    Minidump::read(bytes).map_err(|error| match error {
        Error::MissingHeader | Error::HeaderMismatch if bytes.starts_with(b"{") => {
            "not a minidump but perhaps the record of one, which is text".to_owned()
        }
        Error::MissingHeader | Error::HeaderMismatch => "not a minidump".to_owned(),
        Error::VersionMismatch => "a minidump of an unknown version".to_owned(),
        _ => truncated(bytes.len()),
    })
}

fn part<'a, S: MinidumpStream<'a>>(minidump: &'a Minidump<'a, &'a [u8]>, what: &str) -> Result<S, String> {
    minidump.get_stream().map_err(|error| match error {
        Error::StreamNotFound => format!("this minidump holds no {what} information"),
        _ => format!("the {what} information of this minidump is damaged"),
    })
}

fn is_within(length: usize, part: &MINIDUMP_LOCATION_DESCRIPTOR) -> bool {
    u64::from(part.rva) + u64::from(part.data_size) <= length as u64
}

fn truncated(length: usize) -> String {
    format!("a truncated minidump: it ends after {length} bytes, before its last part")
}
