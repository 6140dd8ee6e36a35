//! A monitor's command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg;

use crate::error::{Error, Result};
use crate::settings;
use crate::status::CM_ERR_COMMAND_LINE;
use crate::sys::program;

/// Marks a process as a monitor.
const MARKER: &str = "--crash-monitor";

/// Which engine serves the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The monitor that this library has for Linux.
    #[cfg(target_os = "linux")]
    Linux,
    /// minidumper's server.
    Minidumper,
}

impl Backend {
    #[cfg(target_os = "linux")]
    const NAMES: &[(&str, Self)] = &[("linux", Self::Linux), ("minidumper", Self::Minidumper)];
    #[cfg(not(target_os = "linux"))]
    const NAMES: &[(&str, Self)] = &[("minidumper", Self::Minidumper)];
}

/// The first of the names.
impl Default for Backend {
    fn default() -> Self {
        Self::NAMES[0].1
    }
}

/// A monitor's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The dump directory of hosts that send no hello.
    pub dump_dir: PathBuf,
    /// Where to listen.
    pub socket: PathBuf,
    /// Go on serving when the last host has gone.
    pub stay: bool,
    /// Append the log here instead of writing it to standard error.
    pub log_file: Option<PathBuf>,
    /// How much the log says.
    pub log_level: log::LevelFilter,
    /// Which engine serves the hosts.
    pub backend: Backend,
    /// The starter's pipe: one byte is written to it once the monitor listens.
    pub(crate) ready_fd: Option<i32>,
}

impl Options {
    /// The options of this process, if its command line makes it a monitor.
    pub(super) fn from_own_command_line() -> Option<Result<Self>> {
        Self::after_marker(program::arguments().into_iter())
    }

    fn after_marker(arguments: impl Iterator<Item = OsString>) -> Option<Result<Self>> {
        let mut arguments = arguments.skip(1).take_while(|argument| argument != "--");
        arguments.find(|argument| argument == MARKER)?;
        let mut arguments: Vec<OsString> = arguments.collect();
        // The kernel ends the last one with a NUL too, and programs that change their title fill up with more.
        arguments.truncate(arguments.iter().rposition(|argument| !argument.is_empty()).map_or(0, |last| last + 1));
        Some(Self::parse(arguments))
    }

    /// Reads the arguments of `crash-monitor run`, which are those behind `--crash-monitor` too.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        Self::parse_with(lexopt::Parser::from_args(arguments))
    }

    fn parse_with(mut parser: lexopt::Parser) -> Result<Self> {
        let (mut dump_dir, mut socket, mut log_file, mut ready_fd, mut stay) = (None, None, None, None, false);
        let (mut log_level, mut backend) = (log::LevelFilter::Info, Backend::default());
        while let Some(argument) = parser.next().map_err(bad)? {
            match argument {
                Arg::Long("dump-dir") => dump_dir = Some(path(&mut parser)?),
                Arg::Long("socket") => socket = Some(path(&mut parser)?),
                Arg::Long("log-file") => log_file = Some(path(&mut parser)?),
                Arg::Long("log-level") => log_level = parser.value().map_err(bad).and_then(level)?,
                Arg::Long("backend") => backend = parser.value().map_err(bad).and_then(named_backend)?,
                Arg::Long("ready-fd") => {
                    use lexopt::ValueExt;
                    ready_fd = Some(parser.value().and_then(|value| value.parse()).map_err(bad)?);
                }
                Arg::Long("stay") => stay = true,
                other => return Err(bad(other.unexpected())),
            }
        }
        let dump_dir: PathBuf = dump_dir.ok_or_else(|| bad("--dump-dir is missing: give the directory for dumps"))?;
        let socket = socket.unwrap_or_else(|| dump_dir.join(settings::DEFAULT_SOCKET_NAME));
        settings::check_socket_path(&socket)?;
        Ok(Self { dump_dir, socket, stay, log_file, log_level, backend, ready_fd })
    }
}

/// A level of the log by its name.
fn level(value: OsString) -> Result<log::LevelFilter> {
    let name = value.to_string_lossy();
    name.parse().map_err(|_| bad(format!("log level {name:?} is unknown: give off, error, warn, info or debug")))
}

/// A backend by its name.
fn named_backend(value: OsString) -> Result<Backend> {
    let known = Backend::NAMES.iter().find(|(name, _)| value == *name);
    known.map(|(_, backend)| *backend).ok_or_else(|| {
        let names: Vec<_> = Backend::NAMES.iter().map(|(name, _)| *name).collect();
        bad(format!("backend {value:?} is unknown here: give {}", names.join(" or ")))
    })
}

/// An option's value as a path, absolute: the monitor's directory is not its starter's.
fn path(parser: &mut lexopt::Parser) -> Result<PathBuf> {
    let value = parser.value().map_err(bad)?;
    std::path::absolute(&value).map_err(|error| bad(format!("{}: {error}", value.display())))
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::new(CM_ERR_COMMAND_LINE, format!("monitor's command line: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command_line(line: &str) -> Option<Result<Options>> {
        Options::after_marker(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_program_without_the_marker_is_no_monitor() {
        assert_eq!(command_line("host --dump-dir /d"), None);
        assert_eq!(command_line("host -- --crash-monitor"), None);
    }

    #[test]
    fn the_marker_may_follow_an_interpreters_arguments() {
        let options = command_line("python3 -m crash_monitor --crash-monitor --dump-dir /d --stay").unwrap().unwrap();
        assert_eq!(options.socket, PathBuf::from("/d/monitor.sock"));
        assert!(options.stay && options.ready_fd.is_none());
        // As programs leave them that write a title over their command line.
        assert!(command_line("host --crash-monitor --dump-dir /d   ").unwrap().is_ok());
        // What is empty in the middle is a value, and not the next option's.
        assert!(command_line("host --crash-monitor --dump-dir  --stay").unwrap().is_err());
    }

    #[test]
    fn errors_say_which_argument_is_wrong() {
        for (line, word) in [
            ("h --crash-monitor", "--dump-dir"),
            ("h --crash-monitor --dump-dir /d --colour", "--colour"),
            ("h --crash-monitor --dump-dir /d --ready-fd three", "three"),
            ("h --crash-monitor --dump-dir /d --log-level loud", "loud"),
            ("h --crash-monitor --dump-dir /d --backend crashpad", "minidumper"),
            ("h --crash-monitor --dump-dir", "--dump-dir"),
        ] {
            let error = command_line(line).unwrap().unwrap_err();
            assert_eq!(error.status(), CM_ERR_COMMAND_LINE);
            assert!(error.message().contains(word), "{line}: {error}");
        }
    }
}
