//! Hosts that promised a sign of life and gave none: each is dumped from outside, once, and lives on.

use std::time::{Duration, Instant};

use super::dumper::{Cause, Work};
use super::event_loop::Monitor;
use super::hosts::Heartbeat;

impl Monitor {
    /// The host lives, and says when it will say so again; zero for never.
    pub(super) fn heard_from(&mut self, pid: i32, within: Duration) {
        if let Some(host) = self.hosts.get_mut(&pid) {
            let promised = !within.is_zero();
            host.heartbeat = promised.then(|| Heartbeat { within, deadline: Instant::now() + within });
        }
    }

    pub(super) fn next_heartbeat(&self) -> Option<Instant> {
        self.hosts.values().filter_map(|host| Some(host.heartbeat.as_ref()?.deadline)).min()
    }

    /// Has those dumped that are overdue. The next sign of life makes a new promise.
    pub(super) fn dump_silent_hosts(&mut self) {
        let now = Instant::now();
        let overdue = |heartbeat: &Heartbeat| heartbeat.deadline <= now;
        let silent: Vec<(i32, Duration)> = self
            .hosts
            .iter_mut()
            .filter_map(|(pid, host)| Some((*pid, host.heartbeat.take_if(|heartbeat| overdue(heartbeat))?.within)))
            .collect();
        for (pid, within) in silent {
            log::warn!("process {pid} gave no sign of life for {within:?}");
            // Nobody is to blame; the main thread's id is the process's.
            self.enqueue(pid, Work::Dump { session: None, tid: pid, cause: Cause::Hang(within) });
        }
    }
}
