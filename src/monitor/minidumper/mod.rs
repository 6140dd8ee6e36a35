//! The backend that is minidumper's server: the only one on Windows and macOS; on Linux `--backend minidumper` asks for it.
//!
//! It writes one dump after another in one thread, which wakes every 10 ms, and trusts its clients: a crash message that is
//! malformed, or in another process's name, ends it. It writes no records, copies no attached files, reads no page, and
//! notices neither deaths nor missing heartbeats.
//!
//! `handler` is what the server asks and tells; `state` knows the hosts and gives whole dumps their names, for which
//! `dumped_process` finds out whose they are; `finisher` does what nobody waits for.

mod dumped_process;
mod finisher;
mod handler;
mod state;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use minidumper::{Server, SocketName};

#[cfg(target_os = "linux")]
use super::linux::somebody_listens;
use super::options::Options;
use super::report_files;
use super::socket_lock::{Lock, unusable};
use crate::error::{Error, Result};
use crate::sys::{descriptors, files, termination};
use handler::Handler;
use state::State;

/// How long a monitor that starts waits for one that is there to take its connection.
#[cfg(not(target_os = "linux"))]
const PROBE: Duration = Duration::from_secs(1);
/// How long a monitor that a host has started waits for it.
const FIRST_HOST: Duration = Duration::from_secs(60);

/// Begins to listen at `socket`; None where another monitor does.
pub(super) fn claim(socket: &Path) -> Result<Option<Server>> {
    let _lock = Lock::take(socket)?;
    if somebody_listens(socket)? {
        return Ok(None);
    }
    let server = files::with_private_umask(|| Server::with_name(SocketName::Path(socket)));
    server.map(Some).map_err(|error| unusable(socket, error))
}

/// Whether a monitor is there. What is not a socket is left alone and an error: the server would remove it.
#[cfg(not(target_os = "linux"))]
fn somebody_listens(socket: &Path) -> Result<bool> {
    use std::sync::mpsc::{self, RecvTimeoutError};
    super::socket_lock::refuse_other_file(socket)?;
    // minidumper's client waits for ever for one that is stopped.
    let (sender, receiver) = mpsc::channel();
    let path = socket.to_owned();
    thread::spawn(move || {
        // Nobody may be listening any more.
        let _ = sender.send(minidumper::Client::with_name(SocketName::Path(&path)).is_ok());
    });
    match receiver.recv_timeout(PROBE) {
        Ok(connected) => Ok(connected),
        Err(RecvTimeoutError::Timeout) => Ok(true),
        Err(RecvTimeoutError::Disconnected) => Ok(false),
    }
}

/// Serves until the last host has gone and its dump is written.
pub(super) fn serve(mut server: Server, starter: Option<File>, options: &Options) -> Result<()> {
    log::info!("listening at {}, with minidumper's server", options.socket.display());
    descriptors::raise_limit();
    report_files::remove_abandoned(&options.dump_dir);
    let state = Arc::new(State::new(options));
    if starter.is_some() {
        give_up_without_host(&state);
    }
    let served = server.run(Box::new(Handler(state.clone())), &termination::REQUESTED, None);
    release(server, &options.socket);
    state.finisher.wait();
    match served {
        Ok(()) if termination::REQUESTED.load(Ordering::Relaxed) => log::info!("ending: asked to"),
        Ok(()) => log::info!("ending: no host is left"),
        Err(error) => {
            log::error!("ending: minidumper's server: {error}");
            return Err(Error::system("minidumper's server", error));
        }
    }
    Ok(())
}

/// Removes the socket, at which the server has stopped listening: another monitor may have begun to meanwhile.
fn release(server: Server, socket: &Path) {
    // Without the lock (the directory may be gone) there is nothing left to protect.
    let lock = Lock::take(socket);
    match somebody_listens(socket) {
        // It would remove the socket of the other one.
        Ok(true) | Err(_) => std::mem::forget(server),
        Ok(false) => {
            drop(server);
            lock.into_iter().for_each(Lock::remove);
        }
    }
}

/// The host that has started this monitor may have ended before it could connect.
fn give_up_without_host(state: &Arc<State>) {
    let state = state.clone();
    thread::spawn(move || {
        thread::sleep(FIRST_HOST);
        if !state.had_host.load(Ordering::Relaxed) {
            termination::REQUESTED.store(true, Ordering::Relaxed);
        }
    });
}
