//! The bytes of a dump under construction, in the layout of Microsoft's minidumpapiset.h as minidump-common has it.

use std::fmt::Display;

use minidump_writer::minidump_format::{
    MD_HEADER_SIGNATURE, MD_HEADER_VERSION, MDLocationDescriptor, MDMemoryDescriptor, MDRawDirectory, MDRawHeader,
    MDStreamType,
};
use scroll::ctx::{SizeWith, TryIntoCtx};
use scroll::{Endian, LE, Pwrite};

/// Streams begin at multiples of this, as their numbers need it.
const ALIGNMENT: usize = 8;

/// The bytes so far, the streams in them, and what could not be read.
pub(super) struct DumpWriter {
    pub bytes: Vec<u8>,
    directory: Vec<MDRawDirectory>,
    /// Every piece of memory that is in the dump.
    memory: Vec<MDMemoryDescriptor>,
    missing: Vec<String>,
}

/// A structure of the minidump format.
pub(super) trait Record: TryIntoCtx<Endian, Error = scroll::Error> + SizeWith<Endian> {}

impl<T: TryIntoCtx<Endian, Error = scroll::Error> + SizeWith<Endian>> Record for T {}

impl DumpWriter {
    /// Leaves room for the header, which is filled in at the end.
    pub(super) fn new(missing: Vec<String>) -> Self {
        let bytes = vec![0; MDRawHeader::size_with(&LE)];
        Self { bytes, directory: Vec::new(), memory: Vec::new(), missing }
    }

    /// Notes what is not in the dump, and why. The rest is written all the same.
    pub(super) fn note(&mut self, missing: String) {
        self.missing.push(missing);
    }

    pub(super) fn record<T: Record>(&mut self, record: T) -> MDLocationDescriptor {
        self.align();
        self.append(record)
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    fn append<T: Record>(&mut self, record: T) -> MDLocationDescriptor {
        let (start, size) = (self.bytes.len(), T::size_with(&LE));
        self.bytes.resize(start + size, 0);
        self.bytes.pwrite_with(record, start, LE).expect("there is room for it");
        MDLocationDescriptor { data_size: size as u32, rva: start as u32 }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> MDLocationDescriptor {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        MDLocationDescriptor { data_size: bytes.len() as u32, rva: start as u32 }
    }

    /// A MINIDUMP_STRING: length in bytes, UTF-16, NUL. Gives where it is.
    pub(super) fn string(&mut self, text: &str) -> u32 {
        let mut units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = self.record(units.len() as u32);
        units.extend([0; 2]);
        self.raw(&units);
        length.rva
    }

    /// A count and that many records.
    pub(super) fn list<T: Record>(&mut self, records: Vec<T>) -> MDLocationDescriptor {
        let mut location = self.record(records.len() as u32);
        for record in records {
            location.data_size += self.append(record).data_size;
        }
        location
    }

    /// A header that says how many records follow, and the records.
    pub(super) fn headed_list<H: Record, T: Record>(
        &mut self,
        header: H,
        records: impl Iterator<Item = T>,
    ) -> MDLocationDescriptor {
        let mut location = self.record(header);
        for record in records {
            location.data_size += self.append(record).data_size;
        }
        location
    }

    /// Enters memory of the process in the list of what the dump has.
    pub(super) fn add_memory(&mut self, start: u64, location: MDLocationDescriptor) -> MDMemoryDescriptor {
        let descriptor = MDMemoryDescriptor { start_of_memory_range: start, memory: location };
        self.memory.push(descriptor);
        descriptor
    }

    /// Enters a stream in the directory.
    pub(super) fn add_stream(&mut self, kind: MDStreamType, location: MDLocationDescriptor) {
        self.directory.push(MDRawDirectory { stream_type: kind as u32, location });
    }

    /// A stream that is bytes as they are; or a note of why there are none.
    pub(super) fn add_raw<E: Display>(&mut self, name: &str, kind: MDStreamType, bytes: Result<&[u8], E>) {
        match bytes {
            Ok(bytes) => {
                self.align();
                let location = self.raw(bytes);
                self.add_stream(kind, location);
            }
            Err(error) => self.note(format!("{name}: {error}")),
        }
    }

    /// The list of all memory in the dump.
    pub(super) fn add_memory_list(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let location = self.list(memory);
        self.add_stream(MDStreamType::MemoryListStream, location);
    }

    /// The whole dump, and what is missing in it.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<String>) {
        let errors = serde_json::to_vec(&self.missing);
        self.add_raw("missing", MDStreamType::MozSoftErrors, errors.as_deref());
        let seconds = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        self.align();
        let header = MDRawHeader {
            signature: MD_HEADER_SIGNATURE,
            version: MD_HEADER_VERSION,
            stream_count: self.directory.len() as u32,
            stream_directory_rva: self.bytes.len() as u32,
            checksum: 0,
            time_date_stamp: seconds as u32,
            flags: 0,
        };
        for entry in std::mem::take(&mut self.directory) {
            self.append(entry);
        }
        self.bytes.pwrite_with(header, 0, LE).expect("its room was made first");
        (self.bytes, self.missing)
    }
}
