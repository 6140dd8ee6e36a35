//! The hosts that are known, and how a dump gets from the server's file to its host's directory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use minidumper::{LoopAction, MinidumpBinary};

use super::dumped_process;
use crate::monitor::callbacks;
use crate::monitor::options::Options;
use crate::monitor::report_files::{self, NewFile};
use crate::monitor::retention::{self, Limits};
use crate::settings;
use crate::wire::Hello;

/// Hosts that are known by name; beyond that the first ones are forgotten. Nobody tells which have ended.
const HOSTS_MAX: usize = 65_536;

/// Where a host wants its dumps, and under which name.
struct Host {
    pid: u32,
    dump_dir: PathBuf,
    app_name: String,
    retention: Limits,
}

pub(super) struct State {
    /// Where dumps are written, and stay where their host has said nothing.
    pub(super) dump_dir: PathBuf,
    stay: bool,
    pub(super) had_host: AtomicBool,
    pub(super) connections: AtomicUsize,
    hosts: Mutex<VecDeque<Host>>,
    /// The dump that the server is writing.
    writing: Mutex<Option<NewFile>>,
    /// What is done after hosts were let go.
    finishing: Mutex<Vec<JoinHandle<()>>>,
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
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

    pub(super) fn welcome(&self, hello: &Hello<'_>) {
        self.had_host.store(true, Ordering::Relaxed);
        let mut hosts = self.hosts();
        // A process that installs again, or connects anew, says hello again.
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
            app_name: settings::APP_NAME_DEFAULT.to_owned(),
            retention: Limits { files: settings::KEEP_FILES_DEFAULT, bytes: settings::KEEP_BYTES_DEFAULT },
        })
    }

    /// Gives a whole dump its name, under which its host may be let go.
    pub(super) fn publish(&self, dump: MinidumpBinary) {
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
            let mut file = NewFile::create(&host.dump_dir, &report_files::stem(&host.app_name, host.pid as i32))?;
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
        let exception = dumped_process::exception(&contents);
        match thread::Builder::new().spawn(move || finish(&file, path, host, exception)) {
            Ok(finishing) => self.finishing().push(finishing),
            Err(error) => log::error!("{name}: cannot see to its dump any more: {error}"),
        }
    }

    /// Waits for those that `which` chooses.
    pub(super) fn join(&self, which: impl Fn(&JoinHandle<()>) -> bool) {
        let chosen: Vec<_> = self.finishing().extract_if(.., |finishing| which(finishing)).collect();
        for finishing in chosen {
            // One that has panicked has said so.
            let _ = finishing.join();
        }
    }

    fn finishing(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.finishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writing(&self) -> MutexGuard<'_, Option<NewFile>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the monitor goes on with so many connections. One that says nothing is that of a monitor which looks whether
    /// one is here.
    pub(super) fn go_on(&self, connections: usize) -> LoopAction {
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

/// What nobody waits for. `exception` is the crashed thread and its exception's code, where the dump has them.
fn finish(file: &File, path: PathBuf, host: Host, exception: Option<(u32, u32)>) {
    if let Err(error) = file.sync_all() {
        log::warn!("process {}: cannot force {} to the disk: {error}", host.pid, path.display());
    }
    let newest = path.file_stem().unwrap_or_default().to_string_lossy();
    for removed in retention::prune(&host.dump_dir, host.retention, &newest) {
        log::info!("removed {}, over the limits of {}", removed.display(), host.dump_dir.display());
    }
    callbacks::report_written(&callbacks::Report {
        dump: Some(path),
        app_name: host.app_name,
        pid: host.pid,
        thread: exception.map_or(0, |(thread, _)| thread),
        // Elsewhere the code is no signal's number.
        signal: if cfg!(target_os = "linux") { exception.map_or(0, |(_, code)| code as i32) } else { 0 },
        ..Default::default()
    });
}
