//! The host's side in normal context: finding or starting a monitor, attaching the handlers.

mod connect;
mod dump_dir;
mod extras;
mod forks;
mod installation;
mod monitor_program;
mod start;
mod telling;

use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use crate::config::{Config, Settings};
use crate::error::{Error, Result};
use crate::handler;
use crate::status::{
    CM_ERR_ALREADY_INSTALLED, CM_ERR_HANDLER, CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT, CM_ERR_NOT_INSTALLED,
    CM_ERR_NULL_ARGUMENT, CM_ERR_SOCKET, CM_ERR_TIMEOUT,
};

use installation::{Connected, Installation};
pub(crate) use monitor_program::host_runs_monitor;
pub use telling::{add_memory, attach_file, dump_now, heartbeat, remove_memory, set_annotation, start_heartbeat};

static INSTALLED: Mutex<Option<Installation>> = Mutex::new(None);

fn installed() -> MutexGuard<'static, Option<Installation>> {
    // An install that panicked left None behind: the value is only set once everything is done.
    INSTALLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Arms the process. After a failure nothing is installed.
pub fn install(config: &Config) -> Result<()> {
    let settings = config.resolve()?;
    forks::wait_for_calls();
    let mut installed = installed();
    if let Some(before) = installed.as_ref() {
        refuse_other(&before.settings, &settings)?;
        if handler::taken_over().is_empty() && before.monitor_is_there() {
            return Ok(());
        }
    }
    // Connected first: where that fails, an installation that is there stays.
    let connected = Connected::to_monitor(&settings)?;
    match installed.as_mut() {
        Some(before) => before.reconnect(connected)?,
        None => *installed = Some(connected.arm(settings)?),
    }
    say_goodbye_at_exit();
    Ok(())
}

fn refuse_other(before: &Settings, now: &Settings) -> Result<()> {
    if before == now {
        return Ok(());
    }
    Err(Error::new(
        CM_ERR_ALREADY_INSTALLED,
        format!(
            "already installed with dump_dir {}, socket_path {}, app_name {}: call cm_uninstall before installing \
             with other settings",
            before.dump_dir.display(),
            before.socket_path.display(),
            before.app_name
        ),
    ))
}

/// Disarms the process and says goodbye to the monitor.
pub fn uninstall() -> Result<()> {
    let installation = installed().take().ok_or_else(|| not_installed("cm_uninstall"))?;
    installation.say_goodbye();
    installation.disarm();
    Ok(())
}

/// Whether the process is installed and its handlers are still ours.
pub fn is_armed() -> Result<()> {
    if installed().is_none() {
        return Err(not_installed("cm_is_armed"));
    }
    let taken_over = handler::taken_over();
    if taken_over.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        CM_ERR_HANDLER,
        format!("somebody has replaced the handlers of signals {taken_over:?}: cm_install puts ours in front again"),
    ))
}

/// Faults in `begin..end` are a runtime's own business.
pub fn add_runtime_code(begin: usize, end: usize) -> Result<()> {
    if begin == 0 || end == 0 {
        return Err(Error::new(CM_ERR_NULL_ARGUMENT, "begin or end of the code is NULL: give addresses"));
    }
    if end <= begin {
        return Err(Error::new(
            CM_ERR_INVALID_ARGUMENT,
            format!("code from {begin:#x} to {end:#x} is empty: the end lies above the begin"),
        ));
    }
    let _one_at_a_time = installed();
    if handler::add_runtime_code(begin, end) {
        return Ok(());
    }
    Err(Error::new(CM_ERR_LIMIT, format!("{} ranges of runtime code are given already", handler::RANGES_MAX)))
}

fn not_installed(call: &str) -> Error {
    Error::new(CM_ERR_NOT_INSTALLED, format!("not installed in this process: cm_install comes before {call}"))
}

/// Has every orderly end of this process, by exit(3) or a return from main, say goodbye: kernels before 6.15 cannot tell
/// the monitor with which status a process has ended. Once for the process's life; without it there is one record too
/// many.
fn say_goodbye_at_exit() {
    static REGISTERED: Once = Once::new();
    extern "C" fn on_exit() {
        // A thread that is just installing holds the lock, and has nothing to say goodbye to yet.
        if let Ok(installed) = INSTALLED.try_lock() {
            installed.iter().for_each(Installation::say_goodbye);
        }
    }
    REGISTERED.call_once(|| crate::sys::process::at_exit(on_exit));
}

/// Gives the calling thread an alternate signal stack that the handler can run on.
pub fn init_thread() -> Result<()> {
    crate::sys::altstack::ensure().map_err(|error| Error::system("cannot make an alternate signal stack", error))
}

/// The error for a monitor that does not answer in time.
fn timed_out(settings: &Settings, what: &str, within: Duration) -> Error {
    Error::new(
        CM_ERR_TIMEOUT,
        format!(
            "the monitor at {} did not {what} within {} ms: is it stopped, or overloaded?",
            settings.socket_path.display(),
            within.as_millis()
        ),
    )
}

/// The error for a socket path that cannot be used.
fn unusable(settings: &Settings, why: impl std::fmt::Display) -> Error {
    Error::new(CM_ERR_SOCKET, format!("cannot use {} as the socket: {why}", settings.socket_path.display()))
}
