//! The host's side in normal context: finding or starting a monitor, and installing the handlers.
//!
//! `linux` has handlers and a protocol of its own; `portable` (Windows, macOS) has those of crash-handler and minidumper.
//! `dump_dir`, `monitor_program` and the functions of this file are for both.

mod dump_dir;
#[cfg(target_os = "linux")]
mod linux;
mod monitor_program;
#[cfg(not(target_os = "linux"))]
mod portable;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use portable as platform;

pub(crate) use platform::{add_log_line, add_memory, heartbeat, remove_memory, set_annotation, set_thread_annotation};
pub use platform::{
    add_runtime_code, attach_file, dump_now, init_thread, install, is_armed, start_heartbeat, uninstall,
};

use std::time::Duration;

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::status::{CM_ERR_ALREADY_INSTALLED, CM_ERR_NOT_INSTALLED, CM_ERR_SOCKET, CM_ERR_TIMEOUT};
use crate::sys::files;
use crate::wire::{self, Hello, PROTOCOL_VERSION};

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

/// The payload of the host's hello; `page` is the address of its page, or 0.
fn hello_payload(settings: &Settings, page: u64) -> Vec<u8> {
    wire::hello(&Hello {
        version: PROTOCOL_VERSION,
        pid: std::process::id(),
        dump_dir: &settings.dump_dir,
        app_name: &settings.app_name,
        keep_files: settings.keep_files,
        keep_bytes: settings.keep_bytes,
        contents: settings.contents,
        deadline_ms: settings.deadline.as_millis() as u32,
        page,
    })
}

fn not_installed(call: &str) -> Error {
    Error::new(CM_ERR_NOT_INSTALLED, format!("not installed in this process: cm_install comes before {call}"))
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

/// Refuses a socket path at which something other than a socket lies. A socket that no process listens at may be replaced.
fn refuse_other_file(settings: &Settings) -> Result<()> {
    if files::is_no_socket(&settings.socket_path) {
        return Err(unusable(settings, "what lies there is not a socket and is left alone: give another path"));
    }
    Ok(())
}
