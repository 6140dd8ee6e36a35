//! The process's address space, read once and searched sorted.

use std::ops::Range;

use procfs_core::FromRead;
use procfs_core::process::{MMPermissions, MemoryMap, MemoryMaps};

/// An overflow's stack pointer lies in the guard below its stack: the kernel keeps 1 MiB below the main one
/// (`stack_guard_gap`), pthreads have a page by default.
const GUARD_MAX: u64 = 1024 * 1024;

/// The mappings by address.
pub(super) struct Maps {
    maps: Option<MemoryMaps>,
}

impl Maps {
    /// From the text of /proc/PID/maps, which lists them sorted; empty where there is none.
    pub(super) fn parse(text: Option<&Vec<u8>>) -> Self {
        // The parser accepts only UTF-8, and takes every path that starts with /SYSV for a shared memory segment's (proc(5)),
        // whose key it then expects. Neither kind of path can be a module's.
        let text = String::from_utf8_lossy(text.map_or(&[], Vec::as_slice));
        let unnamed = |line| match str::find(line, " /SYSV") {
            Some(at) => &line[..=at],
            None => line,
        };
        let lines: Vec<&str> = text.lines().map(unnamed).collect();
        Self { maps: MemoryMaps::from_read(lines.join("\n").as_bytes()).ok() }
    }

    /// In the form that minidump-writer aggregates modules from.
    pub(super) fn to_memory_maps(&self) -> Option<MemoryMaps> {
        self.maps.clone()
    }

    pub(super) fn sorted(&self) -> &[MemoryMap] {
        self.maps.as_ref().map_or(&[], |maps| &maps.0)
    }

    /// The first mapping that ends after `address`.
    fn at_or_after(&self, address: u64) -> Option<&MemoryMap> {
        self.sorted().get(self.sorted().partition_point(|map| map.address.1 <= address))
    }

    fn at(&self, address: u64) -> Option<&MemoryMap> {
        self.at_or_after(address).filter(|map| map.address.0 <= address)
    }

    /// The mapping that `address` lies in.
    pub(super) fn range_at(&self, address: u64) -> Option<Range<u64>> {
        self.at(address).map(|map| map.address.0..map.address.1)
    }

    /// The mapping that `address` lies in, if that can be executed.
    pub(super) fn code_at(&self, address: u64) -> Option<Range<u64>> {
        let map = self.at(address).filter(|map| map.perms.contains(MMPermissions::EXECUTE))?;
        Some(map.address.0..map.address.1)
    }

    /// Where the image of a file ends that begins at `start`: with the last of the mappings of this file that follow each
    /// other, also over gaps, as linkers leave them between segments.
    pub(super) fn image_end(&self, start: u64) -> Option<u64> {
        let first = self.sorted().partition_point(|map| map.address.0 < start);
        let (head, rest) = self.sorted()[first..].split_first()?;
        let same_image = |map: &&MemoryMap| map.pathname == head.pathname && map.offset > head.offset;
        rest.iter().take_while(same_image).last().map(|map| map.address.1)
    }

    /// The readable memory around `address`: at most `length` bytes before and after it.
    pub(super) fn around(&self, address: u64, length: u64) -> Option<(u64, u64)> {
        let map = self.at(address).filter(|map| readable(map))?;
        let start = address.saturating_sub(length).max(map.address.0);
        Some((start, address.saturating_add(length).min(map.address.1)))
    }

    /// The stack in use above `stack_pointer`, at most `limit` bytes of it; where that points into a guard, the stack
    /// above the guard. It ends below each of `ceilings` that lies in the same mapping.
    pub(super) fn stack(&self, stack_pointer: u64, limit: u64, ceilings: [Option<u64>; 2]) -> Option<(u64, u64)> {
        let first = self.sorted().partition_point(|map| map.address.1 <= stack_pointer);
        let map = self.sorted()[first..].iter().find(|map| readable(map))?;
        if map.address.0 > stack_pointer.saturating_add(GUARD_MAX) {
            return None;
        }
        let start = stack_pointer.max(map.address.0);
        let ceiling = ceilings.into_iter().flatten().filter(|ceiling| (start..map.address.1).contains(ceiling)).min();
        Some((start, ceiling.unwrap_or(map.address.1).min(start.saturating_add(limit))))
    }
}

fn readable(map: &MemoryMap) -> bool {
    map.perms.contains(MMPermissions::READ)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
10000-20000 rw-p 00000000 00:00 0 \n\
20000-30000 ---p 00000000 00:00 0 \n\
30000-40000 rw-p 00000000 00:00 0 \n";

    fn maps() -> Maps {
        Maps::parse(Some(&TEXT.as_bytes().to_vec()))
    }

    #[test]
    fn a_stack_reaches_to_the_end_of_its_mapping_or_the_limit() {
        assert_eq!(maps().stack(0x1ff00, 0x1000, [None; 2]), Some((0x1ff00, 0x20000)));
        assert_eq!(maps().stack(0x10000, 0x1000, [None; 2]), Some((0x10000, 0x11000)));
    }

    #[test]
    fn a_stack_ends_below_what_is_not_stack() {
        assert_eq!(maps().stack(0x1f000, 0x10000, [None, Some(0x1f800)]), Some((0x1f000, 0x1f800)));
        assert_eq!(maps().stack(0x1f000, 0x10000, [Some(0x38000), None]), Some((0x1f000, 0x20000)), "another mapping");
    }

    #[test]
    fn a_stack_pointer_in_a_guard_or_below_everything_means_the_stack_above() {
        assert_eq!(maps().stack(0x2fff0, 0x1000, [None; 2]), Some((0x30000, 0x31000)));
        assert_eq!(maps().stack(0x0fff0, 0x1000, [None; 2]), Some((0x10000, 0x11000)));
        assert_eq!(maps().stack(0x40000, 0x1000, [None; 2]), None);
    }

    #[test]
    fn a_stack_pointer_far_from_everything_has_no_stack() {
        let far = "7000000-7001000 rw-p 00000000 00:00 0 \n".as_bytes().to_vec();
        assert_eq!(Maps::parse(Some(&far)).stack(0x1000, 0x1000, [None; 2]), None);
        assert_eq!(Maps::parse(None).stack(0x1000, 0x1000, [None; 2]), None);
    }

    #[test]
    fn odd_paths_cost_no_mapping() {
        let text =
            b"10000-20000 rw-p 00000000 00:00 0 /SYSV\n20000-30000 rw-p 00000000 08:01 7 /\xff\xfe.so\n".to_vec();
        let maps = Maps::parse(Some(&text));
        assert_eq!(maps.stack(0x10000, 0x100, [None; 2]), Some((0x10000, 0x10100)));
        assert_eq!(maps.stack(0x20000, 0x100, [None; 2]), Some((0x20000, 0x20100)));
    }

    #[test]
    fn memory_around_an_address_ends_with_its_mapping() {
        assert_eq!(maps().around(0x10010, 0x80), Some((0x10000, 0x10090)));
        assert_eq!(maps().around(0x20010, 0x80), None);
        assert_eq!(maps().around(0, 0x80), None);
    }
}
