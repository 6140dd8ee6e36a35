//! What the tests share: hosts built from `tests/hosts`, run in a sandbox of their own and cleaned up after, and dumps
//! read with the `minidump` crate. The library under test is the one that users get, in `target/dist`.

#![allow(dead_code, unused_imports)] // Every test file is a program of its own and uses a part of this.

mod dump;
mod host;
mod monitor;
pub mod page;
pub mod peer;
pub mod process;

pub use dump::*;
pub use host::{Ended, Host, Running};
pub use monitor::{Monitor, wait_until};

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long anything may take before a test fails. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where the build puts what users get.
pub fn dist() -> PathBuf {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dist");
    if let Err(stale) = is_current(&dist) {
        panic!("{stale}: run `make dist` first");
    }
    dist
}

/// What scripts/musl.sh has built for musl; None, and a word about it, where it has not, as on a machine without musl-gcc.
pub fn musl() -> Option<PathBuf> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/musl");
    match is_current(&dist) {
        Ok(()) => Some(dist),
        Err(stale) => {
            skip(&format!("{stale}: run scripts/musl.sh first"));
            None
        }
    }
}

/// Whether a directory with built files is there and newer than the sources.
fn is_current(dist: &Path) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = dist.join(".made").metadata().and_then(|file| file.modified());
    let made = made.map_err(|_| format!("{} is missing", dist.display()))?;
    let older =
        ["src", "include", "bindings/cpp"].into_iter().find(|sources| newest_source(&root.join(sources)) > made);
    older.map_or(Ok(()), |sources| Err(format!("{} is older than {sources}", dist.display())))
}

fn newest_source(directory: &Path) -> std::time::SystemTime {
    let entries = std::fs::read_dir(directory).expect("read the sources");
    let times = entries.map(|entry| {
        let path = entry.expect("a source").path();
        if path.is_dir() { newest_source(&path) } else { path.metadata().unwrap().modified().unwrap() }
    });
    times.max().expect("there are sources")
}

/// Runs a command that must succeed, and gives its standard output.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

/// A program on PATH, behind links.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&path).map(|directory| directory.join(name));
    programs.find(|program| program.is_file())?.canonicalize().ok()
}

/// Says what is not tested, and why, past the harness, which swallows the output of tests that pass.
pub fn skip(reason: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "SKIPPED: {}: {reason}", std::thread::current().name().unwrap_or("?"))
        .expect("write to standard error");
}

/// A directory of a test's own, and the monitors that its hosts start there. When it goes, on success and on failure,
/// it waits for the monitors to end by themselves, ends those that do not, and removes everything.
pub struct Sandbox {
    directory: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where hosts of this sandbox are told to put their dumps; they make it.
    pub fn dumps(&self) -> PathBuf {
        self.path().join("dumps")
    }

    pub fn socket(&self) -> PathBuf {
        self.dumps().join("monitor.sock")
    }

    /// The files in the dump directory that end in `.dmp`.
    pub fn dump_files(&self) -> Vec<PathBuf> {
        self.files_with("dmp")
    }

    /// Those that end in `.json`.
    pub fn record_files(&self) -> Vec<PathBuf> {
        self.files_with("json")
    }

    /// Those that are not whole yet.
    pub fn temporary_files(&self) -> Vec<PathBuf> {
        self.files_with("tmp")
    }

    fn files_with(&self, extension: &str) -> Vec<PathBuf> {
        self.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
    }

    /// All files in the dump directory, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.dumps()) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The only dump, which must be there.
    pub fn only_dump(&self) -> Dump {
        let files = self.dump_files();
        assert_eq!(files.len(), 1, "one dump expected, found {files:?} among {:?}", self.files());
        Dump::read(&files[0])
    }

    /// The dump of process `pid`, which must be there.
    pub fn dump_of(&self, pid: u32) -> Dump {
        let suffix = format!("-{pid}.dmp");
        let files = self.dump_files();
        let of_pid = files.iter().find(|path| path.to_string_lossy().ends_with(&suffix));
        Dump::read(of_pid.unwrap_or_else(|| panic!("no dump of process {pid} among {files:?}")))
    }

    /// The records in the dump directory, in the order of their names.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let parse = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap()).expect("valid JSON");
        self.record_files().iter().map(parse).collect()
    }

    /// The only record, which must be there.
    pub fn only_record(&self) -> serde_json::Value {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "one record expected among {:?}", self.files());
        records.remove(0)
    }

    /// The monitor that listens at the socket, if one does.
    pub fn monitor_pid(&self) -> Option<u32> {
        monitor::pid_at(&self.socket())
    }

    /// Waits until the last monitor has gone and left nothing but dumps.
    pub fn wait_for_monitors_end(&self) {
        // The lock file beside the socket goes last.
        let lock = self.dumps().join("monitor.sock.lock");
        wait_until("the monitor to end", || !self.socket().exists() && !lock.exists());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        monitor::end_all(&self.socket());
    }
}
