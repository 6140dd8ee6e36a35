//! What /proc says of processes, and signals for those that a test has started.

use rustix::process::{Pid, Signal};

/// Field `number` of /proc/PID/stat, counted as proc(5) does; None where there is no such process any more.
pub fn stat(pid: u32, number: usize) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split_whitespace().nth(number - 3).map(str::to_owned)
}

/// The rest of the line of /proc/PID/status that starts with `name`.
pub fn status(pid: u32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|rest| rest.trim().to_owned())
}

/// The process that traces each thread of a process, 0 for none. The tracer itself is a thread (ptrace(2)).
pub fn tracers(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let tids = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    let tracer = |tid: u32| status(tid, "TracerPid")?.parse().ok();
    let process = |tracer: u32| if tracer == 0 { Some(0) } else { status(tracer, "Tgid")?.parse().ok() };
    tids.filter_map(|tid| process(tracer(tid)?)).collect()
}

/// Whether the process runs. A monitor that has ended may be a zombie for long where a container's init does not wait.
pub fn is_alive(pid: u32) -> bool {
    stat(pid, 3).is_some_and(|state| state != "Z" && state != "X")
}

/// Those children of a process of one thread that have not ended.
pub fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().expect("a pid")).filter(|child| is_alive(*child)).collect()
}

/// The children of a monitor that write, or have the program's callback called.
pub fn writers(monitor: u32) -> Vec<u32> {
    let spare = spare(monitor);
    children(monitor).into_iter().filter(|child| Some(*child) != spare).collect()
}

/// The child of a monitor that waits for the next dump to be written.
pub fn spare(monitor: u32) -> Option<u32> {
    let is_spare = |child: &u32| status(*child, "Name").as_deref() == Some("crash-spare");
    children(monitor).into_iter().find(is_spare)
}

/// Waits until a monitor has such a child.
pub fn wait_for_spare(monitor: u32) -> u32 {
    let mut found = None;
    super::wait_until("a spare writer", || {
        found = spare(monitor);
        found.is_some()
    });
    found.expect("just seen")
}

/// Sends a signal to a process that this test has started, itself or through its hosts.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a pid");
    rustix::process::kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {pid:?}: {error}"));
}

/// Ends a process that this test has caused, if it has not ended meanwhile.
pub fn end(pid: u32) {
    match rustix::process::kill_process(Pid::from_raw(pid as i32).expect("a pid"), Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("cannot end {pid}: {error}"),
    }
}

/// A process that this test has started and that is stopped until this is dropped, also by a test that fails.
pub struct Stopped(u32);

impl Stopped {
    pub fn new(pid: u32) -> Self {
        signal(pid, Signal::STOP);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // An error where it has been ended meanwhile.
        let _ = rustix::process::kill_process(Pid::from_raw(self.0 as i32).expect("a pid"), Signal::CONT);
    }
}

/// Whether a record says of a process's end what is `expected`, or "unknown" on kernels before 6.15, which tell it only as
/// long as nobody has waited for the process.
pub fn is_exit(said: &serde_json::Value, expected: &serde_json::Value) -> bool {
    said == expected || (*said == "unknown" && !kernel_tells_how_processes_end())
}

/// Whether the kernel tells how a process has ended that somebody has waited for.
pub fn kernel_tells_how_processes_end() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}
