//! The host's side on Windows and macOS: crash-handler's handlers, minidumper's client, and a monitor whose backend is
//! minidumper's server.
//!
//! What only the Linux handlers or monitor can do is refused with `CM_ERR_UNSUPPORTED`.

mod monitor_process;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crash_handler::{CrashEventResult, CrashHandler};
use minidumper::Client;

use super::{not_installed, refuse_other};
use crate::config::{Config, Settings, Strategy};
use crate::error::{Error, Result, StaticError};
use crate::settings::DumpContents;
use crate::status::{CM_ERR_HANDLER, CM_ERR_UNSUPPORTED};

static INSTALLED: Mutex<Option<Installation>> = Mutex::new(None);

struct Installation {
    settings: Settings,
    client: Arc<Client>,
    /// Detached when dropped.
    _handler: CrashHandler,
}

fn installed() -> MutexGuard<'static, Option<Installation>> {
    // An install that panicked left None behind: the value is only set once everything is done.
    INSTALLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Arms the process. After a failure nothing is installed. There is nothing that the program should know besides.
pub fn install(config: &Config) -> Result<Option<String>> {
    let settings = config.resolve()?;
    check_supported(&settings)?;
    let mut installed = installed();
    if let Some(before) = installed.as_ref() {
        refuse_other(&before.settings, &settings)?;
        if before.client.ping().is_ok() {
            return Ok(None);
        }
    }
    super::dump_dir::make(&settings.dump_dir)?;
    // Connected first: where that fails, an installation that is there stays.
    let client = Arc::new(monitor_process::connect(&settings)?);
    init_thread()?;
    // There is one place for crash-handler in a process.
    *installed = None;
    let handler = attach(client.clone())?;
    *installed = Some(Installation { settings, client, _handler: handler });
    Ok(None)
}

#[allow(unsafe_code)] // crash-handler's trait; the block says why it is sound.
fn attach(client: Arc<Client>) -> Result<CrashHandler> {
    // SAFETY: the callback sends one message and waits for the answer: no memory is allocated and no lock taken beyond
    // crash-handler's own.
    let event = unsafe {
        crash_handler::make_crash_event(move |context| {
            // Without a dump the process ends all the same.
            let _ = client.request_dump(context);
            // Not handled: the debugger, Windows Error Reporting or the system's crash reporter come next.
            CrashEventResult::Handled(false)
        })
    };
    CrashHandler::attach(event)
        .map_err(|error| Error::new(CM_ERR_HANDLER, format!("cannot attach the exception handlers: {error}")))
}

/// Refuses settings that would be ignored.
fn check_supported(settings: &Settings) -> Result<()> {
    if settings.strategy != Strategy::ReportFirst {
        return Err(unsupported("CM_STRATEGY_PREVIOUS_FIRST"));
    }
    if settings.contents != DumpContents::default() {
        return Err(unsupported("choosing what is in a dump"));
    }
    if settings.crash_callback.is_some() {
        return Err(unsupported("a crash callback"));
    }
    Ok(())
}

fn unsupported(what: &str) -> Error {
    Error::new(CM_ERR_UNSUPPORTED, format!("{what} is not supported on {}: leave it out there", std::env::consts::OS))
}

/// Disarms the process.
pub fn uninstall() -> Result<()> {
    installed().take().map(drop).ok_or_else(|| not_installed("cm_uninstall"))
}

/// Whether the process is installed: whether another handler is in front of ours cannot be asked.
pub fn is_armed() -> Result<()> {
    installed().as_ref().map(|_| ()).ok_or_else(|| not_installed("cm_is_armed"))
}

/// Keeps room on the calling thread's stack for handling its overflow.
#[cfg(windows)]
pub fn init_thread() -> Result<()> {
    crate::sys::stack_guarantee::ensure()
        .map_err(|error| Error::system("cannot keep room for handling a stack overflow", error))
}

/// Nothing is needed: crash-handler handles exceptions in a thread of its own.
#[cfg(not(windows))]
pub fn init_thread() -> Result<()> {
    Ok(())
}

/// Refused.
pub fn add_runtime_code(_begin: usize, _end: usize) -> Result<()> {
    Err(unsupported("cm_add_runtime_code"))
}

/// The error of everything that needs the page, which exists on Linux alone.
const NO_PAGE: StaticError =
    StaticError::new(CM_ERR_UNSUPPORTED, c"annotations, memory, the log and heartbeats are supported on Linux alone");

/// Refused.
pub(crate) fn set_annotation(_key: &str, _value: Option<&str>) -> std::result::Result<(), StaticError> {
    Err(NO_PAGE)
}

/// Refused.
pub(crate) fn set_thread_annotation(_key: &str, _value: Option<&str>) -> std::result::Result<(), StaticError> {
    Err(NO_PAGE)
}

/// Refused.
pub(crate) fn add_log_line(_level: u32, _text: &[u8]) -> std::result::Result<(), StaticError> {
    Err(NO_PAGE)
}

/// Refused.
pub(crate) fn add_memory(_start: usize, _length: usize) -> std::result::Result<(), StaticError> {
    Err(NO_PAGE)
}

/// Refused.
pub(crate) fn remove_memory(_start: usize) -> std::result::Result<(), StaticError> {
    Err(NO_PAGE)
}

/// Refused.
pub(crate) fn heartbeat() -> std::result::Result<(), StaticError> {
    Err(NO_PAGE)
}

/// Refused.
pub fn attach_file(_path: &Path) -> Result<()> {
    Err(unsupported("cm_attach_file"))
}

/// Refused.
pub fn start_heartbeat(_within: Duration) -> Result<()> {
    Err(unsupported("cm_heartbeat_start"))
}

/// Refused.
pub fn dump_now(_reason: &str) -> Result<PathBuf> {
    Err(unsupported("cm_dump_now"))
}
