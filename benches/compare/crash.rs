//! Crashes of one host or many, watched from outside: when the dumps are there, when the processes are gone.

use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::Timespec;

use crate::common::{Dump, PATIENCE, Sandbox};
use crate::host::{self, Load, Reporter, now};

/// How long hosts run before they crash.
const SETTLE: Duration = Duration::from_millis(20);

/// What was measured; times in milliseconds.
pub struct Outcome {
    /// From the first fault until the last dump was there under its name. None where one never came.
    pub visible: Option<f64>,
    /// From the first fault until the last process was waited for.
    pub reaped: f64,
    /// Sizes in bytes.
    pub dumps: Vec<u64>,
    /// How long each host took to install, in the order of their starts.
    pub installs: Vec<f64>,
}

impl Outcome {
    pub fn kilobytes(&self) -> Option<f64> {
        self.dumps.first().map(|bytes| *bytes as f64 / 1e3)
    }
}

/// Starts `count` hosts, the first of which starts the monitor, lets them crash at once, and waits for everything to be
/// over.
pub fn run(reporter: Reporter, load: Load, count: usize) -> Outcome {
    let sandbox = Sandbox::new();
    DirBuilder::new().mode(0o700).create(sandbox.dumps()).expect("make the dump directory");
    let mut dumps = Dumps::watch(&sandbox, reporter);
    let (gate, key) = std::io::pipe().expect("make a pipe");
    let mut hosts: Vec<Host> = Vec::new();
    for _ in 0..count {
        hosts.push(Host::start(reporter, load, &sandbox, &gate));
    }
    let pids: Vec<u32> = hosts.iter().map(|host| host.child.id()).collect();
    let installs = hosts.iter().map(|host| host.install).collect();
    let expected = if reporter == Reporter::Nobody { 0 } else { count };

    // What follows an install is over: a monitor is at rest when its host crashes.
    std::thread::sleep(SETTLE);
    // Every host waits for the end of this pipe.
    drop(key);
    let (mut last_seen, mut last_reaped) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    while (dumps.seen < expected || !hosts.is_empty()) && Instant::now() < deadline {
        wait(&dumps.inotify, &hosts);
        if dumps.news() {
            last_seen = now();
        }
        hosts.retain_mut(|host| {
            let ended = host.child.try_wait().expect("wait for a host");
            if let Some(status) = ended {
                last_reaped = now();
                assert_eq!(status.signal(), Some(libc::SIGSEGV), "the signal that ended a host of {}", reporter.name());
            }
            ended.is_none()
        });
    }
    assert!(hosts.is_empty(), "{} hosts of {} did not end", hosts.len(), reporter.name());

    let first_fault = pids.iter().map(|pid| fault_time(&sandbox, *pid)).min().expect("at least one host");
    let milliseconds = |time: u64| (time - first_fault) as f64 / 1e6;
    Outcome {
        visible: (expected > 0 && dumps.seen == expected).then(|| milliseconds(last_seen)),
        reaped: milliseconds(last_reaped),
        dumps: whole_dumps(&sandbox, load),
        installs,
    }
}

fn fault_time(sandbox: &Sandbox, pid: u32) -> u64 {
    let bytes = std::fs::read(host::fault_time_file(sandbox.path(), pid)).expect("read the time of the fault");
    u64::from_ne_bytes(bytes.try_into().expect("a number"))
}

/// The sizes of the dumps, each of which must have all threads and the fault's address.
fn whole_dumps(sandbox: &Sandbox, load: Load) -> Vec<u64> {
    let size = |path: std::path::PathBuf| {
        let dump = Dump::read(&path);
        assert_eq!(dump.thread_count(), load.threads + 1, "threads in {}", path.display());
        path.metadata().expect("the dump's size").len()
    };
    sandbox.dump_files().into_iter().map(size).collect()
}

/// A host that has installed. Killed when dropped.
pub struct Host {
    child: Child,
    /// Becomes readable when the process has ended.
    pidfd: OwnedFd,
    install: f64,
}

impl Host {
    /// It crashes at the end of `gate`.
    pub fn start(reporter: Reporter, load: Load, sandbox: &Sandbox, gate: &PipeReader) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["host", reporter.name()]).arg(sandbox.path());
        command.args([load.threads, load.mebibytes].map(|number| number.to_string()));
        command.stdin(gate.try_clone().expect("share the gate")).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start a host");
        let pid = Pid::from_raw(child.id() as i32).expect("a pid");
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("open a pidfd");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("read what the host says");
        let nanoseconds = line.strip_prefix("ready ").and_then(|number| number.trim().parse::<f64>().ok());
        Self { child, pidfd, install: nanoseconds.expect("a host that is ready") / 1e6 }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The dumps that have appeared in a directory.
struct Dumps {
    inotify: OwnedFd,
    seen: usize,
}

impl Dumps {
    fn watch(sandbox: &Sandbox, reporter: Reporter) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("watch for dumps");
        // A dump of ours is whole when it gets its name; one of minidumper's has its name from the start.
        let whole = if reporter == Reporter::CrashMonitor { WatchFlags::MOVED_TO } else { WatchFlags::CLOSE_WRITE };
        inotify::add_watch(&inotify, sandbox.dumps(), whole).expect("watch the dump directory");
        Self { inotify, seen: 0 }
    }

    /// Counts those that have come; whether any has.
    fn news(&mut self) -> bool {
        let before = self.seen;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().expect("of a file in the directory");
                    self.seen += usize::from(name.to_bytes().ends_with(b".dmp"));
                }
                Err(Errno::AGAIN) => return self.seen > before,
                Err(error) => panic!("read what inotify says: {error}"),
            }
        }
    }
}

/// Waits until a dump has come or a host has ended, at most a second.
fn wait(inotify: &OwnedFd, hosts: &[Host]) {
    let pidfds = hosts.iter().map(|host| &host.pidfd);
    let mut events: Vec<_> = [inotify].into_iter().chain(pidfds).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    rustix::event::poll(&mut events, Some(&second)).expect("poll");
}
