//! The connected processes: what is known of each, and when its heartbeat is due.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::heartbeat::Heartbeat;
use super::record::HostInfo;
use super::retention::Limits;
use crate::settings::{self, DumpContents};

/// Where a host wants its dumps, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub dump_dir: PathBuf,
    pub app_name: String,
    pub retention: Limits,
    pub contents: DumpContents,
    /// How long a writer may take, and so hold the host.
    pub deadline: Duration,
}

impl Description {
    /// For a host that has sent no hello.
    pub(super) fn default_in(dump_dir: &Path) -> Self {
        Self {
            dump_dir: dump_dir.to_owned(),
            app_name: settings::APP_NAME_DEFAULT.to_owned(),
            retention: Limits { files: settings::KEEP_FILES_DEFAULT, bytes: settings::KEEP_BYTES_DEFAULT },
            contents: DumpContents::default(),
            deadline: settings::DEADLINE_DEFAULT,
        }
    }
}

/// One host. `P` is the platform's handle of a process.
pub(super) struct Host<P> {
    pub process: P,
    /// From its hello; None for a client of minidumper, which sends none.
    pub description: Option<Description>,
    /// What its records say of it, read at its hello, while the process lives.
    pub info: Option<HostInfo>,
    /// It has said goodbye or reported a crash: its end needs no record.
    pub end_expected: bool,
    /// How many connections it has open.
    sessions: usize,
    heartbeat: Option<Heartbeat>,
}

/// All hosts, by process id.
pub(super) struct Hosts<P>(BTreeMap<i32, Host<P>>);

impl<P> Hosts<P> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, pid: i32) -> Option<&Host<P>> {
        self.0.get(&pid)
    }

    pub(super) fn get_mut(&mut self, pid: i32) -> Option<&mut Host<P>> {
        self.0.get_mut(&pid)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Host<P>> {
        self.0.values()
    }

    /// Adds a process, without a connection yet.
    pub(super) fn insert(&mut self, pid: i32, process: P) {
        let host = Host { process, description: None, info: None, end_expected: false, sessions: 0, heartbeat: None };
        self.0.insert(pid, host);
    }

    pub(super) fn remove(&mut self, pid: i32) -> Option<Host<P>> {
        self.0.remove(&pid)
    }

    /// A connection of the host was opened.
    pub(super) fn add_session(&mut self, pid: i32) {
        if let Some(host) = self.get_mut(pid) {
            host.sessions += 1;
        }
    }

    /// A connection of the host was closed; gives the host where that was its last one.
    pub(super) fn remove_session(&mut self, pid: i32) -> Option<&Host<P>> {
        let host = self.0.get_mut(&pid)?;
        host.sessions -= 1;
        (host.sessions == 0).then_some(host)
    }

    /// From now on the host's end needs no record, and no heartbeat is expected.
    pub(super) fn expect_end(&mut self, pid: i32) {
        if let Some(host) = self.get_mut(pid) {
            host.end_expected = true;
            host.heartbeat = None;
        }
    }

    /// Sets the host's heartbeat: its timeout and last stamp; None for no heartbeat.
    pub(super) fn set_heartbeat(&mut self, pid: i32, promise: Option<(Duration, Duration)>) {
        if let Some(host) = self.get_mut(pid) {
            host.heartbeat = promise.and_then(|promise| Heartbeat::new(promise, Instant::now()));
        }
    }

    /// When the next heartbeat has to be checked.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|host| Some(host.heartbeat.as_ref()?.next_look)).min()
    }

    /// The hosts whose heartbeat is overdue, and their timeouts. `look` gives a host's stamp and whether it is stopped; None
    /// ends the heartbeat.
    pub(super) fn overdue(
        &mut self,
        now: Instant,
        look: impl Fn(&P) -> Option<(Duration, bool)>,
    ) -> Vec<(i32, Duration)> {
        let mut overdue = Vec::new();
        for (pid, host) in &mut self.0 {
            let Some(heartbeat) = host.heartbeat.as_mut().filter(|heartbeat| heartbeat.next_look <= now) else {
                continue;
            };
            match look(&host.process) {
                Some((stamp, is_stopped)) if heartbeat.look(stamp, is_stopped, now) => {
                    overdue.push((*pid, heartbeat.within))
                }
                Some(_) => {}
                None => host.heartbeat = None,
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_is_told_once() {
        const WITHIN: Duration = Duration::from_secs(1);
        let mut hosts = Hosts::new();
        hosts.insert(1, ());
        hosts.insert(2, ());
        hosts.set_heartbeat(1, Some((WITHIN, Duration::ZERO)));
        hosts.set_heartbeat(2, Some((60 * WITHIN, Duration::ZERO)));
        let mut overdue = Vec::new();
        for _ in 0..12 {
            let next = hosts.next_deadline().unwrap();
            overdue.extend(hosts.overdue(next, |()| Some((Duration::ZERO, false))));
        }
        assert_eq!(overdue, [(1, WITHIN)]);
        hosts.set_heartbeat(1, None);
        hosts.set_heartbeat(2, None);
        assert_eq!(hosts.next_deadline(), None);
    }
}
