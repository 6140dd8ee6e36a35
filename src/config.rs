//! What a host asks for at install, checked.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::crash_callback::CrashCallback;
use crate::error::{Error, Result};
use crate::settings::{
    APP_NAME_DEFAULT, APP_NAME_MAX, DEADLINE_DEFAULT, DEADLINE_MS_RANGE, DEFAULT_SOCKET_NAME, DumpContents,
    KEEP_BYTES_DEFAULT, KEEP_FILES_DEFAULT, LOG_BYTES_DEFAULT, LOG_BYTES_MAX, PATH_BYTES_MAX, check_socket_path,
    is_app_name, is_in_app_names,
};
pub(crate) use crate::settings::{Settings, Strategy};
use crate::status::CM_ERR_INVALID_ARGUMENT;

/// A host's settings as given, each checked when it is set.
#[derive(Debug, Clone)]
pub struct Config {
    dump_dir: PathBuf,
    socket_path: Option<PathBuf>,
    app_name: Option<String>,
    monitor_path: Option<PathBuf>,
    monitor_log: Option<PathBuf>,
    deadline: Duration,
    keep_files: u32,
    keep_bytes: u64,
    log_bytes: u32,
    strategy: Strategy,
    contents: DumpContents,
    crash_callback: Option<CrashCallback>,
}

impl Config {
    /// Dumps go to `dump_dir`; the monitor listens at `socket_path`, or at `monitor.sock` in the dump directory.
    pub fn new(dump_dir: &Path, socket_path: Option<&Path>) -> Result<Self> {
        Ok(Self {
            dump_dir: checked_path("dump_dir", dump_dir)?,
            socket_path: socket_path.map(|path| checked_path("socket_path", path)).transpose()?,
            app_name: None,
            monitor_path: None,
            monitor_log: None,
            deadline: DEADLINE_DEFAULT,
            keep_files: KEEP_FILES_DEFAULT,
            keep_bytes: KEEP_BYTES_DEFAULT,
            log_bytes: LOG_BYTES_DEFAULT,
            strategy: Strategy::ReportFirst,
            contents: DumpContents::default(),
            crash_callback: None,
        })
    }

    /// The first part of the names of dump files.
    pub fn set_app_name(&mut self, name: &str) -> Result<()> {
        if !is_app_name(name) {
            return Err(invalid(format!(
                "app_name {name:?} cannot be part of a file name: give 1 to {APP_NAME_MAX} ASCII letters, digits, \
                 '.', '_', '+' or '-', not starting with '.'"
            )));
        }
        self.app_name = Some(name.to_owned());
        Ok(())
    }

    /// The executable to start where no monitor runs, called with `--crash-monitor` and the rest of the monitor's
    /// command line.
    pub fn set_monitor_path(&mut self, path: &Path) -> Result<()> {
        self.monitor_path = Some(checked_path("monitor_path", path)?);
        Ok(())
    }

    /// The file a monitor started by this host appends its log to.
    pub fn set_monitor_log(&mut self, path: &Path) -> Result<()> {
        self.monitor_log = Some(checked_path("monitor_log", path)?);
        Ok(())
    }

    /// How long a crashing process waits for its dump, all steps together.
    pub fn set_deadline_ms(&mut self, milliseconds: u32) -> Result<()> {
        if !DEADLINE_MS_RANGE.contains(&milliseconds) {
            return Err(invalid(format!(
                "deadline of {milliseconds} ms is out of range: give {} to {} ms",
                DEADLINE_MS_RANGE.start(),
                DEADLINE_MS_RANGE.end()
            )));
        }
        self.deadline = Duration::from_millis(milliseconds.into());
        Ok(())
    }

    /// How many dumps, and how many bytes of dumps, the dump directory keeps; the monitor removes the oldest.
    pub fn set_retention(&mut self, files: u32, bytes: u64) -> Result<()> {
        if files == 0 || bytes == 0 {
            return Err(invalid("retention of 0 keeps nothing: give at least 1 file and 1 byte".to_owned()));
        }
        (self.keep_files, self.keep_bytes) = (files, bytes);
        Ok(())
    }

    /// How much of the process's log is kept, in bytes; 0 for none.
    pub fn set_log_bytes(&mut self, bytes: u32) -> Result<()> {
        if bytes > LOG_BYTES_MAX {
            return Err(invalid(format!("a log of {bytes} bytes is too large: give 0 to {LOG_BYTES_MAX}")));
        }
        self.log_bytes = bytes;
        Ok(())
    }

    /// Which handler gets a fault first, by its number in the C API: 0, ours; 1, the previous one.
    pub fn set_strategy(&mut self, number: i32) -> Result<()> {
        self.strategy = match number {
            0 => Strategy::ReportFirst,
            1 => Strategy::PreviousFirst,
            _ => {
                return Err(invalid(format!(
                    "strategy {number} is unknown: give CM_STRATEGY_REPORT_FIRST (0) or CM_STRATEGY_PREVIOUS_FIRST (1)"
                )));
            }
        };
        Ok(())
    }

    /// Whether dumps hold the process's environment.
    pub fn set_environment(&mut self, include: bool) {
        self.contents.environment = include;
    }

    /// Whether stacks are sanitized before they go into a dump.
    pub fn set_sanitized_stacks(&mut self, sanitize: bool) {
        self.contents.sanitized_stacks = sanitize;
    }

    /// What is called in the crashing thread before the report; None for nothing.
    pub(crate) fn set_crash_callback(&mut self, callback: Option<CrashCallback>) {
        self.crash_callback = callback;
    }

    /// The settings of an installation: absolute paths, defaults filled in.
    pub(crate) fn resolve(&self) -> Result<Settings> {
        let dump_dir = absolute("dump_dir", &self.dump_dir)?;
        let socket_path = match &self.socket_path {
            Some(path) => absolute("socket_path", path)?,
            None => dump_dir.join(DEFAULT_SOCKET_NAME),
        };
        check_socket_path(&socket_path)?;
        Ok(Settings {
            dump_dir,
            socket_path,
            app_name: self.app_name.clone().unwrap_or_else(default_app_name),
            monitor_path: self.monitor_path.as_deref().map(|p| absolute("monitor_path", p)).transpose()?,
            monitor_log: self.monitor_log.as_deref().map(|p| absolute("monitor_log", p)).transpose()?,
            deadline: self.deadline,
            keep_files: self.keep_files,
            keep_bytes: self.keep_bytes,
            log_bytes: self.log_bytes,
            strategy: self.strategy,
            contents: self.contents,
            crash_callback: self.crash_callback,
        })
    }
}

fn invalid(message: String) -> Error {
    Error::new(CM_ERR_INVALID_ARGUMENT, message)
}

fn checked_path(what: &str, path: &Path) -> Result<PathBuf> {
    let length = path.as_os_str().len();
    if length == 0 {
        return Err(invalid(format!("{what} is empty: give a path")));
    }
    if length > PATH_BYTES_MAX {
        return Err(invalid(format!("{what} is {length} bytes long, the limit is {PATH_BYTES_MAX}")));
    }
    Ok(path.to_owned())
}

fn absolute(what: &str, path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Error::system(format_args!("cannot make {what} {} absolute", path.display()), error))?;
    checked_path(what, &absolute)
}

/// The executable's file name with everything that does not belong in a file name replaced.
fn default_app_name() -> String {
    let executable = std::env::current_exe().unwrap_or_default();
    let name = executable.file_name().map_or_else(|| OsString::from(APP_NAME_DEFAULT), OsStr::to_owned);
    let name = name.as_encoded_bytes();
    let name = name.strip_suffix(std::env::consts::EXE_SUFFIX.as_bytes()).unwrap_or(name);
    let safe = |byte: &u8| if is_in_app_names(*byte) { *byte as char } else { '_' };
    // A name that begins with a dot is a hidden file's.
    let prefix = if name.is_empty() || name.starts_with(b".") { APP_NAME_DEFAULT } else { "" };
    prefix.chars().chain(name.iter().map(safe)).take(APP_NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::CM_ERR_SOCKET;

    #[test]
    fn refuses_what_no_file_name_can_hold() {
        let mut config = Config::new(Path::new("/d"), None).unwrap();
        for bad in ["", ".hidden", "a/b", "a b", "ü", &"x".repeat(65)] {
            assert_eq!(config.set_app_name(bad).unwrap_err().status(), CM_ERR_INVALID_ARGUMENT, "{bad:?}");
        }
        config.set_app_name("my-app_1.2+rc").unwrap();
        assert_eq!(config.resolve().unwrap().app_name, "my-app_1.2+rc");
    }

    #[test]
    fn a_socket_path_may_have_107_bytes_and_no_more() {
        let path = |length: usize| PathBuf::from(format!("/{}", "s".repeat(length - 1)));
        let config = |length| Config::new(Path::new("/d"), Some(&path(length))).unwrap().resolve();
        assert!(config(107).is_ok());
        let error = config(108).unwrap_err();
        assert_eq!(error.status(), CM_ERR_SOCKET);
        assert!(error.message().contains("108") && error.message().contains("107"), "{error}");
    }

    #[test]
    fn the_deadline_has_bounds() {
        let mut config = Config::new(Path::new("/d"), None).unwrap();
        assert!(config.set_deadline_ms(99).is_err());
        assert!(config.set_deadline_ms(600_001).is_err());
        config.set_deadline_ms(100).unwrap();
        assert_eq!(config.resolve().unwrap().deadline, Duration::from_millis(100));
    }

    #[test]
    fn the_socket_lies_in_the_dump_directory_by_default() {
        let settings = Config::new(Path::new("/var/dumps"), None).unwrap().resolve().unwrap();
        assert_eq!(settings.socket_path, Path::new("/var/dumps/monitor.sock"));
    }
}
