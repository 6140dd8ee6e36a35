//! The hosts that are known, and how a dump gets from the server's file to its host's directory.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use minidumper::{LoopAction, MinidumpBinary};

use super::dumped_process;
use super::finisher::{Finisher, Written};
use crate::monitor::options::Options;
use crate::monitor::report_files::{self, NewFile};
use crate::monitor::retention::Limits;
use crate::settings;
use crate::wire::Hello;

/// Hosts that are known by name; beyond that the first ones are forgotten. Nobody tells which have ended.
const HOSTS_MAX: usize = 65_536;

/// Where a host wants its dumps, and under which name.
pub(super) struct Host {
    pub(super) pid: u32,
    pub(super) dump_dir: PathBuf,
    pub(super) app_name: String,
    pub(super) retention: Limits,
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
    pub(super) finisher: Finisher,
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
            finisher: Finisher::default(),
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
        let exception = dumped_process::exception(&contents);
        if let Err(error) = self.finisher.finish(Written { file, path, host, exception }) {
            log::error!("{name}: cannot see to its dump any more: {error}");
        }
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
