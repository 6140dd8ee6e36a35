//! The children that write dumps: a bounded number at a time, each with a deadline.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use super::dumper::{Dumper, Job, Work};
use super::event_loop::{Monitor, Token};
use crate::wire;

/// Dumps written at a time; further ones wait for their turn.
const DUMPERS_MAX: usize = 8;

impl Monitor {
    pub(super) fn start_dumpers(&mut self) {
        while self.dumpers.len() < DUMPERS_MAX {
            let Some(job) = self.queue.pop_front() else { return };
            match Dumper::start(job) {
                Ok(dumper) => {
                    let id = self.new_id();
                    self.watch(dumper.result.as_fd(), Token::Dumper(id));
                    self.dumpers.insert(id, dumper);
                }
                Err(failed) => {
                    let (job, error) = *failed;
                    log::error!("process {}: nothing written: cannot start a dumper: {error}", job.pid);
                    self.acknowledge(&job);
                }
            }
        }
    }

    pub(super) fn dumper_speaks(&mut self, id: u64) {
        let Some(mut dumper) = self.dumpers.remove(&id) else { return };
        let pid = dumper.job.pid;
        match dumper.read_result() {
            Some(outcome) => {
                match outcome {
                    Ok(path) => log::info!("process {pid}: wrote {}", path.display()),
                    Err(reason) => log::error!("process {pid}: {reason}"),
                }
                if !std::mem::replace(&mut dumper.acked, true) {
                    self.acknowledge(&dumper.job);
                }
                self.dumpers.insert(id, dumper);
            }
            None => {
                let _ = epoll::delete(&self.epoll, &dumper.result);
                if !dumper.acked {
                    self.acknowledge(&dumper.job);
                }
                if let Some(fate) = dumper.reap() {
                    log::error!("process {pid}: the dumper {fate}");
                }
            }
        }
    }

    /// The host need not wait any longer. It may be gone already.
    fn acknowledge(&mut self, job: &Job) {
        if let Work::Crash { session, .. } = job.work {
            self.reply(session, &wire::header(wire::KIND_CRASH_ACK, 0));
        }
    }

    pub(super) fn time_to_next_deadline(&self) -> Option<Duration> {
        let next = self.dumpers.values().map(|dumper| dumper.deadline).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    pub(super) fn end_late_dumpers(&mut self) {
        let now = Instant::now();
        for dumper in self.dumpers.values_mut().filter(|dumper| dumper.deadline <= now) {
            log::error!("process {}: the dumper did not end in time and is ended", dumper.job.pid);
            dumper.kill();
            // Its end comes through its pipe; until then it has no deadline any more.
            dumper.deadline = now + Duration::from_secs(3600);
        }
    }
}
