//! The children that write dumps: a bounded number at a time, each with a deadline.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use super::dumper::{self, Cause, Dumper, Job, Work};
use super::event_loop::{Monitor, Token};
use crate::wire::{self, Payload};

/// How long a dumper may take after the host has gone on: forcing files to the disk, and the program's own callback.
const AFTERWARDS: Duration = Duration::from_secs(600);

/// Dumps written at a time, with hosts that wait for them; further ones wait for their turn.
const DUMPERS_MAX: usize = 8;
/// Dumpers alive, with those that have only their own things left to do, which may take long. Each has a descriptor of ours.
const ALIVE_MAX: usize = 24;

impl Monitor {
    pub(super) fn start_dumpers(&mut self) {
        let awaited = |dumpers: &BTreeMap<u64, Dumper>| dumpers.values().filter(|dumper| !dumper.acked).count();
        while self.dumpers.len() < ALIVE_MAX && awaited(&self.dumpers) < DUMPERS_MAX {
            let Some(job) = self.queue.pop_front() else { return };
            match Dumper::start(job, &self.own_descriptors()) {
                Ok(dumper) => {
                    let id = self.new_id();
                    self.watch(dumper.result.as_fd(), Token::Dumper(id));
                    self.dumpers.insert(id, dumper);
                }
                Err(failed) => {
                    let (job, error) = *failed;
                    log::warn!("process {}: cannot start a dumper ({error}): writing here", job.pid);
                    dumper::write_here(&job, |outcome| {
                        if let Err(reason) = &outcome {
                            log::error!("process {}: {reason}", job.pid);
                        }
                        self.acknowledge(&job, &outcome);
                    });
                }
            }
        }
    }

    pub(super) fn dumper_speaks(&mut self, id: u64) {
        let Some(mut dumper) = self.dumpers.remove(&id) else { return };
        let pid = dumper.job.pid;
        match dumper.read_result() {
            Some(outcome) => {
                match &outcome {
                    Ok(path) => log::info!("process {pid}: wrote {}", path.display()),
                    Err(reason) => log::error!("process {pid}: {reason}"),
                }
                if !std::mem::replace(&mut dumper.acked, true) {
                    self.acknowledge(&dumper.job, &outcome);
                    dumper.deadline = Instant::now() + AFTERWARDS;
                }
                self.dumpers.insert(id, dumper);
            }
            None => {
                let _ = epoll::delete(&self.epoll, &dumper.result);
                let fate = dumper.reap();
                if let Some(fate) = &fate {
                    log::error!("process {pid}: the dumper {fate}");
                }
                if !dumper.acked {
                    self.dumper_failed(dumper, fate.unwrap_or_else(|| "ended without a result".to_owned()));
                }
            }
        }
    }

    /// A dumper that could not even write a record has another one do it, which then tells the host.
    fn dumper_failed(&mut self, dumper: Dumper, fate: String) {
        let reason = format!("the dumper {fate}");
        let Dumper { job: Job { pid, description, page, info, asked, work }, child, .. } = dumper;
        match work {
            Work::Dump { session, tid, cause } => {
                let work = Work::Lost { session, tid, cause, dumper: child, reason };
                self.queue.push_back(Job { pid, description, page, info, asked, work });
            }
            work => self.acknowledge(&Job { pid, description, page, info, asked, work }, &Err(reason)),
        }
    }

    /// The host need not wait any longer. It may be gone already.
    fn acknowledge(&mut self, job: &Job, outcome: &Result<PathBuf, String>) {
        let (session, cause, outcome) = match &job.work {
            Work::Dump { session, cause, .. } => (session, cause, outcome),
            Work::Lost { session, cause, reason, .. } => (session, cause, &Err(reason.clone())),
            Work::Death { .. } => return,
        };
        let message = match cause {
            Cause::Crash(_) => wire::header(wire::KIND_CRASH_ACK, 0).to_vec(),
            Cause::Request(_) | Cause::Hang(_) => dumped(outcome),
        };
        if let Some(session) = session {
            self.reply(*session, &message);
        }
    }

    pub(super) fn time_to_next_deadline(&self) -> Option<Duration> {
        let dumpers = self.dumpers.values().map(|dumper| dumper.deadline);
        let next = dumpers.chain(self.next_heartbeat()).min()?;
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

/// What a host is told of the dump it asked for.
fn dumped(outcome: &Result<PathBuf, String>) -> Vec<u8> {
    let payload = match outcome {
        Ok(path) => Payload::default().number(0).string(path.as_os_str().as_encoded_bytes()),
        Err(reason) => Payload::default().number(1).string(reason.as_bytes()),
    };
    [&wire::header(wire::KIND_USER + wire::USER_DUMPED, payload.0.len())[..], &payload.0].concat()
}
