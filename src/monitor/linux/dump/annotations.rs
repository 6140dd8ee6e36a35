//! Annotations, as the stream that Crashpad writes and crash-report tools show.

use std::collections::BTreeMap;

use minidump_writer::mem_writer::{Buffer, MemoryArrayWriter, MemoryWriter};
use minidump_writer::minidump_format::format::{MINIDUMP_CRASHPAD_INFO, MINIDUMP_SIMPLE_STRING_DICTIONARY_ENTRY};
use minidump_writer::minidump_format::{GUID, MDLocationDescriptor, MDStreamType};

use super::builder::{Builder, Outcome, entry};

pub(super) fn write(builder: &mut Builder, annotations: &BTreeMap<String, String>) -> Outcome {
    let buffer = builder.buffer();
    let entries: Vec<_> = annotations
        .iter()
        .map(|(key, value)| MINIDUMP_SIMPLE_STRING_DICTIONARY_ENTRY {
            key: string(buffer, key),
            value: string(buffer, value),
        })
        .collect();
    let failed = |error: minidump_writer::mem_writer::MemoryWriterError| error.to_string();
    let count = MemoryWriter::<u32>::alloc_with_val(buffer, entries.len() as u32).map_err(failed)?;
    let list = MemoryArrayWriter::alloc_from_iter(buffer, entries).map_err(failed)?;
    let data_size = count.location().data_size + list.location().data_size;
    let nobody = GUID { data1: 0, data2: 0, data3: 0, data4: [0; 8] };
    let info = MINIDUMP_CRASHPAD_INFO {
        version: MINIDUMP_CRASHPAD_INFO::VERSION,
        report_id: nobody,
        client_id: nobody,
        simple_annotations: MDLocationDescriptor { data_size, rva: count.position },
        module_list: MDLocationDescriptor::default(),
    };
    let info = MemoryWriter::alloc_with_val(buffer, info).map_err(failed)?;
    Ok(entry(MDStreamType::CrashpadInfoStream, info.location()))
}

/// A MinidumpUTF8String: length, bytes, NUL. Gives where it is.
fn string(buffer: &mut Buffer, text: &str) -> u32 {
    let length = (text.len() as u32).to_le_bytes();
    MemoryArrayWriter::write_bytes(buffer, &[&length, text.as_bytes(), &[0]].concat()).position
}
