//! The address space in the terms of Windows (MINIDUMP_MEMORY_INFO_LIST), where what can be written can be read.

use minidump_writer::minidump_format::format::{MemoryProtection, MemoryState, MemoryType};
use minidump_writer::minidump_format::{MDMemoryInfo, MDMemoryInfoList, MDStreamType};
use procfs_core::process::{MMPermissions, MemoryMap};

use super::writer::DumpWriter;

/// minidump-writer has this stream too, but reads and parses all mappings once more for it.
pub(super) fn write(writer: &mut DumpWriter, maps: &[MemoryMap]) {
    let header = MDMemoryInfoList {
        size_of_header: size_of::<MDMemoryInfoList>() as u32,
        size_of_entry: size_of::<MDMemoryInfo>() as u32,
        number_of_entries: maps.len() as u64,
    };
    let location = writer.headed_list(header, maps.iter().map(memory_info));
    writer.add_stream(MDStreamType::MemoryInfoListStream, location);
}

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
