//! The module list: the ELF files that the process has mapped, the executable first, each with its build id.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use minidump_writer::maps_reader::MappingInfo;
use minidump_writer::minidump_format::format::CvSignature;
use minidump_writer::minidump_format::{MDLocationDescriptor, MDRawModule, MDStreamType};
use minidump_writer::module_reader;

use super::maps::Maps;
use super::module_memory::ModuleMemory;
use super::process::StoppedProcess;
use super::writer::DumpWriter;

/// Entries of the auxiliary vector (getauxval(3)).
const AT_ENTRY: u64 = 9;
const AT_SYSINFO_EHDR: u64 = 33;

/// The mappings as modules see them, the executable's first: readers take the first module for it, and it is the one
/// with the entry point.
pub(super) fn mappings(auxv: &[u8], maps: &Maps) -> Result<Vec<MappingInfo>, String> {
    let auxv = AuxiliaryVector(auxv);
    let maps = maps.to_memory_maps().ok_or("the address space is unknown")?;
    let mut mappings = MappingInfo::aggregate(maps, auxv.get(AT_SYSINFO_EHDR)).map_err(|error| error.to_string())?;
    if let Some(entry) = auxv.get(AT_ENTRY)
        && let Some(main) = mappings.iter().position(|mapping| mapping.contains_address(entry as usize))
    {
        mappings[..=main].rotate_right(1);
    }
    Ok(mappings)
}

/// Writes the list; gives the executable's build id in hexadecimal.
pub(super) fn write(
    writer: &mut DumpWriter,
    process: &StoppedProcess,
    maps: &Maps,
    mappings: &[MappingInfo],
) -> Option<String> {
    let mut modules = Vec::new();
    let mut executable_build_id = None;
    for mapping in mappings.iter().filter(|mapping| mapping.is_interesting()) {
        if let Some(memory) = module_memory(process, mapping) {
            let (mut module, build_id) = write_module(writer, memory, mapping, &name(process, maps, mapping));
            let end = maps.image_end(module.base_of_image).unwrap_or(0);
            module.size_of_image = module.size_of_image.max(end.saturating_sub(module.base_of_image) as u32);
            if modules.is_empty() {
                executable_build_id = build_id;
            }
            modules.push(module);
        }
    }
    let location = writer.list(modules);
    writer.add_stream(MDStreamType::ModuleListStream, location);
    executable_build_id
}

/// Memory of a device may block or act when it is read.
fn safe_to_read(mapping: &MappingInfo) -> bool {
    !mapping.name.as_deref().unwrap_or(OsStr::new("")).as_bytes().starts_with(b"/dev/")
}

/// The memory of a module, where the mapping is one's; an error for a file that was truncated, which has no header any more, but
/// code was mapped from it.
fn module_memory<'a>(process: &'a StoppedProcess, mapping: &MappingInfo) -> Option<io::Result<ModuleMemory<'a>>> {
    if !safe_to_read(mapping) {
        return None;
    }
    let memory = ModuleMemory::at(process, mapping.start_address as u64);
    let is_module = match &memory {
        Ok(memory) => memory.is_elf(),
        Err(_) => {
            mapping.is_executable() && mapping.name.as_deref().is_some_and(|name| name.as_bytes().starts_with(b"/"))
        }
    };
    is_module.then_some(memory)
}

/// A module's name: the path of its file. In /proc/PID/maps a newline is the four characters `\012` (fs/proc/task_mmu.c,
/// get_vma_name), which a name may hold too, and the parser drops blanks at the end. A link has the path as it is.
fn name(process: &StoppedProcess, maps: &Maps, mapping: &MappingInfo) -> String {
    let listed = mapping.name.as_deref().unwrap_or_default().to_string_lossy();
    let range = maps.range_at(mapping.start_address as u64).filter(|_| listed.starts_with('/'));
    match range.and_then(|range| process.mapped_file(&range)) {
        Some(path) => path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned(),
        None => listed.replace("\\012", "\n"),
    }
}

/// Writes what the module's entry points to; gives the entry, and the build id in hexadecimal.
fn write_module(
    writer: &mut DumpWriter,
    memory: io::Result<ModuleMemory<'_>>,
    mapping: &MappingInfo,
    name: &str,
) -> (MDRawModule, Option<String>) {
    let build_id = memory
        .map_err(|error| error.to_string())
        .and_then(|memory| module_reader::read_build_id_from_module(&memory).map_err(|error| error.to_string()));
    let build_id = build_id.inspect_err(|error| writer.note(format!("module {name}: no build id: {error}"))).ok();
    let cv_record = build_id.as_deref().map(|id| write_build_id(writer, id)).unwrap_or_default();
    let module = MDRawModule {
        base_of_image: mapping.start_address as u64,
        size_of_image: mapping.size as u32,
        cv_record,
        module_name_rva: writer.string(name),
        ..Default::default()
    };
    (module, build_id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// The record in which ELF build ids stand in a minidump: Breakpad's signature "BpEL", then the id.
fn write_build_id(writer: &mut DumpWriter, build_id: &[u8]) -> MDLocationDescriptor {
    let signature = (CvSignature::Elf as u32).to_le_bytes();
    writer.raw(&[&signature, build_id].concat())
}

/// /proc/PID/auxv: pairs of native words (proc(5)).
struct AuxiliaryVector<'a>(&'a [u8]);

impl AuxiliaryVector<'_> {
    fn get(&self, entry: u64) -> Option<u64> {
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).ok();
        let pair = self.0.chunks_exact(16).find(|pair| word(&pair[..8]) == Some(entry))?;
        word(&pair[8..])
    }
}
