//! The monitor's side: a process that serves the hosts of one user.
//!
//! `linux` is the backend for Linux; `minidumper` is that for other systems, minidumper's server, which can be chosen on
//! Linux too. Both share the command line (`options`), the `log`, the `starter` that waits, the socket's `lock`, how files
//! get their names (`dump_file`) and how many stay (`retention`), and the program's own functions (`callbacks`).

pub(crate) mod callbacks;
mod dump_file;
#[cfg(target_os = "linux")]
mod linux;
mod lock;
mod log;
mod minidumper;
mod options;
mod retention;
mod starter;

#[cfg(all(target_os = "linux", fuzzing))]
#[doc(hidden)]
pub use linux::fuzzing;
pub use options::{Backend, Options};

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};
use crate::status::CM_ERR_SOCKET;
use crate::sys::{files, program, termination};
use starter::Starter;

/// Serves, if this process was started as a monitor; says whether it was.
pub fn run_from_command_line() -> Result<bool> {
    match Options::from_own_command_line() {
        None => {
            program::set_can_be_monitor();
            Ok(false)
        }
        Some(options) => run(&options?).map(|()| true),
    }
}

/// Serves until the last host has gone.
pub fn run(options: &Options) -> Result<()> {
    match options.backend {
        #[cfg(target_os = "linux")]
        Backend::Linux => run_with(linux::claim, linux::serve, options),
        Backend::Minidumper => run_with(minidumper::claim, minidumper::serve, options),
    }
}

/// `claim` begins to listen at a path, where no other monitor does; `serve` goes on until the last host has gone.
fn run_with<Endpoint>(
    claim: impl FnOnce(&Path) -> Result<Option<Endpoint>>,
    serve: impl FnOnce(Endpoint, Option<File>, &Options) -> Result<()>,
    options: &Options,
) -> Result<()> {
    let mut starter = Starter::of(options);
    let started = log::start(options).and_then(|()| {
        make_dump_dir(&options.dump_dir);
        let endpoint = claim(&options.socket)?;
        // Before the starter is told, who may have ended: SIGPIPE would end this process.
        termination::watch().map_err(|error| Error::system("cannot handle SIGTERM", error))?;
        Ok(endpoint)
    });
    starter.tell(started.as_ref().map(|_| ()));
    match started? {
        None => {
            ::log::info!("another monitor listens at {}: leaving it to that one", options.socket.display());
            Ok(())
        }
        Some(endpoint) => serve(endpoint, starter.into_pipe(), options),
    }
}

/// Without it the monitor serves all the same: hosts name directories of their own, and it is tried again for each dump.
fn make_dump_dir(path: &Path) {
    if let Err(error) = files::make_private_dir(path) {
        ::log::warn!("cannot make the dump directory {}: {error}", path.display());
    }
}

/// A socket at which nobody listens may be replaced; anything else must be left alone.
fn refuse_other_file(path: &Path) -> Result<()> {
    if files::is_no_socket(path) {
        return Err(unusable(path, "what lies there is not a socket and is left alone"));
    }
    Ok(())
}

/// The error for a socket path at which no monitor can listen.
fn unusable(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(CM_ERR_SOCKET, format!("cannot listen at {}: {why}", path.display()))
}
