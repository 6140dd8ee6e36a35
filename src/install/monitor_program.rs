//! Which executable becomes the monitor where none runs, and its command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::status::{CM_ERR_MONITOR_START, CM_ERR_NO_MONITOR};
use crate::sys::{files, program};
use crate::wire;

/// The executable's name, where it is searched for.
const NAME: &str = if cfg!(windows) { "crash-monitor.exe" } else { "crash-monitor" };
/// Names it in the environment.
const PATH_VARIABLE: &str = "CRASH_MONITOR_PATH";

/// The command line of a monitor that writes to descriptor `ready_fd` when it is ready.
pub(super) fn command_line(settings: &Settings, ready_fd: i32) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![NAME.into(), "--crash-monitor".into()];
    arguments.extend(["--dump-dir".into(), settings.dump_dir.clone().into_os_string()]);
    arguments.extend(["--socket".into(), settings.socket_path.clone().into_os_string()]);
    if let Some(log) = &settings.monitor_log {
        arguments.extend(["--log-file".into(), log.clone().into_os_string()]);
    }
    arguments.extend(["--ready-fd".into(), ready_fd.to_string().into()]);
    arguments
}

/// The executable to start: the one that the settings or the environment name; else the host's own program, if it can be a
/// monitor; else `crash-monitor` in the usual places.
pub(super) fn executable(settings: &Settings) -> Result<PathBuf> {
    if let Some(path) = &settings.monitor_path {
        return Ok(path.clone());
    }
    let from_environment = std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty());
    if let Some(path) = from_environment.filter(|_| !program::is_privileged()) {
        return std::path::absolute(path).map_err(|error| Error::system(PATH_VARIABLE, error));
    }
    if program::can_be_monitor() {
        return program::own_executable().map_err(|error| Error::system("cannot find this program's file", error));
    }
    let places = usual_places();
    places.iter().find(|place| files::is_executable(place)).cloned().ok_or_else(|| {
        let looked_at: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        Error::new(
            CM_ERR_NO_MONITOR,
            format!(
                "no monitor runs at {} and there is no executable to start one: looked for {}. Install {NAME} \
                 beside the library, name it with cm_config_set_monitor_path or {PATH_VARIABLE}, or have the program \
                 call cm_run_monitor first thing in main",
                settings.socket_path.display(),
                looked_at.join(", ")
            ),
        )
    })
}

/// Beside the library, in the `bin` of its prefix (`<prefix>/lib` or Debian's `<prefix>/lib/<architecture>`), beside the
/// host's executable. What lies beside a setuid program is not trusted, because any user may have made a hard link to the
/// program in a directory of their own.
fn usual_places() -> Vec<PathBuf> {
    let executable = std::env::current_exe().ok();
    let trusted = |path: &PathBuf| !program::is_privileged() || Some(path) != executable.as_ref();
    let library = program::own_file().filter(trusted);
    let library_dir = library.as_deref().and_then(Path::parent);
    let host = executable.clone().filter(trusted);
    let host_dir = host.as_deref().and_then(Path::parent);
    let prefixes = library_dir.into_iter().flat_map(|dir| dir.ancestors().skip(1).take(2));
    let bin_dirs: Vec<PathBuf> = prefixes.map(|prefix| prefix.join("bin")).collect();
    let directories = library_dir.into_iter().chain(bin_dirs.iter().map(PathBuf::as_path)).chain(host_dir);
    let mut places: Vec<PathBuf> = Vec::new();
    for place in directories.map(|directory| directory.join(NAME)) {
        // The host's executable and the library may lie in one directory, or be one file.
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Checks the message of a monitor's ready pipe. It is empty where the monitor has ended.
pub(super) fn check_ready(program: &Path, message: &[u8]) -> Result<()> {
    if message.is_empty() {
        return Err(failed(
            program,
            "ended before it was ready: does it call cm_run_monitor first thing in main, and may it have the memory that \
             it needs (setrlimit(2), RLIMIT_AS)?",
        ));
    }
    wire::parse_ready(message).map_err(|reason| failed(program, format_args!("failed: {reason}")))
}

/// The error for a monitor that was started, or was to be.
pub(super) fn failed(program: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(CM_ERR_MONITOR_START, format!("the monitor {} {why}", program.display()))
}
