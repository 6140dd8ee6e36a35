//! Processes that are stopped and resumed, without a dump. Each is this test program again, running one ignored test.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::process::StoppedProcess;
use super::tracer;
use crate::sys::ptrace::{ThreadEvents, ThreadState};

/// Says where the running threads count.
const COUNTERS: &str = "CRASH_MONITOR_TEST_COUNTERS";
const THREADS: &str = "CRASH_MONITOR_TEST_THREADS";
const PATIENCE: Duration = Duration::from_secs(20);

/// The other process: threads that count without end in a file, and one that aborts once it reads a line.
#[test]
#[ignore = "the process that the other tests stop"]
fn counting_process() {
    let Ok(path) = std::env::var(COUNTERS) else { return };
    let threads: u64 = std::env::var(THREADS).unwrap().parse().unwrap();
    let file = File::options().write(true).open(path).unwrap();
    for slot in 0..threads {
        let file = file.try_clone().unwrap();
        std::thread::spawn(move || {
            for count in 1_u64.. {
                file.write_all_at(&count.to_ne_bytes(), slot * 8).unwrap();
            }
        });
    }
    let crash = || {
        println!("ready {} {}", std::process::id(), rustix::thread::gettid());
        std::io::stdin().read_line(&mut String::new()).unwrap();
        std::process::abort();
    };
    // Of an odd number the main thread is one that waits.
    if threads.is_multiple_of(2) { crash() } else { std::thread::spawn(crash).join().unwrap() }
}

/// The process, whose parent is a shell that says how it ended: a tracer that is the parent too sees other ends.
struct Counting {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// 0 once it has ended.
    pid: i32,
    crashing: i32,
    counters: tempfile::NamedTempFile,
}

impl Counting {
    fn start(threads: usize) -> Self {
        let counters = tempfile::NamedTempFile::new().unwrap();
        let name = "monitor::linux::dump::tests::counting_process";
        let mut shell = Command::new("sh")
            .args(["-c", r#""$0" "$@"; echo "status $?""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
            .envs([(COUNTERS, counters.path().to_str().unwrap()), (THREADS, &threads.to_string())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = shell.stdin.take().unwrap();
        let output = BufReader::new(shell.stdout.take().unwrap());
        let mut counting = Self { shell, input, output, pid: 0, crashing: 0, counters };
        let ready = counting.wait_for("ready ");
        let (pid, crashing) = ready.split_once(' ').unwrap();
        (counting.pid, counting.crashing) = (pid.parse().unwrap(), crashing.parse().unwrap());
        counting.wait_until(|counters| counters.len() == threads && counters.iter().all(|count| *count > 0));
        counting
    }

    /// The rest of the line with this word. The test harness may have said something before it.
    fn wait_for(&mut self, word: &str) -> String {
        let mut lines = self.output.by_ref().lines().map(Result::unwrap);
        lines.find_map(|line| Some(line.split_once(word)?.1.to_owned())).expect(word)
    }

    fn counters(&self) -> Vec<u64> {
        let bytes = std::fs::read(self.counters.path()).unwrap();
        bytes.chunks_exact(8).map(|count| u64::from_ne_bytes(count.try_into().unwrap())).collect()
    }

    fn wait_until(&self, condition: impl Fn(&[u64]) -> bool) {
        let start = Instant::now();
        while !condition(&self.counters()) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.counters());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(&self) -> StoppedProcess {
        let mut process = StoppedProcess::stop(self.pid, self.crashing, true);
        let stopped = process.threads().unwrap();
        assert_eq!(stopped.missing, Vec::<String>::new());
        assert!(stopped.threads.iter().all(|thread| thread.registers.is_some()));
        let names = process.thread_names(&stopped);
        assert_eq!(names.len(), stopped.threads.len());
        assert!(names.iter().all(Option::is_some));
        process
    }

    /// The state letter of a process's main thread (proc(5)).
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = self.shell.wait();
    }
}

/// With few threads the calling thread is the tracer, with many another one.
const FEW_AND_MANY: [usize; 5] = [0, 1, 4, 50, 51];

#[test]
fn no_thread_runs_while_the_crashing_one_ends_the_process() {
    for threads in FEW_AND_MANY {
        let mut counting = Counting::start(threads);
        let mut process = counting.stop();
        let before = counting.counters();
        process.resume_crashing_thread_only(PATIENCE);
        let start = Instant::now();
        counting.input.write_all(b"\n").unwrap();
        process.resume();
        // 128 and the signal's number (sh(1)).
        let status = counting.wait_for("status ");
        counting.pid = 0;
        assert_eq!(status, (128 + libc::SIGABRT).to_string(), "{threads} threads");
        assert!(start.elapsed() < PATIENCE / 2, "{threads} threads took {:?}", start.elapsed());
        assert_eq!(counting.counters(), before, "{threads} threads");
    }
}

#[test]
fn a_process_that_is_killed_while_it_is_stopped_ends_at_once() {
    for threads in FEW_AND_MANY {
        let mut counting = Counting::start(threads);
        let mut process = counting.stop();
        let pid = rustix::process::Pid::from_raw(counting.pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        process.resume_crashing_thread_only(PATIENCE);
        let start = Instant::now();
        process.resume();
        let status = counting.wait_for("status ");
        counting.pid = 0;
        assert_eq!(status, (128 + libc::SIGKILL).to_string(), "{threads} threads");
        assert!(start.elapsed() < PATIENCE / 2, "{threads} threads took {:?}", start.elapsed());
    }
}

#[test]
fn a_main_thread_that_was_killed_is_not_waited_for() {
    let mut counting = Counting::start(3);
    let mut process = counting.stop();
    let pid = rustix::process::Pid::from_raw(counting.pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    counting.wait_until(|_| counting.state() == 'Z');
    let start = Instant::now();
    let events = ThreadEvents::watch().unwrap();
    let state = tracer::registers(&events, counting.pid, false, true, start + PATIENCE).err();
    assert_eq!(state, Some(ThreadState::Ended));
    // Nobody but this thread traces it, which does not end.
    process.resume();
    let status = counting.wait_for("status ");
    counting.pid = 0;
    assert_eq!(status, (128 + libc::SIGKILL).to_string());
    assert!(start.elapsed() < PATIENCE / 2, "took {:?}", start.elapsed());
}

#[test]
fn all_threads_go_on_where_the_process_does_not_end_in_time() {
    for threads in [3, 50] {
        let counting = Counting::start(threads);
        let mut process = counting.stop();
        let before = counting.counters();
        process.resume_crashing_thread_only(Duration::from_millis(50));
        assert_eq!(counting.counters(), before);
        process.resume();
        counting.wait_until(|counters| counters.iter().zip(&before).all(|(now, before)| now > before));
    }
}

#[test]
fn a_process_that_was_stopped_by_a_signal_stays_so() {
    for threads in [3, 50] {
        let counting = Counting::start(threads);
        let pid = rustix::process::Pid::from_raw(counting.pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        counting.wait_until(|_| counting.state() == 'T');
        drop(counting.stop());
        counting.wait_until(|_| counting.state() == 'T');
        let before = counting.counters();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(counting.counters(), before);
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        counting.wait_until(|counters| counters.iter().zip(&before).all(|(now, before)| now > before));
    }
}
