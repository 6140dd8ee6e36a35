//! The host's side on Linux: `connect` finds a monitor, `start` starts one, `installation` installs the handlers,
//! `requests` has the calls that an installed host makes, `forks` keeps forks and calls apart. What a host adds to its dumps
//! goes into the page, without a message to the monitor.

mod connect;
mod forks;
mod installation;
mod requests;
mod start;

use std::sync::atomic::{AtomicBool, Ordering};

use super::{not_installed, refuse_other};
use crate::config::{Config, Settings};
use crate::error::{Error, Result};
use crate::handler::{self, Memory};
use crate::page::log::Level;
use crate::status::{CM_ERR_HANDLER, CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT, CM_ERR_NULL_ARGUMENT};
use crate::sys::lock::Lock;
use crate::sys::signals::{self, Blocked};

use installation::{Connected, Installation};
pub use requests::{attach_file, dump_now, start_heartbeat};

pub(crate) use crate::page::host::{
    add_log_line, add_memory, beat as heartbeat, remove_memory, set_annotation, set_thread_annotation,
};

/// What is known of this process.
static HOST: Lock<Host> = Lock::new(Host { installation: None, memory: Memory::new() });

#[derive(Default)]
struct Host {
    installation: Option<Installation>,
    memory: Memory,
}

impl Host {
    /// The installation, without which there is no such call.
    fn installed_for(&self, call: &str) -> Result<&Installation> {
        self.installation.as_ref().ok_or_else(|| not_installed(call))
    }

    /// Installs the handlers for a connection, or installs them again for another one.
    fn arm(&mut self, connected: Connected, settings: Settings) -> Result<()> {
        match &mut self.installation {
            Some(before) => before.reconnect(connected, settings, &mut self.memory),
            none => {
                *none = Some(connected.arm(settings, &mut self.memory)?);
                Ok(())
            }
        }
    }
}

/// Arms the process. After an error of the first call nothing is installed; after one of a later call the installation stays,
/// but its handlers may be gone where they could not be installed again. Gives what the program should know, if anything.
pub fn install(config: &Config) -> Result<Option<String>> {
    let settings = config.resolve()?;
    forks::register()?;
    let mut host = HOST.lock();
    if let Some(before) = &host.installation {
        refuse_other(&before.settings, &settings)?;
        if handler::replaced_signals().is_empty() && before.monitor_is_there() {
            return Ok(None);
        }
    }
    // Connected first: where that fails, an installation that is there stays.
    let connected = Connected::to_monitor(&settings)?;
    host.change().arm(connected, settings)?;
    say_goodbye_at_exit();
    Ok(unblock_crash_signals())
}

/// Disarms the process and says goodbye to the monitor.
pub fn uninstall() -> Result<()> {
    // Held to the end: an install in another thread is not to be disarmed by what follows.
    let mut host = HOST.lock();
    let mut host = host.change();
    let installation = host.installation.take().ok_or_else(|| not_installed("cm_uninstall"))?;
    installation.say_goodbye();
    installation.disarm();
    Ok(())
}

/// Whether the process is installed and its handlers are still ours.
pub fn is_armed() -> Result<()> {
    HOST.lock().installed_for("cm_is_armed")?;
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
    let added = HOST.lock().change().memory.add_runtime_code(begin, end);
    if added.map_err(|error| Error::system("cannot change the pages of the runtime code's ranges", error))? {
        return Ok(());
    }
    Err(Error::new(CM_ERR_LIMIT, format!("{} ranges of runtime code are given already", handler::RANGES_MAX)))
}

/// Sends a goodbye when this process ends by exit(3) or a return from main, because kernels before 6.15 do not tell the
/// monitor a process's exit status. Registered once; without it, for want of memory, there is a needless record.
fn say_goodbye_at_exit() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    extern "C" fn on_exit() {
        // A thread that is installing holds the lock; there is no connection to say goodbye on yet.
        if let Some(host) = HOST.try_lock() {
            host.installation.iter().for_each(Installation::say_goodbye);
        }
    }
    if !REGISTERED.swap(true, Ordering::Relaxed) && !crate::sys::process::at_exit(on_exit) {
        REGISTERED.store(false, Ordering::Relaxed);
    }
}

/// Gives the calling thread an alternate signal stack that the handler can run on, and unblocks the crash signals in it.
pub fn init_thread() -> Result<()> {
    signals::unblock_crash_signals();
    ensure_stack()
}

fn ensure_stack() -> Result<()> {
    crate::sys::altstack::ensure().map_err(|error| Error::system("cannot make an alternate signal stack", error))
}

/// Unblocks the crash signals in the calling thread. Where some were blocked, says so and puts it into the log: threads that
/// have inherited the mask still have them blocked.
fn unblock_crash_signals() -> Option<String> {
    let Blocked { unblocked, pending } = signals::unblock_crash_signals();
    if unblocked | pending == 0 {
        return None;
    }
    let [blocked, pending] = [unblocked | pending, pending].map(signals::crash_signals_in);
    let except =
        if pending.is_empty() { String::new() } else { format!(", except for {pending:?}, which are pending") };
    let notice = format!(
        "crash signals {blocked:?} were blocked in the thread that called cm_install, and are so no longer{except}. Other \
         threads may have inherited the mask: they call cm_thread_init"
    );
    // Where there is no page, the caller is told all the same.
    let _ = add_log_line(Level::Warning as u32, notice.as_bytes());
    Some(notice)
}
