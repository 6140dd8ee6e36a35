//! What glibc has said before it called abort(3): a failed assertion, a smashed stack, a corrupt heap.
//!
//! It keeps the text for debuggers, behind its private symbol `__abort_msg` (assert/assert.c, sysdeps/posix/libc_fatal.c). All
//! that is read here comes from the process: every number is bounded, and what makes no sense is no text.

use minidump_writer::maps_reader::MappingInfo;
use minidump_writer::minidump_format::MDStreamType;
use minidump_writer::minidump_format::format::MINIDUMP_ASSERTION_INFO;

use super::process::StoppedProcess;
use super::writer::DumpWriter;

const SYMBOL: &[u8] = b"__abort_msg\0";
/// Most bytes of the text.
const TEXT_MAX: usize = 4096;
/// Most program headers and bytes of the dynamic section that are looked at: glibc has some 14, and 600.
const HEADERS_MAX: u16 = 64;
const DYNAMIC_MAX: u64 = 16 * 1024;
/// Most symbols with one hash.
const CHAIN_MAX: u32 = 256;
/// A kind of program header, and tags of the dynamic section (elf(5)).
const PT_DYNAMIC: u32 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

/// The text, where the process has glibc as a shared library and that has said something.
pub(super) fn read(process: &StoppedProcess, mappings: &[MappingInfo]) -> Option<String> {
    mappings.iter().filter(|mapping| is_glibc(mapping)).find_map(|mapping| {
        let library = Library::open(process, mapping.start_address as u64)?;
        let pointer = u64::from_le_bytes(library.read(library.symbol(SYMBOL)?)?);
        // struct abort_msg_s: the size of all of it, then the text and a NUL.
        let size = u32::from_le_bytes(library.read(pointer)?) as usize;
        let room = size.checked_sub(size_of::<u32>())?.min(TEXT_MAX);
        let bytes = process.read_memory(pointer.checked_add(size_of::<u32>() as u64)?, room).ok()?;
        let text = bytes.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text).trim_end().to_owned()).filter(|text| !text.is_empty())
    })
}

/// `libc.so.6`, or before glibc 2.34 what that name is a link to: `libc-2.31.so`.
fn is_glibc(mapping: &MappingInfo) -> bool {
    let name = mapping.name.as_deref().unwrap_or_default().to_string_lossy();
    let name = name.rsplit('/').next().unwrap_or_default();
    name == "libc.so.6" || (name.starts_with("libc-2.") && name.ends_with(".so"))
}

/// Writes the stream that assertions have; tools show its text as that of the assertion.
pub(super) fn write(writer: &mut DumpWriter, text: &str) {
    let mut info =
        MINIDUMP_ASSERTION_INFO { expression: [0; 128], function: [0; 128], file: [0; 128], line: 0, _type: 0 };
    let (_nul, room) = info.expression.split_last_mut().expect("it has 128 units");
    for (unit, value) in room.iter_mut().zip(text.encode_utf16()) {
        *unit = value;
    }
    let location = writer.record(info);
    writer.add_stream(MDStreamType::AssertionInfoStream, location);
}

/// A shared library's dynamic symbols, in the process's memory (elf(5), and the GNU hash table as binutils write it).
struct Library<'a> {
    process: &'a StoppedProcess,
    start: u64,
    symbols: u64,
    strings: u64,
    hash: u64,
}

impl<'a> Library<'a> {
    /// That of the file which is mapped from `start` on.
    fn open(process: &'a StoppedProcess, start: u64) -> Option<Self> {
        let mut library = Self { process, start, symbols: 0, strings: 0, hash: 0 };
        let header: [u8; 64] = library.read(start)?;
        let (headers, count) = (u64_at(&header, 32), u16_at(&header, 56).min(HEADERS_MAX));
        let mut headers =
            (0..u64::from(count)).map(|index| library.read::<56>(start.wrapping_add(headers).wrapping_add(index * 56)));
        let dynamic = headers.find_map(|header| header.filter(|header| u32_at(header, 0) == PT_DYNAMIC))?;
        drop(headers);
        let length = u64_at(&dynamic, 40).min(DYNAMIC_MAX) as usize;
        let entries = process.read_memory(library.address(u64_at(&dynamic, 16)), length).ok()?;
        let entry = |tag| {
            let entry = entries.chunks_exact(16).find(|entry| u64_at(entry, 0) == tag);
            entry.map(|entry| library.address(u64_at(entry, 8)))
        };
        let [strings, symbols, hash] = [DT_STRTAB, DT_SYMTAB, DT_GNU_HASH].map(entry);
        (library.strings, library.symbols, library.hash) = (strings?, symbols?, hash?);
        Some(library)
    }

    /// An address that the file states: the loader has added the library's own to some.
    fn address(&self, stated: u64) -> u64 {
        if stated < self.start { self.start.wrapping_add(stated) } else { stated }
    }

    /// The address of a symbol, whose name ends with a NUL.
    fn symbol(&self, name: &[u8]) -> Option<u64> {
        let hash = hash(&name[..name.len() - 1]);
        let header: [u8; 16] = self.read(self.hash)?;
        let [buckets, first, bloom] = [0, 4, 8].map(|at| u32_at(&header, at));
        let bucket_at = self.hash.wrapping_add(16 + 8 * u64::from(bloom));
        let chain_at = bucket_at.wrapping_add(4 * u64::from(buckets));
        let bucket = bucket_at.wrapping_add(4 * u64::from(hash.checked_rem(buckets)?));
        let start = u32::from_le_bytes(self.read(bucket)?);
        for index in start..start.checked_add(CHAIN_MAX)? {
            let entry = chain_at.wrapping_add(4 * u64::from(index.checked_sub(first)?));
            let entry = u32::from_le_bytes(self.read(entry)?);
            if entry | 1 == hash | 1 {
                let symbol: [u8; 24] = self.read(self.symbols.wrapping_add(24 * u64::from(index)))?;
                let name_at = self.strings.wrapping_add(u32_at(&symbol, 0).into());
                if self.process.read_memory(name_at, name.len()).ok()? == name {
                    return Some(self.start.wrapping_add(u64_at(&symbol, 8)));
                }
            }
            // The last of those with this hash.
            if entry & 1 != 0 {
                return None;
            }
        }
        None
    }

    fn read<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        self.process.read_memory(address, N).ok()?.try_into().ok()
    }
}

fn hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add((*byte).into()))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
