//! What /proc says of a host, for its record.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rustix::time::ClockId;

use crate::sys::identity::Identity;
use crate::sys::signals::Mask;

/// A host as its record describes it. Each part is None where it cannot be read, as when the host is gone.
#[derive(Clone, Default)]
pub(super) struct ProcessInfo {
    pub executable: Option<String>,
    pub command_line: Option<Vec<String>>,
    /// In clock ticks after boot.
    started: Option<u64>,
}

impl ProcessInfo {
    /// `tid` is a thread of the process that exists, see [`proc_entry`].
    pub(super) fn read(pid: i32, tid: i32) -> Self {
        let stat = Stat::of(pid);
        let entry = proc_entry(pid, stat.as_ref(), tid);
        let executable = std::fs::read_link(format!("/proc/{entry}/exe")).ok();
        let command_line = read(&format!("/proc/{entry}/cmdline")).ok().filter(|line| !line.is_empty());
        Self {
            executable: executable.map(|path| path.to_string_lossy().into_owned()),
            command_line: command_line.map(|line| {
                let line = line.strip_suffix(&[0]).unwrap_or(&line);
                line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
            }),
            started: stat.and_then(|stat| stat.field(22)),
        }
    }

    /// When the process began. By the clock that has run since boot, sleep included: the time of boot itself is known in
    /// whole seconds only.
    pub(super) fn started(&self) -> Option<SystemTime> {
        let now = rustix::time::clock_gettime(ClockId::Boottime);
        let began = Duration::from_millis(self.started? * 1000 / rustix::param::clock_ticks_per_second().max(1));
        let age = Duration::new(now.tv_sec as u64, now.tv_nsec as u32).saturating_sub(began);
        SystemTime::now().checked_sub(age)
    }
}

/// Reads a file of /proc. Its size is given as 0, so `std::fs::read` would begin with 32 bytes.
pub(super) fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// /proc/PID/stat as read once, from the third field on.
pub(super) struct Stat(String);

impl Stat {
    pub(super) fn of(pid: i32) -> Option<Self> {
        Self::read(&format!("/proc/{pid}/stat"))
    }

    pub(super) fn of_thread(pid: i32, tid: u32) -> Option<Self> {
        Self::read(&format!("/proc/{pid}/task/{tid}/stat"))
    }

    fn read(path: &str) -> Option<Self> {
        let stat = read(path).ok()?;
        // The second field, the name, may hold blanks and parentheses.
        String::from_utf8_lossy(&stat).rsplit_once(") ").map(|(_, rest)| Self(rest.to_owned()))
    }

    /// Field `number`, counted as proc(5) does.
    pub(super) fn field<T: FromStr>(&self, number: usize) -> Option<T> {
        self.0.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
    }

    /// Whether it is stopped, by a signal or by a tracer.
    pub(super) fn is_stopped(&self) -> bool {
        self.0.starts_with(['T', 't'])
    }

    pub(super) fn is_zombie(&self) -> bool {
        self.0.starts_with('Z')
    }
}

/// The id whose /proc entry shows what the threads of a process share: the process's own, or, where its main thread has ended
/// by pthread_exit(3) and its entry is empty, that of thread `other`. The host names `other`, so it is checked to be one of its
/// threads; otherwise the dump would show another process, which the host may not be allowed to read.
pub(super) fn proc_entry(pid: i32, stat: Option<&Stat>, other: i32) -> i32 {
    let is_zombie = stat.is_some_and(Stat::is_zombie);
    if is_zombie && Path::new(&format!("/proc/{pid}/task/{other}")).exists() { other } else { pid }
}

/// /proc/PID/status as read once.
pub(super) struct Status(String);

impl Status {
    pub(super) fn of(pid: i32) -> Option<Self> {
        Self::read(&format!("/proc/{pid}/status"))
    }

    pub(super) fn of_thread(pid: i32, tid: i32) -> Option<Self> {
        Self::read(&format!("/proc/{pid}/task/{tid}/status"))
    }

    fn read(path: &str) -> Option<Self> {
        Some(Self(String::from_utf8_lossy(&read(path).ok()?).into_owned()))
    }

    /// What stands behind a name; None where there is no such line.
    fn line(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    }

    fn numbers<T: FromStr>(&self, name: &str) -> Option<Vec<T>> {
        self.line(name)?.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
    }

    /// The signals that the thread has blocked.
    fn blocked(&self) -> Option<Mask> {
        Mask::from_str_radix(self.line("SigBlk")?.trim(), 16).ok()
    }

    /// The ids of the process or thread in each name space, the reader's first (proc(5), NSpid; Linux 4.1).
    pub(super) fn ids(&self) -> Option<Vec<i32>> {
        self.numbers("NSpid")
    }

    /// The effective user.
    pub(super) fn effective_uid(&self) -> Option<u32> {
        self.numbers("Uid")?.get(1).copied()
    }

    /// The user and groups that count when it opens a file.
    pub(super) fn identity(&self) -> Option<Identity> {
        let [uid, gid] = [self.numbers("Uid")?.get(3).copied()?, self.numbers("Gid")?.get(3).copied()?];
        Some(Identity { uid, gid, groups: self.numbers("Groups")? })
    }
}

/// The wait status of a process that has ended and was not waited for. The kernel shows it to the process's own user (proc(5),
/// field 52, exit_code).
pub(super) fn wait_status_of_zombie(pid: i32) -> Option<i32> {
    Stat::of(pid).filter(Stat::is_zombie)?.field(52)
}

/// The signals that the main thread of such a process has blocked (proc(5), "SigBlk").
pub(super) fn blocked_of_zombie(pid: i32) -> Option<Mask> {
    Stat::of(pid).filter(Stat::is_zombie)?;
    Status::of(pid)?.blocked()
}

/// Whether a process is exiting: its files are closed shortly before it is a zombie.
pub(super) fn is_exiting(pid: i32) -> bool {
    // include/linux/sched.h
    const PF_EXITING: u64 = 0x4;
    let flags = Stat::of(pid).and_then(|stat| stat.field::<u64>(9));
    // Without an entry it has been waited for already.
    flags.is_none_or(|flags| flags & PF_EXITING != 0)
}
