//! What a host tells its monitor between install and crash, and that it finds another monitor where one has gone.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::extras::{self, Message};
use super::installation::{Connected, Installation};
use super::{connect, installed};
use crate::error::{Error, Result};
use crate::install::not_installed;
use crate::limits;
use crate::status::{CM_ERR_INVALID_ARGUMENT, CM_ERR_UNSUPPORTED};
use crate::sys::raw;
use crate::wire::{self, Payload};

/// After a monitor could not be reached, calls do not try again for this long; twice as long each time, up to the second.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

/// When a monitor may be looked for again.
pub(super) static RETRY: Mutex<Option<Retry>> = Mutex::new(None);

pub(super) struct Retry {
    not_before: Instant,
    delay: Duration,
}

/// Sets or removes an annotation of the process's dumps.
pub fn set_annotation(key: &str, value: Option<&str>) -> Result<()> {
    tell(&extras::set_annotation(key, value)?)
}

/// Has a file copied beside the process's dumps.
pub fn attach_file(path: &Path) -> Result<()> {
    tell(&extras::attach_file(path)?)
}

/// Has memory put into the process's dumps.
pub fn add_memory(start: usize, length: usize) -> Result<()> {
    tell(&extras::add_memory(start as u64, length)?)
}

/// Has memory left out again.
pub fn remove_memory(start: usize) -> Result<()> {
    tell(&extras::remove_memory(start as u64)?)
}

/// Promises a sign of life within `within`, again and again; zero ends the promise.
pub fn start_heartbeat(within: Duration) -> Result<()> {
    if !within.is_zero() && within < limits::HEARTBEAT_MIN {
        return Err(Error::new(
            CM_ERR_INVALID_ARGUMENT,
            format!(
                "a heartbeat within {within:?} is too fast: give at least {:?}, or 0 for none",
                limits::HEARTBEAT_MIN
            ),
        ));
    }
    let mut installed = installed();
    let installation = installed.as_mut().ok_or_else(|| not_installed("cm_heartbeat_start"))?;
    installation.heartbeat = within;
    beat(installation)
}

/// Gives the sign of life that was promised.
pub fn heartbeat() -> Result<()> {
    let mut installed = installed();
    let installation = installed.as_mut().ok_or_else(|| not_installed("cm_heartbeat"))?;
    if installation.heartbeat.is_zero() {
        return Err(Error::new(
            CM_ERR_INVALID_ARGUMENT,
            "no heartbeat is promised: cm_heartbeat_start comes before cm_heartbeat",
        ));
    }
    beat(installation)
}

fn beat(installation: &mut Installation) -> Result<()> {
    reach(installation)?;
    let payload = Payload::default().number(installation.heartbeat.as_millis() as u32).0;
    installation.send(&Message { number: wire::USER_HEARTBEAT, payload })
}

/// Has the monitor dump the living process, blaming the calling thread; gives the dump's path.
pub fn dump_now(reason: &str) -> Result<PathBuf> {
    extras::at_most("the length of the reason", reason.len(), limits::REASON, "bytes")?;
    let settings = {
        let mut installed = installed();
        let installation = installed.as_mut().ok_or_else(|| not_installed("cm_dump_now"))?;
        reach(installation)?;
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

/// Tells the monitor, if the process is installed. What is told is kept in any case, and told again to a new monitor.
fn tell(message: &Message) -> Result<()> {
    let mut installed = installed();
    let Some(installation) = installed.as_mut() else { return Ok(()) };
    if installation.monitor_is_there() {
        return installation.send(message);
    }
    // A new monitor is told everything, this message included.
    reach(installation)
}

/// Sees to it that there is a monitor: finds or starts another one where ours has gone, or is a forked child's parent's.
fn reach(installation: &mut Installation) -> Result<()> {
    if installation.monitor_is_there() {
        return Ok(());
    }
    let mut retry = RETRY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(retry) = retry.as_ref().filter(|retry| Instant::now() < retry.not_before) {
        return Err(connect::gone(&installation.settings, retry.not_before - Instant::now()));
    }
    let connected = Connected::to_monitor(&installation.settings);
    *retry = connected.is_err().then(|| {
        let delay = retry.as_ref().map_or(BACKOFF[0], |retry| (retry.delay * 2).min(BACKOFF[1]));
        Retry { not_before: Instant::now() + delay, delay }
    });
    installation.reconnect(connected?)
}
