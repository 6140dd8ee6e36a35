//! The host's side on Linux: `connect` finds a monitor, `start` starts one, `installation` installs the handlers,
//! `requests` has the calls that an installed host makes, `forks` keeps forks and calls apart. What a host adds to its dumps
//! goes into the page, without a message to the monitor.

mod connect;
mod forks;
mod installation;
mod requests;
mod start;

use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use super::{not_installed, refuse_other};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::handler;
use crate::status::{CM_ERR_HANDLER, CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT, CM_ERR_NULL_ARGUMENT};

use installation::{Connected, Installation};
pub use requests::{attach_file, dump_now, start_heartbeat};

pub(crate) use crate::page::host::{
    add_log_line, add_memory, beat as heartbeat, remove_memory, set_annotation, set_thread_annotation,
};

static INSTALLED: Mutex<Option<Installation>> = Mutex::new(None);

fn installed() -> MutexGuard<'static, Option<Installation>> {
    // An install that panicked left None behind: the value is only set once everything is done.
    INSTALLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Arms the process. After an error of the first call nothing is installed; after one of a later call the installation stays,
/// but its handlers may be gone where they could not be installed again.
pub fn install(config: &Config) -> Result<()> {
    let settings = config.resolve()?;
    forks::wait_for_calls();
    let mut installed = installed();
    if let Some(before) = installed.as_ref() {
        refuse_other(&before.settings, &settings)?;
        if handler::replaced_signals().is_empty() && before.monitor_is_there() {
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

/// Disarms the process and says goodbye to the monitor.
pub fn uninstall() -> Result<()> {
    // Held to the end: an install in another thread is not to be disarmed by what follows.
    let mut installed = installed();
    let installation = installed.take().ok_or_else(|| not_installed("cm_uninstall"))?;
    installation.say_goodbye();
    installation.disarm();
    Ok(())
}

/// Whether the process is installed and its handlers are still ours.
pub fn is_armed() -> Result<()> {
    if installed().is_none() {
        return Err(not_installed("cm_is_armed"));
    }
    let replaced = handler::replaced_signals();
    if replaced.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        CM_ERR_HANDLER,
        format!("other code has replaced the handlers of signals {replaced:?}: cm_install puts ours in front again"),
    ))
}

/// Names code of a language runtime: faults in `begin..end` go to the previous handler first.
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
    let added = handler::add_runtime_code(begin, end);
    if added.map_err(|error| Error::system("cannot change the pages of the runtime code's ranges", error))? {
        return Ok(());
    }
    Err(Error::new(CM_ERR_LIMIT, format!("{} ranges of runtime code are given already", handler::RANGES_MAX)))
}

/// Sends a goodbye when this process ends by exit(3) or a return from main, because kernels before 6.15 do not tell the
/// monitor a process's exit status. Registered once; without it there is a needless record.
fn say_goodbye_at_exit() {
    static REGISTERED: Once = Once::new();
    extern "C" fn on_exit() {
        // A thread that is installing holds the lock; there is no connection to say goodbye on yet.
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
