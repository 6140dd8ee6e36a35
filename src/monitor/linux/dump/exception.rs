//! The exception stream: the signal, the thread and its registers.

use minidump_writer::crash_context::CrashContext;
use minidump_writer::minidump_format::{MDException, MDRawExceptionStream, MDStreamType};

use super::threads::CrashSite;
use super::writer::DumpWriter;

/// The code of a dump of a process that has not crashed (Breakpad's minidump_exception_linux.h,
/// MD_EXCEPTION_CODE_LIN_DUMP_REQUESTED).
const DUMP_REQUESTED: u32 = 0xffff_ffff;

pub(super) fn write(writer: &mut DumpWriter, tid: i32, crash: Option<&CrashContext>, site: &CrashSite) {
    let exception_record = match crash {
        Some(crash) => MDException {
            exception_code: crash.siginfo.ssi_signo,
            exception_flags: crash.siginfo.ssi_code as u32,
            exception_address: crash.siginfo.ssi_addr,
            ..Default::default()
        },
        None => {
            MDException { exception_code: DUMP_REQUESTED, exception_address: site.instruction, ..Default::default() }
        }
    };
    let stream =
        MDRawExceptionStream { thread_id: tid as u32, exception_record, __align: 0, thread_context: site.registers };
    let location = writer.record(stream);
    writer.add_stream(MDStreamType::ExceptionStream, location);
}
