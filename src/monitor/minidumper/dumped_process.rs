//! Which process and thread a minidump is of: minidumper's server does not say.

use minidump_writer::minidump_format::MDStreamType;

/// Offset of `ProcessId` in `MINIDUMP_MISC_INFO` (minidumpapiset.h).
const PROCESS_ID: usize = 8;

/// The process id in a minidump.
pub(super) fn id(dump: &[u8]) -> Option<u32> {
    let of_misc_info = || number(stream(dump, MDStreamType::MiscInfoStream)?, PROCESS_ID);
    // Linux's writer has no such stream, but a copy of /proc/PID/status (proc(5)).
    let of_proc_status = || {
        let status = std::str::from_utf8(stream(dump, MDStreamType::LinuxProcStatus)?).ok()?;
        status.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
    };
    of_misc_info().or_else(of_proc_status)
}

/// The crashed thread and the code of its exception: at 0 and 8 of `MINIDUMP_EXCEPTION_STREAM` (minidumpapiset.h).
pub(super) fn exception(dump: &[u8]) -> Option<(u32, u32)> {
    let stream = stream(dump, MDStreamType::ExceptionStream)?;
    Some((number(stream, 0)?, number(stream, 8)?))
}

/// A stream's bytes: `MINIDUMP_HEADER` has at 8 how many there are and at 12 where their directory is, each of whose
/// entries of 12 bytes has type, length and offset (minidumpapiset.h).
fn stream(dump: &[u8], wanted: MDStreamType) -> Option<&[u8]> {
    let (count, directory) = (number(dump, 8)?, number(dump, 12)? as usize);
    let entry = |index: u32| dump.get(directory.checked_add((index as usize).checked_mul(12)?)?..);
    let found = (0..count).map_while(entry).find(|entry| number(entry, 0) == Some(wanted as u32))?;
    let (length, offset) = (number(found, 4)? as usize, number(found, 8)? as usize);
    dump.get(offset..offset.checked_add(length)?)
}

fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dump with one stream.
    fn dump(kind: MDStreamType, contents: &[u8]) -> Vec<u8> {
        let numbers = [0x504d_444d, 0xa793, 1, 32, 0, 0, 0, 0, kind as u32, contents.len() as u32, 44];
        let header = numbers.iter().flat_map(|number: &u32| number.to_le_bytes());
        header.chain(contents.iter().copied()).collect()
    }

    #[test]
    fn both_streams_tell_the_process() {
        let misc: Vec<u8> = [24_u32, 1, 4242, 0, 0, 0].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(id(&dump(MDStreamType::MiscInfoStream, &misc)), Some(4242));
        let status = b"Name:\tapp\nTgid:\t17\nPid:\t17\nPPid:\t1\n";
        assert_eq!(id(&dump(MDStreamType::LinuxProcStatus, status)), Some(17));
    }

    #[test]
    fn the_exceptions_thread_and_code_are_found() {
        let stream: Vec<u8> = [17_u32, 0, 11, 0].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(exception(&dump(MDStreamType::ExceptionStream, &stream)), Some((17, 11)));
        assert_eq!(exception(&dump(MDStreamType::MiscInfoStream, &stream)), None);
    }

    #[test]
    fn a_dump_cut_anywhere_is_of_no_process() {
        let whole = dump(MDStreamType::LinuxProcStatus, b"Pid:\t17\n");
        for length in 0..whole.len() {
            assert_eq!(id(&whole[..length]), None, "cut at {length}");
        }
        let mut lies = whole;
        lies[12..16].fill(0xff);
        assert_eq!(id(&lies), None);
    }
}
