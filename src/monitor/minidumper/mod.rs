//! The backend that is minidumper's server: the only one on Windows and macOS; on Linux `--backend minidumper` asks for it.
//!
//! One dump after another in one thread, which wakes every 10 ms. It believes its clients, and a malformed message ends it.
//! Beside a dump there is no record, no attachment and no annotation; deaths and heartbeats are not watched.

mod dumped_process;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use minidumper::{LoopAction, MinidumpBinary, Server, ServerHandler, SocketName};

use super::dump_file::{self, NewFile};
#[cfg(target_os = "linux")]
use super::linux::somebody_listens;
use super::lock::Lock;
use super::retention::{self, Limits};
use super::{Options, callbacks, unusable};
use crate::config;
use crate::error::{Error, Result};
use crate::sys::{descriptors, files, termination};
use crate::wire::{self, Hello, PROTOCOL_VERSION};

/// Hosts that are known by name; beyond that the first ones are forgotten. Nobody tells which have ended.
const HOSTS_MAX: usize = 65_536;
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
    if files::is_no_socket(socket) {
        return Err(unusable(socket, "what lies there is not a socket and is left alone"));
    }
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
    dump_file::remove_abandoned(&options.dump_dir);
    let state = Arc::new(State::new(options));
    if starter.is_some() {
        give_up_without_host(&state);
    }
    let served = server.run(Box::new(Handler(state.clone())), &termination::REQUESTED, None);
    release(server, &options.socket);
    state.join(|_| true);
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

/// Where a host wants its dumps, and under which name.
struct Host {
    pid: u32,
    dump_dir: PathBuf,
    app_name: String,
    retention: Limits,
}

struct State {
    /// Where dumps are written, and stay where their host has said nothing.
    dump_dir: PathBuf,
    stay: bool,
    had_host: AtomicBool,
    connections: AtomicUsize,
    hosts: Mutex<VecDeque<Host>>,
    /// The dump that the server is writing.
    writing: Mutex<Option<NewFile>>,
    /// What is done after hosts were let go.
    finishing: Mutex<Vec<JoinHandle<()>>>,
}

impl State {
    fn new(options: &Options) -> Self {
        Self {
            dump_dir: options.dump_dir.clone(),
            stay: options.stay,
            had_host: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            hosts: Mutex::default(),
            writing: Mutex::default(),
            finishing: Mutex::default(),
        }
    }

    fn hosts(&self) -> MutexGuard<'_, VecDeque<Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn welcome(&self, hello: &Hello<'_>) {
        self.had_host.store(true, Ordering::Relaxed);
        let mut hosts = self.hosts();
        // A host on Linux has two connections and says it on both.
        hosts.retain(|host| host.pid != hello.pid);
        if hosts.len() == HOSTS_MAX {
            hosts.pop_front();
        }
        hosts.push_back(Host {
            pid: hello.pid,
            dump_dir: hello.dump_dir.to_owned(),
            app_name: hello.app_name.to_owned(),
            retention: Limits { files: hello.keep_files, bytes: hello.keep_bytes },
        });
    }

    /// The host that has been dumped, as far as it is known.
    fn dumped_host(&self, dump: &[u8]) -> Host {
        let pid = dumped_process::id(dump).unwrap_or_default();
        let mut hosts = self.hosts();
        let known = hosts.iter().position(|host| host.pid == pid).and_then(|at| hosts.remove(at));
        known.unwrap_or_else(|| Host {
            pid,
            dump_dir: self.dump_dir.clone(),
            app_name: config::APP_NAME_DEFAULT.to_owned(),
            retention: Limits { files: config::KEEP_FILES_DEFAULT, bytes: config::KEEP_BYTES_DEFAULT },
        })
    }

    /// Gives a whole dump its name, under which its host may be let go.
    fn publish(&self, dump: MinidumpBinary) {
        let written = contents(dump);
        // Its space is needed for the same once more.
        self.writing().take();
        let failed = |host: &str, error: io::Error| log::error!("cannot write the dump of {host}: {error}");
        let contents = match written {
            Ok(contents) => contents,
            Err(error) => return failed("a process", error),
        };
        let host = self.dumped_host(&contents);
        let name = format!("process {}", host.pid);
        let publish = || {
            let mut file = NewFile::create(&host.dump_dir, &dump_file::stem(&host.app_name, host.pid as i32))?;
            file.file.write_all(&contents)?;
            file.publish("dmp")
        };
        let (file, path) = match publish() {
            Ok(published) => published,
            Err(error) => return failed(&name, error),
        };
        log::info!("{name}: dump {} of {} bytes", path.display(), contents.len());
        // Those that have ended hold on to their stacks until they are joined.
        self.join(JoinHandle::is_finished);
        match thread::Builder::new().spawn(move || finish(&file, &path, &host)) {
            Ok(finishing) => self.finishing().push(finishing),
            Err(error) => log::error!("{name}: cannot see to its dump any more: {error}"),
        }
    }

    /// Waits for those that `which` chooses.
    fn join(&self, which: impl Fn(&JoinHandle<()>) -> bool) {
        let chosen: Vec<_> = self.finishing().extract_if(.., |finishing| which(finishing)).collect();
        for finishing in chosen {
            // One that has panicked has said so.
            let _ = finishing.join();
        }
    }

    fn finishing(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.finishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Option<NewFile>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the monitor goes on with so many connections. One that says nothing is that of a monitor which looks whether
    /// one is here.
    fn go_on(&self, connections: usize) -> LoopAction {
        self.connections.store(connections, Ordering::Relaxed);
        let last = connections == 0 && self.had_host.load(Ordering::Relaxed);
        if last && !self.stay { LoopAction::Exit } else { LoopAction::Continue }
    }
}

/// What minidumper's writer has written.
fn contents(mut dump: MinidumpBinary) -> io::Result<Vec<u8>> {
    if let Some(contents) = dump.contents {
        return Ok(contents);
    }
    let mut contents = Vec::new();
    dump.file.rewind()?;
    dump.file.read_to_end(&mut contents)?;
    Ok(contents)
}

/// What nobody waits for.
fn finish(file: &File, path: &Path, host: &Host) {
    if let Err(error) = file.sync_all() {
        log::warn!("process {}: cannot force {} to the disk: {error}", host.pid, path.display());
    }
    let newest = path.file_stem().unwrap_or_default().to_string_lossy();
    for removed in retention::prune(&host.dump_dir, host.retention, &newest) {
        log::info!("removed {}, over the limits of {}", removed.display(), host.dump_dir.display());
    }
    callbacks::written(Some(path), None);
}

struct Handler(Arc<State>);

impl ServerHandler for Handler {
    /// Which host it is for, minidumper's server does not say before the dump is written.
    fn create_minidump_file(&self) -> io::Result<(File, PathBuf)> {
        let create = |directory: &Path| NewFile::create(directory, &dump_file::stem(config::APP_NAME_DEFAULT, 0));
        let own = &self.0.dump_dir;
        // Hosts name directories of their own.
        let new = create(own).or_else(|_| create(&std::env::temp_dir()));
        let new = new.inspect_err(|error| log::error!("cannot make a file in {}: {error}", own.display()))?;
        let file = new.file.try_clone()?;
        *self.0.writing() = Some(new);
        Ok((file, PathBuf::new()))
    }

    fn on_minidump_created(&self, result: std::result::Result<MinidumpBinary, minidumper::Error>) -> LoopAction {
        match result {
            Ok(dump) => self.0.publish(dump),
            Err(error) => log::error!("cannot write a dump: {error}"),
        }
        self.0.writing().take();
        if cfg!(target_os = "macos") {
            // There the server forgets the crashed host's connection without a word.
            return self.0.go_on(self.0.connections.load(Ordering::Relaxed).saturating_sub(1));
        }
        LoopAction::Continue
    }

    fn on_message(&self, kind: u32, buffer: Vec<u8>) {
        match (kind, Hello::version_of(&buffer)) {
            (wire::USER_HELLO, Some(PROTOCOL_VERSION)) => match Hello::parse(&buffer) {
                Some(hello) => self.0.welcome(&hello),
                None => log::warn!("a host's hello is malformed"),
            },
            (wire::USER_HELLO, version) => {
                log::warn!("a host speaks protocol version {version:?}, this monitor {PROTOCOL_VERSION}");
            }
            _ => log::debug!("user message {kind} is not for this backend"),
        }
    }

    fn on_client_connected(&self, connections: usize) -> LoopAction {
        self.0.connections.store(connections, Ordering::Relaxed);
        LoopAction::Continue
    }

    fn on_client_disconnected(&self, connections: usize) -> LoopAction {
        self.0.go_on(connections)
    }
}
