//! The monitor's side: a process that serves the hosts of one user.
//!
//! There are two engines: `linux`, and `minidumper`, which is minidumper's server, for other systems and for `--backend
//! minidumper` on Linux. Both use the command line (`options`), the `log`, the lock of the socket's path (`socket_lock`), the
//! `report_files` with their `retention`, and the program's own functions (`callbacks`).
//!
//! `hosts`, `heartbeat`, `host_data`, the `queue` of jobs and the JSON `record` make no system calls of one platform, so a
//! further engine can use them; today `linux` alone does.

pub(crate) mod callbacks;
#[cfg(target_os = "linux")]
mod heartbeat;
#[cfg(target_os = "linux")]
mod host_data;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(target_os = "linux")]
mod linux;
mod log;
mod minidumper;
mod options;
#[cfg(target_os = "linux")]
mod queue;
#[cfg(target_os = "linux")]
mod record;
mod report_files;
mod retention;
mod socket_lock;

#[cfg(all(target_os = "linux", fuzzing))]
#[doc(hidden)]
pub use linux::fuzzing;
pub use options::{Backend, Options};

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};
use crate::sys::{self, program, termination};
use crate::wire;

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

/// `claim` begins to listen at a path where no other monitor listens; `serve` serves until the last host has gone.
fn run_with<Listener>(
    claim: impl FnOnce(&Path) -> Result<Option<Listener>>,
    serve: impl FnOnce(Listener, Option<File>, &Options) -> Result<()>,
    options: &Options,
) -> Result<()> {
    let mut ready = options.ready_fd.and_then(inherited);
    let started = log::start(options).and_then(|()| {
        make_dump_dir(&options.dump_dir);
        let listener = claim(&options.socket)?;
        // Before anything is written to the ready pipe, whose reader may have ended: SIGPIPE would end this process.
        let watch = termination::watch().map_err(|error| Error::system("cannot handle SIGTERM", error))?;
        Ok(listener.map(|listener| (listener, watch)))
    });
    if let Some(pipe) = &mut ready {
        // Where the starter has ended, other hosts may still come.
        let _ = pipe.write_all(&wire::ready(started.as_ref().map(|_| ()).map_err(Error::message)));
    }
    match started? {
        None => {
            ::log::info!("another monitor listens at {}: leaving it to that one", options.socket.display());
            Ok(())
        }
        Some((listener, _watch)) => serve(listener, ready, options),
    }
}

/// A failure is logged only: hosts name directories of their own, and each dump makes its directory again.
fn make_dump_dir(path: &Path) {
    if let Err(error) = sys::files::make_private_dir(path) {
        ::log::warn!("cannot make the dump directory {}: {error}", path.display());
    }
}

/// The pipe to the host that has started this monitor: while its reader waits, a host is about to connect.
#[cfg(target_os = "linux")]
fn inherited(fd: i32) -> Option<File> {
    sys::process::inherited(fd).map(File::from)
}

/// Elsewhere it is standard output, whatever the number.
#[cfg(not(target_os = "linux"))]
fn inherited(_fd: i32) -> Option<File> {
    #[cfg(unix)]
    let pipe = std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned();
    #[cfg(windows)]
    let pipe = std::os::windows::io::AsHandle::as_handle(&std::io::stdout()).try_clone_to_owned();
    pipe.ok().map(File::from)
}
