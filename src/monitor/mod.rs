//! The monitor's side: one process, one thread, blocked in epoll, serving the hosts of one user.
//!
//! `endpoint` is the socket and who may have it; `event_loop` waits and dispatches; `session` is one connection;
//! `hosts` knows the processes behind the connections. `dumping` and `dumper` have a short-lived child write each dump: `dump` is what
//! is in it, `record` the JSON beside it, `report` how both are written, `dump_file` how files get their names,
//! `retention` how many stay.

mod admission;
mod attachments;
pub(crate) mod callbacks;
mod connections;
mod dump;
mod dump_file;
mod dumper;
mod dumping;
mod endpoint;
mod event_loop;
mod extras;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod heartbeat;
mod hosts;
mod log;
mod options;
mod process_info;
mod record;
mod report;
mod retention;
mod session;
mod signal_names;

pub use options::Options;

use std::fs::DirBuilder;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::install::host_runs_monitor;
use crate::sys::process;
use crate::wire;

/// Serves, if this process was started as a monitor; says whether it was.
pub fn run_from_command_line() -> Result<bool> {
    match Options::from_own_command_line() {
        None => {
            host_runs_monitor();
            Ok(false)
        }
        Some(options) => run(&options?).map(|()| true),
    }
}

/// Serves until the last host has gone.
pub fn run(options: &Options) -> Result<()> {
    process::set_name(c"crash-monitor");
    let mut starter = options.ready_fd.and_then(process::inherited);
    let started = log::start(options).and_then(|()| {
        make_dump_dir(&options.dump_dir);
        endpoint::Endpoint::claim(&options.socket)
    });
    tell(&mut starter, started.as_ref().map(|_| ()));
    match started? {
        None => {
            ::log::info!("another monitor listens at {}: leaving it to that one", options.socket.display());
            Ok(())
        }
        Some(endpoint) => event_loop::serve(endpoint, starter, options),
    }
}

/// Without it the monitor serves all the same: hosts name directories of their own, and it is tried again for each dump.
fn make_dump_dir(path: &Path) {
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(path) {
        ::log::warn!("cannot make the dump directory {}: {error}", path.display());
    }
}

/// Tells the starter, if there is one, how starting went.
fn tell(starter: &mut Option<OwnedFd>, outcome: std::result::Result<(), &Error>) {
    if let Some(fd) = starter.take() {
        let mut pipe = std::fs::File::from(fd);
        // A starter that is gone is no reason not to serve others.
        let _ = pipe.write_all(&wire::ready(outcome.map_err(Error::message)));
        *starter = Some(pipe.into());
    }
}
