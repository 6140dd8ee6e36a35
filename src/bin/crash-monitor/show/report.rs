//! What is printed of a dump.

use std::collections::BTreeMap;
use std::path::Path;

use minidump::CrashReason;
use minidump::system_info::Cpu;
use time::OffsetDateTime;

use super::dump::{self, Dump};
use super::symbols::Symbols;
use super::{frames, one_line, stack};

/// The exception code of a dump that was asked for, by Breakpad's convention.
const REQUESTED: u32 = u32::MAX;
/// The `si_code` of a signal from kill(2), and that of a fault without further information (sigaction(2)).
const SI_USER: u32 = 0;
const SI_KERNEL: u32 = 0x80;

/// The text for the dump at `path`, or why there is none.
pub fn of_file(path: &Path, all_threads: bool) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let minidump = dump::open(&bytes)?;
    let dump = Dump::of(&minidump, bytes.len())?;
    let symbols = Symbols::load(&dump);

    let mut text = summary(&dump, path);
    let mut missing = BTreeMap::new();
    let crashed = dump.exception.get_crashing_thread_id();
    let others = dump.threads.threads.iter().filter(|thread| all_threads && thread.raw.thread_id != crashed);
    if dump.threads.get_thread(crashed).is_none() {
        text += "\nThe dump does not hold the thread's stack.\n";
    }
    for thread in dump.threads.get_thread(crashed).into_iter().chain(others) {
        let id = thread.raw.thread_id;
        let stack = stack::walk(&dump, thread, id == crashed, &symbols);
        let what = if id == crashed && !requested(&dump) { " crashed" } else { "" };
        text += &format!("\nThread {}{what}:\n{}", dump.thread_name(id), frames::lines(&stack.frames));
        if let Some(size) = stack.cut_at {
            text += &format!("  ... the dump holds only these {} KiB of the stack\n", size.div_ceil(1024));
        }
        for module in stack.frames.iter().filter_map(|frame| frame.module.as_ref()) {
            missing.extend(symbols.missing(module).map(|why| (module.name.clone(), why)));
        }
    }
    if !missing.is_empty() {
        text += "\nNo names from:\n";
        text.extend(missing.iter().map(|(module, why)| format!("  {}: {why}\n", one_line(module))));
    }
    // Names come from the process that crashed: they shall not command the terminal.
    Ok(text.replace(|c: char| c.is_control() && c != '\n', "?"))
}

fn summary(dump: &Dump<'_>, path: &Path) -> String {
    let unknown = || "unknown".to_owned();
    let mut process = dump.pid.clone().unwrap_or_else(unknown);
    if let Some(program) = dump.modules.main_module() {
        process += &format!(" {}", one_line(&program.name));
    }
    let time = OffsetDateTime::from_unix_timestamp(dump.time.into()).map_or_else(
        |_| unknown(),
        |time| {
            let (hour, minute, second) = time.to_hms();
            format!("{} {hour:02}:{minute:02}:{second:02} UTC", time.date())
        },
    );
    let cpu = if dump.system.cpu == Cpu::Arm64 { "aarch64" } else { "x86-64" };
    let (kernel, _) = dump.system.os_parts();
    let distribution = dump.distribution.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
    let thread = dump.thread_name(dump.exception.get_crashing_thread_id());
    let mut rows = vec![
        ("Dump", path.display().to_string()),
        ("Process", process),
        ("Time", time),
        ("System", format!("{distribution}Linux {kernel}, {cpu}")),
        ("Signal", signal(dump)),
    ];
    rows.extend(address(dump).map(|address| ("Address", address)));
    rows.push(("Thread", thread));
    rows.extend(
        dump.annotations.iter().map(|(key, value)| ("Note", format!("{key}: {}", value.replace('\n', "\n         ")))),
    );
    rows.into_iter().map(|(name, value)| format!("{name:<9}{value}\n")).collect()
}

/// Whether the program asked for the dump, without a crash.
fn requested(dump: &Dump<'_>) -> bool {
    dump.exception.raw.exception_record.exception_code == REQUESTED
}

/// The signal and what its `si_code` says.
fn signal(dump: &Dump<'_>) -> String {
    let reason = dump.exception.get_crash_reason(dump.system.os, dump.system.cpu);
    match reason {
        _ if requested(dump) => "none: a dump on demand, or of a process that fell silent".to_owned(),
        CrashReason::LinuxGeneral(_, SI_USER) => format!("{reason} / SI_USER"),
        _ => reason.to_string(),
    }
}

/// The address of the fault, where the signal is about one.
fn address(dump: &Dump<'_>) -> Option<String> {
    let record = &dump.exception.raw.exception_record;
    match dump.exception.get_crash_reason(dump.system.os, dump.system.cpu) {
        CrashReason::LinuxSigsegv(_)
        | CrashReason::LinuxSigbus(_)
        | CrashReason::LinuxSigill(_)
        | CrashReason::LinuxSigfpe(_)
        | CrashReason::LinuxSigtrap(_) => Some(format!("{:#018x}", record.exception_address)),
        CrashReason::LinuxGeneral(_, SI_KERNEL) if record.exception_code == libc::SIGSEGV as u32 => {
            Some("unknown: a general protection fault, such as for an address that is not canonical".to_owned())
        }
        _ => None,
    }
}
