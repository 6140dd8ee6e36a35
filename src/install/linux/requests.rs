//! What a host requests: attached files, which go into the page; and of its monitor a dump of the living process, and to
//! watch its heartbeat.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::installation::{Connected, Retry};
use super::{HOST, Host, connect};
use crate::error::{Error, Result};
use crate::page::host as page;
use crate::page::layout::{HEARTBEAT_MIN, REASON};
use crate::status::{CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT, CM_ERR_UNSUPPORTED};
use crate::sys::lock::Call;
use crate::sys::raw;
use crate::wire::Payload;

/// After a monitor could not be reached, calls do not try again for the first of these; then for twice as long each time, up
/// to the second.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

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
    Ok(page::attach_file(path.as_os_str().as_encoded_bytes())?)
}

/// Starts the heartbeat: the host has to call `heartbeat` within each `within`; zero ends it.
pub fn start_heartbeat(within: Duration) -> Result<()> {
    if !within.is_zero() && within < HEARTBEAT_MIN {
        return Err(Error::new(
            CM_ERR_INVALID_ARGUMENT,
            format!("a heartbeat within {within:?} is too fast: give at least {HEARTBEAT_MIN:?}, or 0 for none"),
        ));
    }
    const CALL: &str = "cm_heartbeat_start";
    let mut host = HOST.lock();
    let installation = host.installed_for(CALL)?;
    page::start_heartbeat(within)?;
    // A new monitor reads the page at the hello, so it needs no message.
    if installation.monitor_is_there() { installation.announce_heartbeat() } else { reconnect(&mut host, CALL) }
}

/// Has the monitor dump the living process, blaming the calling thread. Gives the dump's path.
pub fn dump_now(reason: &str) -> Result<PathBuf> {
    if reason.len() > REASON {
        let length = reason.len();
        return Err(Error::new(CM_ERR_LIMIT, format!("the reason has {length} bytes: the limit is {REASON}")));
    }
    let settings = {
        const CALL: &str = "cm_dump_now";
        let mut host = HOST.lock();
        if !host.installed_for(CALL)?.monitor_is_there() {
            reconnect(&mut host, CALL)?;
        }
        let installation = host.installed_for(CALL)?;
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
fn reconnect(host: &mut Call<'_, Host>, call: &str) -> Result<()> {
    let installation = host.installed_for(call)?;
    let wait = installation.retry.as_ref().map(|retry| retry.not_before.saturating_duration_since(Instant::now()));
    if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
        return Err(connect::no_monitor_yet(&installation.settings, wait));
    }
    let settings = installation.settings.clone();
    let delay = installation.retry.as_ref().map_or(BACKOFF[0], |retry| (retry.delay * 2).min(BACKOFF[1]));
    match Connected::to_monitor(&settings) {
        Ok(connected) => host.change().arm(connected, settings),
        Err(error) => {
            if let Some(installation) = &mut host.change().installation {
                installation.retry = Some(Retry { not_before: Instant::now() + delay, delay });
            }
            Err(error)
        }
    }
}
