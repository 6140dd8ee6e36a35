//! What a host requests: attached files, which go into the page; and of its monitor a dump of the living process, and to
//! watch its heartbeat.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::installation::{Connected, Installation};
use super::{connect, installed};
use crate::error::{Error, Result};
use crate::install::not_installed;
use crate::page::host;
use crate::page::layout::{HEARTBEAT_MIN, REASON};
use crate::status::{CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT, CM_ERR_UNSUPPORTED};
use crate::sys::raw;
use crate::wire::Payload;

/// After a monitor could not be reached, calls do not try again for the first of these; then for twice as long each time, up
/// to the second.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

/// When a monitor may be looked for again.
pub(super) static RETRY: Mutex<Option<Retry>> = Mutex::new(None);

pub(super) struct Retry {
    not_before: Instant,
    delay: Duration,
}

/// Has a file copied beside the process's dumps.
pub fn attach_file(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        return Err(Error::new(CM_ERR_INVALID_ARGUMENT, "path is empty: give a file's path"));
    }
    let path = std::path::absolute(path)
        .map_err(|error| Error::system(format_args!("cannot make {} absolute", path.display()), error))?;
    if path.file_name().is_none() {
        return Err(Error::new(CM_ERR_INVALID_ARGUMENT, format!("{} is no file: give a file's path", path.display())));
    }
    Ok(host::attach_file(path.as_os_str().as_encoded_bytes())?)
}

/// Starts the heartbeat: the host has to call `heartbeat` within each `within`; zero ends it.
pub fn start_heartbeat(within: Duration) -> Result<()> {
    if !within.is_zero() && within < HEARTBEAT_MIN {
        return Err(Error::new(
            CM_ERR_INVALID_ARGUMENT,
            format!("a heartbeat within {within:?} is too fast: give at least {HEARTBEAT_MIN:?}, or 0 for none"),
        ));
    }
    let mut installed = installed();
    let installation = installed.as_mut().ok_or_else(|| not_installed("cm_heartbeat_start"))?;
    host::start_heartbeat(within)?;
    // A new monitor reads the page at the hello, so it needs no message.
    if installation.monitor_is_there() { installation.announce_heartbeat() } else { reconnect(installation) }
}

/// Has the monitor dump the living process, blaming the calling thread. Gives the dump's path.
pub fn dump_now(reason: &str) -> Result<PathBuf> {
    if reason.len() > REASON {
        let length = reason.len();
        return Err(Error::new(CM_ERR_LIMIT, format!("the reason has {length} bytes: the limit is {REASON}")));
    }
    let settings = {
        let mut installed = installed();
        let installation = installed.as_mut().ok_or_else(|| not_installed("cm_dump_now"))?;
        if !installation.monitor_is_there() {
            reconnect(installation)?;
        }
        if !installation.welcomed {
            return Err(Error::new(
                CM_ERR_UNSUPPORTED,
                "the monitor is minidumper's server, which dumps no living process: leave cm_dump_now out there",
            ));
        }
        installation.settings.clone()
    };
    let payload = Payload::default().number(raw::gettid() as u32).string(reason.as_bytes()).0;
    connect::request_dump(&settings, &payload)
}

/// Finds or starts a monitor where ours has ended, or the connection is a parent process's.
fn reconnect(installation: &mut Installation) -> Result<()> {
    let mut retry = RETRY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(retry) = retry.as_ref().filter(|retry| Instant::now() < retry.not_before) {
        return Err(connect::no_monitor_yet(&installation.settings, retry.not_before - Instant::now()));
    }
    let connected = Connected::to_monitor(&installation.settings);
    *retry = connected.is_err().then(|| {
        let delay = retry.as_ref().map_or(BACKOFF[0], |retry| (retry.delay * 2).min(BACKOFF[1]));
        Retry { not_before: Instant::now() + delay, delay }
    });
    installation.reconnect(connected?)
}
