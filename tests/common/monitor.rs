//! Monitors that a test's hosts have started, and those that a test starts itself.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::{Host, PATIENCE, Sandbox, dist, process};

/// Waits, without a fixed time, until `condition` holds; fails the test after [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::yield_now();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// The pid of the process that listens at the socket, by its peer credentials.
pub fn pid_at(socket: &Path) -> Option<u32> {
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).ok()?;
    rustix::net::connect(&fd, &SocketAddrUnix::new(socket).ok()?).ok()?;
    let credentials = rustix::net::sockopt::socket_peercred(&fd).ok()?;
    Some(credentials.pid.as_raw_nonzero().get() as u32)
}

/// Lets the monitor at the socket end by itself, as it does after its last host; ends one that does not.
pub fn end_all(socket: &Path) {
    let start = Instant::now();
    while let Some(pid) = pid_at(socket) {
        if start.elapsed() > PATIENCE / 3 {
            // The pid comes from the socket inside this test's own directory: it is a monitor this test caused.
            return process::end(pid);
        }
        // Ever longer: each look takes a place in the queue of one that hangs, and once that is full connect(2) waits.
        std::thread::sleep(start.elapsed() / 4 + std::time::Duration::from_millis(1));
    }
}

/// A monitor that the test has started, with a log. It stays when its last host has gone; ended when dropped.
pub struct Monitor {
    child: Child,
    log: PathBuf,
}

impl Monitor {
    /// Starts a monitor at the sandbox's socket and waits until it listens.
    pub fn start(sandbox: &Sandbox) -> Self {
        Self::start_by(sandbox, Command::new(Self::program()))
    }

    /// Starts one whose backend is minidumper's server.
    pub fn start_minidumpers(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, Command::new(Self::program()), &["--backend", "minidumper"])
    }

    pub fn program() -> PathBuf {
        dist().join("bin/crash-monitor")
    }

    /// Starts a monitor with a command that ends with its program.
    pub fn start_by(sandbox: &Sandbox, command: Command) -> Self {
        Self::start_with(sandbox, command, &[])
    }

    fn start_with(sandbox: &Sandbox, mut command: Command, options: &[&str]) -> Self {
        let log = sandbox.path().join("monitor.log");
        std::fs::create_dir_all(sandbox.dumps()).expect("make the dump directory");
        command.args(["--crash-monitor", "--stay", "--dump-dir"]).arg(sandbox.dumps());
        command.arg("--socket").arg(sandbox.socket()).arg("--log-file").arg(&log).args(options);
        let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let monitor = Self { child, log };
        wait_until("the monitor to listen", || monitor.log().contains("listening at"));
        monitor
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The lines of the log that are warnings or errors.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.log();
        let level =
            |line: &&str| line.split_whitespace().nth(1).is_some_and(|level| ["WARN", "ERROR"].contains(&level));
        let complaints = log.lines().filter(level);
        complaints.map(str::to_owned).collect()
    }

    /// A new host crashes and gets its dump, from this monitor.
    pub fn assert_serves(&self, sandbox: &Sandbox) {
        assert_eq!(sandbox.monitor_pid(), Some(self.pid()));
        let ended = Host::c().run(sandbox, &["segv"]);
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
        sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    }

    /// Waits until a child of the monitor has attached itself to every thread of process `host`; gives the child.
    pub fn wait_for_dumper_of(&self, host: u32) -> u32 {
        let mut dumper = None;
        wait_until("a dumper to hold the host", || {
            let tracers = process::tracers(host);
            let mut children = process::children(self.pid()).into_iter();
            dumper = children.find(|child| tracers.iter().all(|tracer| tracer == child));
            dumper.is_some()
        });
        dumper.expect("just found")
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Without it nobody would end a dumper that hangs.
        process::children(self.pid()).into_iter().for_each(process::end);
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("the end of the monitor's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}
