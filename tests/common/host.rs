//! Host processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};

use super::{PATIENCE, Sandbox, dist, run};

/// A host program, built once for each test program.
pub struct Host {
    pub path: PathBuf,
}

impl Host {
    /// `tests/hosts/host.c`, linked with the shared library.
    pub fn c() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(|| Self::build("host.c", "host", &[]))
    }

    /// `tests/hosts/shapes.c`.
    pub fn shapes() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(|| Self::build("shapes.c", "shapes", &[]))
    }

    /// Builds a source of `tests/hosts` with further compiler arguments.
    pub fn build(source: &str, name: &str, arguments: &[&str]) -> Self {
        let compiler = if source.ends_with(".cpp") { "g++" } else { "gcc" };
        Self::build_with(compiler, &dist(), source, name, arguments)
    }

    /// Builds one with a compiler of its own, for the library that is in `dist`.
    pub fn build_with(compiler: &str, dist: &Path, source: &str, name: &str, arguments: &[&str]) -> Self {
        // One directory a test program: they may run at the same time.
        let program = std::env::current_exe().expect("this test program");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program.file_name().expect("its name"));
        std::fs::create_dir_all(&directory).expect("make the hosts' directory");
        let path = directory.join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(source);
        let lib = dist.join("lib");
        run(Command::new(compiler)
            .args(["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-infinite-recursion", "-pthread"])
            .arg(format!("-I{}", dist.join("include").display()))
            .arg(&source)
            .args(arguments)
            .arg(format!("-L{}", lib.display()))
            .args(["-lcrash_monitor", &format!("-Wl,-rpath,{}", lib.display())])
            .arg("-o")
            .arg(&path));
        Self { path }
    }

    /// `host DUMP_DIR - KIND [ARGUMENTS]`, not started yet.
    pub fn command(&self, sandbox: &Sandbox, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(sandbox.dumps()).arg("-").args(arguments);
        command
    }

    /// Runs the host to its end.
    pub fn run(&self, sandbox: &Sandbox, arguments: &[&str]) -> Ended {
        self.start(sandbox, arguments).end()
    }

    /// Starts the host.
    pub fn start(&self, sandbox: &Sandbox, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(sandbox, arguments))
    }
}

/// A host that runs. Killed when dropped.
pub struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    seen: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, output, seen: String::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads on until a line starts with `word`; gives the rest of that line. The host's own end ends the wait.
    pub fn wait_for(&mut self, word: &str) -> String {
        loop {
            self.wait_for_output(word);
            let mut line = String::new();
            let length = self.output.read_line(&mut line).expect("read the host's output");
            assert!(length > 0, "the host ended without saying {word:?}; it said:\n{}", self.seen);
            self.seen.push_str(&line);
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Waits until there is something to read, or nothing more to come.
    fn wait_for_output(&self, word: &str) {
        if self.output.buffer().is_empty() {
            let mut output = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
            let patience = PATIENCE.try_into().expect("seconds");
            let ready = rustix::io::retry_on_intr(|| poll(&mut output, Some(&patience))).expect("poll");
            assert!(ready > 0, "waited {PATIENCE:?} for the host to say {word:?}; it said:\n{}", self.seen);
        }
    }

    /// Lets a host go on that waits for a line.
    pub fn go_on(&mut self) {
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(b"\n").expect("write to the host");
    }

    /// Waits for the host's end.
    pub fn end(mut self) -> Ended {
        let start = Instant::now();
        let pid = self.child.id();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait for the host") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "the host did not end; it said:\n{}", self.seen);
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        let mut output = std::mem::take(&mut self.seen);
        self.output.read_to_string(&mut output).expect("read the host's output");
        Ended { pid, status, output, took: start.elapsed() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A host that has ended.
#[derive(Debug)]
pub struct Ended {
    pub pid: u32,
    pub status: ExitStatus,
    pub output: String,
    pub took: std::time::Duration,
}

impl Ended {
    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The rest of the line that starts with `word`.
    pub fn said(&self, word: &str) -> &str {
        let line = self.output.lines().find_map(|line| line.strip_prefix(word));
        line.unwrap_or_else(|| panic!("the host did not say {word:?} but:\n{}", self.output)).trim()
    }

    /// The address that it was about to write to.
    pub fn address(&self) -> u64 {
        let address = self.said("address ");
        u64::from_str_radix(address.trim_start_matches("0x"), 16).expect("an address")
    }

    /// The id of the thread that was about to crash.
    pub fn crashing_thread(&self) -> u32 {
        let (_, tid) = self.said("ready ").split_once(' ').expect("pid and tid");
        tid.parse().expect("a number")
    }
}
