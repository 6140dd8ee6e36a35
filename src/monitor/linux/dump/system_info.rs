//! The machine and its operating system. They do not change while a monitor runs, so they are read once for all dumps.

use minidump_writer::minidump_format::format::CPU_INFORMATION;
use minidump_writer::minidump_format::{MDCPUArchitecture, MDRawSystemInfo, MDStreamType, PlatformId};

use super::writer::DumpWriter;
use crate::monitor::linux::process_info;

/// The machine's processors and operating system.
pub(in crate::monitor) struct SystemInfo {
    /// As `uname -srvm` shows it.
    version: String,
    /// The files' text, or why there is none.
    cpuinfo: Result<Vec<u8>, String>,
    os_release: Result<Vec<u8>, String>,
}

impl SystemInfo {
    /// Reads it. /proc/cpuinfo alone takes some 0.1 ms: each processor is asked for its frequency.
    pub(in crate::monitor) fn read() -> Self {
        let read = |path: &str| process_info::read(path).map_err(|error| error.to_string());
        let uname = rustix::system::uname();
        let words = [uname.sysname(), uname.release(), uname.version(), uname.machine()];
        Self {
            version: words.map(|word| word.to_string_lossy()).join(" "),
            cpuinfo: read("/proc/cpuinfo"),
            os_release: read("/etc/os-release"),
        }
    }

    pub(super) fn write(&self, writer: &mut DumpWriter) {
        let cpuinfo = self.cpuinfo.as_deref().unwrap_or_default();
        let info = MDRawSystemInfo { csd_version_rva: writer.string(&self.version), ..system_info(cpuinfo) };
        let location = writer.record(info);
        writer.add_stream(MDStreamType::SystemInfoStream, location);
        writer.add_raw("cpuinfo", MDStreamType::LinuxCpuInfo, self.cpuinfo.as_deref());
        writer.add_raw("os-release", MDStreamType::LinuxLsbRelease, self.os_release.as_deref());
    }
}

fn system_info(cpuinfo: &[u8]) -> MDRawSystemInfo {
    let fields = CpuInfo(String::from_utf8_lossy(cpuinfo).into_owned());
    // The highest number is the last one's.
    let processors = fields.last("processor").map_or(0, |last| last.saturating_add(1));
    let Processor { architecture, level, revision, cpu } = processor(&fields);
    MDRawSystemInfo {
        processor_architecture: architecture as u16,
        processor_level: level as u16,
        processor_revision: revision as u16,
        number_of_processors: u8::try_from(processors).unwrap_or(u8::MAX),
        product_type: 0,
        major_version: 0,
        minor_version: 0,
        build_number: 0,
        platform_id: PlatformId::Linux as u32,
        csd_version_rva: 0,
        suite_mask: 0,
        reserved2: 0,
        cpu: CPU_INFORMATION { data: cpu },
    }
}

struct Processor {
    architecture: MDCPUArchitecture,
    level: u32,
    revision: u32,
    cpu: [u8; 24],
}

/// Family, model and stepping; the vendor's twelve letters (minidump-common, `X86CpuInfo`).
#[cfg(target_arch = "x86_64")]
fn processor(fields: &CpuInfo) -> Processor {
    let number = |name| fields.first(name).and_then(|value| value.parse::<u32>().ok()).unwrap_or(0);
    let mut cpu = [0; 24];
    let vendor = fields.first("vendor_id").unwrap_or_default().as_bytes();
    let length = vendor.len().min(12);
    cpu[..length].copy_from_slice(&vendor[..length]);
    Processor {
        architecture: MDCPUArchitecture::PROCESSOR_ARCHITECTURE_AMD64,
        level: number("cpu family"),
        revision: (number("model") << 8) | number("stepping"),
        cpu,
    }
}

/// The architecture's version, and the main id register as its fields make it up (minidump-common, `ARMCpuInfo`).
#[cfg(target_arch = "aarch64")]
fn processor(fields: &CpuInfo) -> Processor {
    let number = |name| {
        let value = fields.first(name).unwrap_or_default();
        let hexadecimal = value.strip_prefix("0x").map(|digits| u32::from_str_radix(digits, 16));
        hexadecimal.unwrap_or_else(|| value.parse()).unwrap_or(0)
    };
    let parts = [("CPU implementer", 24), ("CPU variant", 20), ("CPU part", 4), ("CPU revision", 0)];
    let id = parts.into_iter().fold(0, |id, (name, shift)| id | (number(name) << shift));
    let mut cpu = [0; 24];
    cpu[..4].copy_from_slice(&id.to_le_bytes());
    Processor {
        architecture: MDCPUArchitecture::PROCESSOR_ARCHITECTURE_ARM64_OLD,
        level: number("CPU architecture"),
        revision: 0,
        cpu,
    }
}

/// /proc/cpuinfo: lines of a name, a colon and a value, for each processor (proc(5)).
struct CpuInfo(String);

impl CpuInfo {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.lines().filter_map(|line| line.split_once(':'));
        fields.filter(move |(field, _)| field.trim_end() == name).map(|(_, value)| value.trim())
    }

    fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    fn last(&self, name: &str) -> Option<u32> {
        self.values(name).last()?.parse().ok()
    }
}
