//! Which executable becomes the monitor where none runs, and its command line.

use std::collections::HashSet;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::status::CM_ERR_NO_MONITOR;
use crate::sys::process;
use crate::sys::spawn::{Program, READY_FD};

/// The executable's name, where it is searched for.
const NAME: &str = "crash-monitor";
/// Names it in the environment.
const PATH_VARIABLE: &str = "CRASH_MONITOR_PATH";
/// What the dynamic loader needs to find this library again for a host that is its own monitor.
const KEPT_VARIABLE: &str = "LD_LIBRARY_PATH";

static HOST_RUNS_MONITOR: AtomicBool = AtomicBool::new(false);

/// The host has called `cm_run_monitor`, so started once more it will reach that call again.
pub(crate) fn host_runs_monitor() {
    HOST_RUNS_MONITOR.store(true, Ordering::Relaxed);
}

/// The monitor to start, or the error that says where one was looked for. The outer error is another failure.
pub(super) fn find(settings: &Settings) -> Result<Result<Program>> {
    let path = match executable(settings) {
        Ok(path) => path,
        Err(error) => return Ok(Err(error)),
    };
    let secure = process::is_privileged();
    let environment = std::env::var_os(KEPT_VARIABLE).filter(|_| !secure).map(|value| {
        let mut pair = OsString::from(format!("{KEPT_VARIABLE}="));
        pair.push(value);
        pair
    });
    let strings = |strings: Vec<OsString>| strings.into_iter().map(|s| c_string(s.into_vec())).collect();
    Program::new(
        c_string(path.as_os_str().as_bytes().to_vec()),
        strings(command_line(settings)),
        strings(environment.into_iter().collect()),
    )
    .map(Ok)
    .map_err(|error| Error::system("cannot map stacks for starting a monitor", error))
}

/// Paths from C, the environment or the kernel hold no NUL.
fn c_string(bytes: Vec<u8>) -> CString {
    CString::new(bytes).unwrap_or_default()
}

fn command_line(settings: &Settings) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![NAME.into(), "--crash-monitor".into()];
    arguments.extend(["--dump-dir".into(), settings.dump_dir.clone().into_os_string()]);
    arguments.extend(["--socket".into(), settings.socket_path.clone().into_os_string()]);
    if let Some(log) = &settings.monitor_log {
        arguments.extend(["--log-file".into(), log.clone().into_os_string()]);
    }
    arguments.extend(["--ready-fd".into(), READY_FD.to_string().into()]);
    arguments
}

/// What was asked for explicitly wins; then the host itself; then `crash-monitor` in the usual places.
fn executable(settings: &Settings) -> Result<PathBuf> {
    if let Some(path) = &settings.monitor_path {
        return Ok(path.clone());
    }
    let from_environment = std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty());
    if let Some(path) = from_environment.filter(|_| !process::is_privileged()) {
        return std::path::absolute(path).map_err(|error| Error::system(PATH_VARIABLE, error));
    }
    if HOST_RUNS_MONITOR.load(Ordering::Relaxed) {
        // By this name the kernel starts the same file even where it was replaced or deleted meanwhile.
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    let places = usual_places();
    places.iter().find(|place| is_executable(place)).cloned().ok_or_else(|| {
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
/// host's executable. What lies beside a setuid program is not to be trusted: anybody may have a hard link to it in a
/// directory of their own.
fn usual_places() -> Vec<PathBuf> {
    let executable = std::env::current_exe().ok();
    let trusted = |path: &PathBuf| !process::is_privileged() || Some(path) != executable.as_ref();
    let library = process::own_file().filter(trusted);
    let library_dir = library.as_deref().and_then(Path::parent);
    let host = executable.clone().filter(trusted);
    let host_dir = host.as_deref().and_then(Path::parent);
    let prefixes = library_dir.into_iter().flat_map(|dir| dir.ancestors().skip(1).take(2));
    let bin_dirs: Vec<PathBuf> = prefixes.map(|prefix| prefix.join("bin")).collect();
    let directories = library_dir.into_iter().chain(bin_dirs.iter().map(PathBuf::as_path)).chain(host_dir);
    let mut places: Vec<PathBuf> = directories.map(|directory| directory.join(NAME)).collect();
    // The host's executable and the library may lie in one directory, or be one file.
    let mut seen = HashSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
