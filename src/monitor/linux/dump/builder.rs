//! A dump under construction.

use error_graph::strategy::DontCare;
use minidump_writer::CrashContextExt;
use minidump_writer::maps_reader::MappingInfo;
use minidump_writer::mem_writer::{Buffer, MemoryArrayWriter, MemoryWriter};
use minidump_writer::minidump_format::format::{MemoryProtection, MemoryState, MemoryType};
use minidump_writer::minidump_format::{
    MD_HEADER_SIGNATURE, MD_HEADER_VERSION, MDLocationDescriptor, MDMemoryDescriptor, MDMemoryInfo, MDMemoryInfoList,
    MDRawDirectory, MDRawHeader, MDRawModule, MDRawThread, MDStreamType,
};
use minidump_writer::minidump_writer::{
    CrashingThreadContext, MinidumpWriter, MinidumpWriterConfig, Thread, systeminfo_stream,
};

use procfs_core::process::{MMPermissions, MemoryMap};

use super::target::Target;

/// What writing a stream gives: its directory entry, or why there is none.
pub(super) type Outcome = Result<MDRawDirectory, String>;

/// No process has this id: the kernel's largest is 2^22 (proc(5), pid_max).
const NOBODY: i32 = i32::MAX;

/// The bytes so far, the streams in them, and what could not be had.
pub(super) struct Builder {
    buffer: Buffer,
    header: MemoryWriter<MDRawHeader>,
    directory: Vec<MDRawDirectory>,
    missing: Vec<String>,
    /// minidump-writer's writer, for its streams. It was made for a process that does not exist, so it has stopped
    /// nobody, and is told here what to write.
    writer: MinidumpWriter,
    /// In hexadecimal, as tools print it.
    pub executable_build_id: Option<String>,
}

impl Builder {
    pub(super) fn new(
        pid: i32,
        tid: i32,
        context: Option<CrashContextExt>,
        missing: Vec<String>,
    ) -> Result<Self, String> {
        let mut writer =
            MinidumpWriterConfig::new(NOBODY, tid).build_for_testing(DontCare).map_err(|error| error.to_string())?;
        writer.process_id = pid;
        writer.crash_context = context;
        let mut buffer = Buffer::with_capacity(64 * 1024);
        let header = MemoryWriter::alloc(&mut buffer).map_err(|error| error.to_string())?;
        Ok(Self { buffer, header, directory: Vec::new(), missing, writer, executable_build_id: None })
    }

    /// Adds a stream, or notes why it is not there: one that fails never costs the dump.
    pub(super) fn add(&mut self, name: &str, stream: impl FnOnce(&mut Self) -> Outcome) {
        match stream(self) {
            Ok(entry) => self.directory.push(entry),
            Err(error) => self.note(format!("{name}: {error}")),
        }
    }

    pub(super) fn note(&mut self, missing: String) {
        self.missing.push(missing);
    }

    pub(super) fn buffer(&mut self) -> &mut Buffer {
        &mut self.buffer
    }

    pub(super) fn crashing_thread(&self) -> i32 {
        self.writer.blamed_thread
    }

    pub(super) fn crash_context(&self) -> Option<&CrashContextExt> {
        self.writer.crash_context.as_ref()
    }

    /// The registers that the exception stream points to, and their instruction pointer.
    pub(super) fn set_crashing_registers(&mut self, location: MDLocationDescriptor, instruction: usize) {
        self.writer.crashing_thread_context = CrashingThreadContext::CrashContextPlusAddress((location, instruction));
    }

    /// The address space, and whether stacks are to be sanitized by it.
    pub(super) fn set_mappings(&mut self, mappings: Result<Vec<MappingInfo>, String>, sanitize: bool) {
        match mappings {
            Ok(mappings) => self.writer.mappings = mappings,
            Err(error) => self.note(format!("mappings: {error}")),
        }
        self.writer.sanitize_stack = sanitize;
    }

    pub(super) fn mappings(&self) -> &[MappingInfo] {
        &self.writer.mappings
    }

    /// Copies a stack into the dump, from `start` on, sanitized where that is asked for.
    pub(super) fn stack(
        &mut self,
        target: &Target,
        pointer: u64,
        start: u64,
        end: u64,
    ) -> Result<MDMemoryDescriptor, String> {
        let mut bytes =
            target.read_memory(start as usize, (end - start) as usize).map_err(|error| error.to_string())?;
        if self.writer.sanitize_stack {
            let used = (pointer.saturating_sub(start) as usize).min(bytes.len());
            let sanitized = self.writer.sanitize_stack_copy(&mut bytes, pointer.max(start) as usize, used);
            // What cannot be sanitized is not to be in the dump.
            sanitized.map_err(|error| error.to_string())?;
        }
        Ok(self.put(start, &bytes))
    }

    /// Copies memory into the dump.
    pub(super) fn memory(&mut self, target: &Target, start: u64, end: u64) -> std::io::Result<MDMemoryDescriptor> {
        let bytes = target.read_memory(start as usize, (end - start) as usize)?;
        Ok(self.put(start, &bytes))
    }

    fn put(&mut self, start: u64, bytes: &[u8]) -> MDMemoryDescriptor {
        let memory = MemoryArrayWriter::write_bytes(&mut self.buffer, bytes).location();
        let descriptor = MDMemoryDescriptor { start_of_memory_range: start, memory };
        self.writer.memory_blocks.push(descriptor);
        descriptor
    }

    pub(super) fn raw(&mut self, kind: MDStreamType, bytes: &[u8]) -> MDRawDirectory {
        entry(kind, MemoryArrayWriter::write_bytes(&mut self.buffer, bytes).location())
    }

    pub(super) fn file(&mut self, kind: MDStreamType, path: &str) -> Outcome {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        Ok(self.raw(kind, &bytes))
    }

    /// A stream that is a count and that many entries.
    pub(super) fn list<T: Entry>(&mut self, kind: MDStreamType, entries: Vec<T>) -> Outcome {
        let count = MemoryWriter::<u32>::alloc_with_val(&mut self.buffer, entries.len() as u32);
        let mut location = count.map_err(|error| error.to_string())?.location();
        location.data_size += T::write_all(&mut self.buffer, entries)?.data_size;
        Ok(entry(kind, location))
    }

    pub(super) fn memory_list(&mut self) -> Outcome {
        self.writer.write_memory_list_stream(&mut self.buffer).map_err(|error| error.to_string())
    }

    pub(super) fn exception(&mut self) -> Outcome {
        self.writer.write_exception_stream(&mut self.buffer).map_err(|error| error.to_string())
    }

    pub(super) fn system_info(&mut self) -> Outcome {
        systeminfo_stream::write(&self.writer.process_inspector, &mut self.buffer, DontCare)
            .map_err(|error| error.to_string())
    }

    /// minidump-writer has this stream too, but reads and parses all mappings once more for it.
    pub(super) fn memory_info(&mut self, maps: &[MemoryMap]) -> Outcome {
        let header = MDMemoryInfoList {
            size_of_header: size_of::<MDMemoryInfoList>() as u32,
            size_of_entry: size_of::<MDMemoryInfo>() as u32,
            number_of_entries: maps.len() as u64,
        };
        let header = MemoryWriter::alloc_with_val(&mut self.buffer, header).map_err(|error| error.to_string())?;
        let entries = MemoryArrayWriter::alloc_from_iter(&mut self.buffer, maps.iter().map(memory_info));
        let mut location = header.location();
        location.data_size += entries.map_err(|error| error.to_string())?.location().data_size;
        Ok(entry(MDStreamType::MemoryInfoListStream, location))
    }

    pub(super) fn thread_names(&mut self, threads: impl Iterator<Item = (i32, Option<String>)>) -> Outcome {
        // Its stream leaves a gap where a thread has no name.
        let named = threads.filter(|(_, name)| name.is_some());
        self.writer.threads = named.map(|(tid, name)| Thread { tid, name }).collect();
        let stream = self.writer.write_thread_names_stream(&mut self.buffer);
        // The writer detaches from the threads that it knows when it is dropped, before the dump is visible.
        self.writer.threads.clear();
        stream.map_err(|error| error.to_string())
    }

    /// What is missing in the dump so far.
    pub(super) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The whole dump.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, String> {
        let errors = serde_json::to_vec(&self.missing).map_err(|error| error.to_string())?;
        let errors = self.raw(MDStreamType::MozSoftErrors, &errors);
        self.directory.push(errors);
        let seconds = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let directory = MemoryArrayWriter::alloc_from_iter(&mut self.buffer, self.directory.iter().cloned())
            .map_err(|error| error.to_string())?;
        let header = MDRawHeader {
            signature: MD_HEADER_SIGNATURE,
            version: MD_HEADER_VERSION,
            stream_count: self.directory.len() as u32,
            stream_directory_rva: directory.position,
            checksum: 0,
            time_date_stamp: seconds as u32,
            flags: 0,
        };
        self.header.set_value(&mut self.buffer, header).map_err(|error| error.to_string())?;
        Ok(self.buffer.into())
    }
}

/// A mapping in the terms of Windows (MINIDUMP_MEMORY_INFO), where what can be written can be read.
fn memory_info(map: &MemoryMap) -> MDMemoryInfo {
    let has = |permission| map.perms.contains(permission);
    let protection = match (has(MMPermissions::READ), has(MMPermissions::WRITE), has(MMPermissions::EXECUTE)) {
        (false, false, false) => MemoryProtection::PAGE_NOACCESS,
        (false, false, true) => MemoryProtection::PAGE_EXECUTE,
        (true, false, false) => MemoryProtection::PAGE_READONLY,
        (true, false, true) => MemoryProtection::PAGE_EXECUTE_READ,
        (_, true, false) => MemoryProtection::PAGE_READWRITE,
        (_, true, true) => MemoryProtection::PAGE_EXECUTE_READWRITE,
    };
    let private = has(MMPermissions::PRIVATE);
    MDMemoryInfo {
        base_address: map.address.0,
        allocation_base: map.address.0,
        allocation_protection: protection.bits(),
        __alignment1: 0,
        region_size: map.address.1 - map.address.0,
        state: MemoryState::MEM_COMMIT.bits(),
        protection: protection.bits(),
        _type: if private { MemoryType::MEM_PRIVATE } else { MemoryType::MEM_MAPPED }.bits(),
        __alignment2: 0,
    }
}

pub(super) fn entry(kind: MDStreamType, location: MDLocationDescriptor) -> MDRawDirectory {
    MDRawDirectory { stream_type: kind as u32, location }
}

/// What lists are made of.
pub(super) trait Entry: Sized {
    fn write_all(buffer: &mut Buffer, entries: Vec<Self>) -> Result<MDLocationDescriptor, String>;
}

macro_rules! entries {
    ($($entry:ty),*) => {$(
        impl Entry for $entry {
            fn write_all(buffer: &mut Buffer, entries: Vec<Self>) -> Result<MDLocationDescriptor, String> {
                let written = MemoryArrayWriter::alloc_from_iter(buffer, entries);
                Ok(written.map_err(|error| error.to_string())?.location())
            }
        }
    )*};
}

entries!(MDRawThread, MDRawModule);
