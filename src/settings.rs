//! The settings of an installation, and the limits of each. Host, monitor and wire format share this file, so it imports none
//! of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::crash_callback::CrashCallback;
use crate::error::{Error, Result};
use crate::status::CM_ERR_SOCKET;

/// Longest socket path the kernel takes: `sun_path` is 108 bytes with its NUL (unix(7)), 104 on macOS (sys/un.h).
pub(crate) const SOCKET_PATH_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };
/// Longest path in bytes: `PATH_MAX` is 4096 with its NUL (linux/limits.h).
pub(crate) const PATH_BYTES_MAX: usize = 4095;
/// Longest application name in bytes; it becomes part of a file name, whose limit is 255 (linux/limits.h).
pub(crate) const APP_NAME_MAX: usize = 64;
/// The application name of a host that gives none.
pub(crate) const APP_NAME_DEFAULT: &str = "app";
/// How long a crashing host waits for its dump, all steps together, unless it asks otherwise.
pub(crate) const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
/// Shortest and longest deadline in milliseconds that a host may ask for.
pub(crate) const DEADLINE_MS_RANGE: std::ops::RangeInclusive<u32> = 100..=600_000;
/// How many dumps, and bytes of them, a dump directory keeps unless the host asks otherwise.
pub(crate) const KEEP_FILES_DEFAULT: u32 = 100;
pub(crate) const KEEP_BYTES_DEFAULT: u64 = 1 << 30;
/// How much of a process's log is kept, in bytes, unless the host asks otherwise; and the most that it can ask for.
pub(crate) const LOG_BYTES_DEFAULT: u32 = 64 * 1024;
pub(crate) const LOG_BYTES_MAX: u32 = 1024 * 1024;
/// Name of the socket inside the dump directory where the host names none.
pub(crate) const DEFAULT_SOCKET_NAME: &str = "monitor.sock";

/// Which handler gets a fault first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Ours; then the previous handlers.
    ReportFirst,
    /// The previous handler; a fault that it does not handle is reported.
    PreviousFirst,
}

/// What a host wants in its dumps beyond the default, or left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DumpContents {
    /// The environment.
    pub environment: bool,
    /// Stacks in which every word is overwritten that is neither a small number nor a pointer into code or the same stack.
    pub sanitized_stacks: bool,
}

/// A host's settings, defaults filled in. A second `cm_install` is compared with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub dump_dir: PathBuf,
    pub socket_path: PathBuf,
    pub app_name: String,
    pub monitor_path: Option<PathBuf>,
    pub monitor_log: Option<PathBuf>,
    pub deadline: Duration,
    pub keep_files: u32,
    pub keep_bytes: u64,
    pub log_bytes: u32,
    pub strategy: Strategy,
    pub contents: DumpContents,
    pub crash_callback: Option<CrashCallback>,
}

/// Refuses a socket path that no socket address can hold.
pub(crate) fn check_socket_path(path: &Path) -> Result<()> {
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        return Err(Error::new(
            CM_ERR_SOCKET,
            format!(
                "socket path {} is {length} bytes long, the kernel's limit is {SOCKET_PATH_MAX}: give a shorter \
                 socket_path (it need not lie in the dump directory)",
                path.display()
            ),
        ));
    }
    Ok(())
}

/// Whether a text can be the first part of dump file names, on every system.
pub(crate) fn is_app_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= APP_NAME_MAX && !name.starts_with('.') && name.bytes().all(is_in_app_names)
}

pub(crate) fn is_in_app_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._+-".contains(&byte)
}
