//! Annotations, as the stream that Crashpad writes and crash-report tools show.

use std::collections::BTreeMap;

use minidump_writer::minidump_format::format::{MINIDUMP_CRASHPAD_INFO, MINIDUMP_SIMPLE_STRING_DICTIONARY_ENTRY};
use minidump_writer::minidump_format::{GUID, MDLocationDescriptor, MDStreamType};

use super::writer::DumpWriter;

pub(super) fn write(writer: &mut DumpWriter, annotations: &BTreeMap<String, String>) {
    let entries: Vec<_> = annotations
        .iter()
        .map(|(key, value)| MINIDUMP_SIMPLE_STRING_DICTIONARY_ENTRY {
            key: string(writer, key),
            value: string(writer, value),
        })
        .collect();
    let no_id = GUID { data1: 0, data2: 0, data3: 0, data4: [0; 8] };
    let info = MINIDUMP_CRASHPAD_INFO {
        version: MINIDUMP_CRASHPAD_INFO::VERSION,
        report_id: no_id,
        client_id: no_id,
        simple_annotations: writer.list(entries),
        module_list: MDLocationDescriptor::default(),
    };
    let location = writer.record(info);
    writer.add_stream(MDStreamType::CrashpadInfoStream, location);
}

/// A MinidumpUTF8String: length, bytes, NUL. Gives where it is.
fn string(writer: &mut DumpWriter, text: &str) -> u32 {
    let length = writer.record(text.len() as u32);
    writer.raw(text.as_bytes());
    writer.raw(&[0]);
    length.rva
}
