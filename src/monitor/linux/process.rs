//! A process, and the proof that its id still belongs to it: the kernel reuses an id once its process has been waited for.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::host_page::HostPage;
use super::process_info::{self, ProcessInfo, Stat, Status};
use crate::monitor::record::HostInfo;
use crate::page::read::Entries;
use crate::sys::identity::Identity;
use crate::sys::process;
use crate::sys::signals::Mask;

/// One process, with what tells it from a later one of the same id.
#[derive(Clone)]
pub(super) struct Process {
    pub pid: i32,
    /// None on kernels before 5.3.
    pidfd: Option<Rc<OwnedFd>>,
    /// In clock ticks after boot (proc(5), starttime).
    started: Option<u64>,
    /// See [`process::unique_id`].
    unique: Option<u64>,
    pub page: HostPage,
    /// The dump directory as its hello has named it; see [`Self::directory`].
    pub named_directory: Option<Rc<OwnedFd>>,
}

/// See [`Process::to_parts`].
pub(super) type Parts = (i32, Option<u64>, Option<u64>, u64, [bool; 3]);

/// The rights of a process, with which the files are opened that it has named. It may have changed its user since it connected.
#[derive(Clone)]
pub(super) enum Rights {
    /// It has the monitor's user.
    Monitors,
    Of(Identity),
    /// The process is gone.
    Unknown,
}

impl Process {
    /// The process that has connected `socket`, whose id the socket's peer credentials say is `pid`.
    pub(super) fn of_peer(socket: BorrowedFd<'_>, pid: i32) -> Self {
        match process::peer_pidfd(socket) {
            Ok(pidfd) => Self::by_pidfd(pid, pidfd),
            Err(_) => Self::by_id(pid),
        }
    }

    /// The kernel says that the pidfd is the process's.
    fn by_pidfd(pid: i32, pidfd: OwnedFd) -> Self {
        let unique = process::unique_id(&pidfd);
        // Read only where the kernel has no unique id, and used only if the id was still the process's own afterwards.
        let started = if unique.is_none() { start_time(pid) } else { None };
        let started = started.filter(|_| process::has_its_id(&pidfd));
        Self { pid, pidfd: Some(Rc::new(pidfd)), started, unique, page: HostPage::default(), named_directory: None }
    }

    /// For kernels before 6.5, where only the id is known. Where the id is reused meanwhile the process counts as gone.
    fn by_id(pid: i32) -> Self {
        let before = start_time(pid);
        let pidfd = process::pidfd(pid);
        let started = start_time(pid).filter(|started| before == Some(*started));
        let pidfd = pidfd.filter(|_| started.is_some()).map(Rc::new);
        Self { pid, pidfd, started, unique: None, page: HostPage::default(), named_directory: None }
    }

    /// What a process that has none of this one's memory needs to know of it, besides its [`Self::descriptors`].
    pub(super) fn to_parts(&self) -> Parts {
        let has = self.optional_descriptors().map(|descriptor| descriptor.is_some());
        (self.pid, self.started, self.unique, self.page.address(), has)
    }

    /// All that are held of the process.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.optional_descriptors().into_iter().flatten()
    }

    fn optional_descriptors(&self) -> [Option<BorrowedFd<'_>>; 3] {
        [self.end(), self.page.memfd(), self.named_directory.as_deref().map(OwnedFd::as_fd)]
    }

    /// Takes what [`Self::to_parts`] and [`Self::descriptors`] have given.
    pub(super) fn from_parts(parts: Parts, descriptors: &mut impl Iterator<Item = OwnedFd>) -> Self {
        let (pid, started, unique, address, has) = parts;
        let [pidfd, memfd, directory] = has.map(|has| if has { descriptors.next() } else { None });
        let (pidfd, named_directory) = (pidfd.map(Rc::new), directory.map(Rc::new));
        Self { pid, pidfd, started, unique, page: HostPage::new(address, memfd), named_directory }
    }

    /// Whether both are one process.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.pid == other.pid && self.unique == other.unique && self.started == other.started
    }

    /// Whether the process has ended and another one has its id by now. Then nothing that is read by the id may be used.
    pub(super) fn id_is_reused(&self) -> bool {
        let has_its_id = self.pidfd.as_deref().is_some_and(process::has_its_id);
        !has_its_id && start_time(self.pid).is_some_and(|now| self.started != Some(now))
    }

    /// What /proc says of the process, whose thread `tid` exists; nothing where its id is reused.
    pub(super) fn info(&self, tid: i32) -> HostInfo {
        let info = ProcessInfo::read(self.pid, tid);
        if self.id_is_reused() {
            return HostInfo::default();
        }
        let started = info.started();
        HostInfo { executable: info.executable, command_line: info.command_line, started }
    }

    /// The rights that it has now.
    pub(super) fn rights(&self) -> Rights {
        let identity = Status::of(self.pid).and_then(|status| status.identity());
        match identity.filter(|_| !self.id_is_reused()) {
            Some(identity) if identity.uid == rustix::process::geteuid().as_raw() => Rights::Monitors,
            Some(identity) => Rights::Of(identity),
            None => Rights::Unknown,
        }
    }

    /// By what path files are made in its dump directory, which it calls `named`. Where it has not the monitor's user any more,
    /// another directory may lie there by now, so it is the one that lay there at its hello.
    pub(super) fn directory(&self, named: &Path, rights: &Rights) -> Result<PathBuf, String> {
        if matches!(rights, Rights::Monitors) {
            return Ok(named.to_owned());
        }
        let pinned = self.named_directory.as_ref().ok_or_else(|| {
            format!("process {} has not the monitor's user, and {} was not there before", self.pid, named.display())
        })?;
        Ok(PathBuf::from(format!("/proc/self/fd/{}", pinned.as_raw_fd())))
    }

    /// What the process has put into its page.
    pub(super) fn entries(&self) -> Entries {
        self.page.entries(self.pid, self.id_is_reused())
    }

    /// The process's heartbeat: its timeout and last stamp; None for no heartbeat.
    pub(super) fn heartbeat(&self) -> Option<(Duration, Duration)> {
        self.page.heartbeat(self.pid)
    }

    /// Whether the process is stopped, by a signal or a tracer.
    pub(super) fn is_stopped(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.is_stopped())
    }

    /// A descriptor that becomes readable when the process ends.
    pub(super) fn end(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_deref().map(OwnedFd::as_fd)
    }

    /// Whether the process is about to end: it closes its files shortly before that.
    pub(super) fn is_ending(&self) -> bool {
        self.pidfd.is_some() && (process_info::is_exiting(self.pid) || self.id_is_reused())
    }

    /// Its wait status, where the kernel tells it.
    pub(super) fn wait_status(&self) -> Option<i32> {
        let of_zombie = process_info::wait_status_of_zombie(self.pid);
        let pidfd = self.pidfd.as_deref();
        // Used only if the process had not been waited for when it was read, so that the zombie was this process.
        of_zombie.filter(|_| pidfd.is_none_or(process::has_its_id)).or_else(|| pidfd.and_then(process::wait_status))
    }

    /// The signals that its main thread has blocked at the process's end, as long as nobody has waited for the process.
    pub(super) fn blocked_at_end(&self) -> Option<Mask> {
        let of_zombie = process_info::blocked_of_zombie(self.pid);
        of_zombie.filter(|_| self.pidfd.as_deref().is_none_or(process::has_its_id))
    }

    /// Waits until the process has ended, at most for a time.
    pub(super) fn wait_for_end(&self, at_most: Duration) {
        if let Some(pidfd) = &self.pidfd {
            process::wait_for_end(pidfd, at_most);
        }
    }
}

fn start_time(pid: i32) -> Option<u64> {
    Stat::of(pid)?.field(22)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// A process that has ended and been waited for, and whose id is by now that of this one.
    pub(in crate::monitor::linux) fn with_our_id() -> Process {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pidfd = process::pidfd(child.id() as i32).unwrap();
        let unique = process::unique_id(&pidfd);
        child.wait().unwrap();
        let (pid, pidfd) = (std::process::id() as i32, Some(Rc::new(pidfd)));
        Process { pid, pidfd, started: Some(1), unique, page: HostPage::default(), named_directory: None }
    }

    #[test]
    fn a_peer_is_the_process_that_connected() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let pid = std::process::id() as i32;
        let [first, second] = [&ours, &theirs].map(|socket| Process::of_peer(socket.as_fd(), pid));
        assert!(first.is_same_as(&second));
        let before_6_5 = Process::by_id(pid);
        assert!(before_6_5.is_same_as(&Process::by_id(pid)));
        let before_5_3 = Process { pidfd: None, ..before_6_5.clone() };
        for process in [first, before_6_5, before_5_3] {
            assert!(!process.id_is_reused() && process.info(pid).executable.is_some());
        }
    }

    #[test]
    fn of_a_reused_id_nothing_is_told() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let gone = with_our_id();
        let pid = gone.pid;
        assert!(!gone.is_same_as(&Process::of_peer(socket.as_fd(), pid)));
        assert!(gone.id_is_reused());
        assert!(gone.info(pid).executable.is_none() && gone.is_ending());
        let before_5_3 = Process { pidfd: None, ..gone };
        assert!(before_5_3.id_is_reused());
    }
}
