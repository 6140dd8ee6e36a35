//! The event loop: waits for events, and passes them between the clients and the children.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::children::{Children, Unanswered};
use super::clients::{Clients, Event};
use super::listener::Listener;
use super::poll::{Poll, Source};
use crate::error::{Error, Result};
use crate::monitor::hosts::Description;
use crate::monitor::options::Options;
use crate::sys::termination;

/// Serves until the last host has gone and its dump is written.
pub(in crate::monitor) fn serve(listener: Listener, starter: Option<File>, options: &Options) -> Result<()> {
    let failed = |errno: std::io::Error| Error::system("the monitor's event loop", errno);
    let mut monitor = Monitor::new(listener, starter.map(OwnedFd::from), options).map_err(failed)?;
    log::info!("listening at {}", options.socket.display());
    monitor.run().map_err(failed)?;
    log::info!("ending: no host is left");
    Ok(())
}

struct Monitor {
    poll: Poll,
    termination: termination::Event,
    /// The ready pipe: while its reader has it open, a host is about to connect.
    starter: Option<OwnedFd>,
    /// Whether to go on although there is no host: always with `--stay`, without a starter until the first one comes.
    stay: bool,
    wait_for_first: bool,
    /// How often SIGTERM came. After the first no new host is served; after the second the monitor ends once the jobs that
    /// were accepted are finished, although hosts are left.
    terminations: u64,
    clients: Clients,
    children: Children,
}

impl Monitor {
    fn new(listener: Listener, starter: Option<OwnedFd>, options: &Options) -> std::io::Result<Self> {
        let (poll, termination) = (Poll::new()?, termination::Event::new()?);
        poll.add(termination.as_fd(), Source::Termination);
        if let Some(pipe) = &starter {
            poll.add(pipe.as_fd(), Source::Starter);
        }
        let clients = Clients::new(listener, Description::default_in(&options.dump_dir), &poll);
        let (stay, wait_for_first, children) = (options.stay, starter.is_none(), Children::new());
        Ok(Self { poll, termination, starter, stay, wait_for_first, terminations: 0, clients, children })
    }

    fn run(&mut self) -> std::io::Result<()> {
        while !self.finished() {
            let deadline = self.clients.next_deadline().into_iter().chain(self.children.next_deadline()).min();
            for source in self.poll.wait(deadline)? {
                self.dispatch(source);
                self.dispatch_events();
            }
            for unanswered in self.children.end_overdue(&self.poll) {
                self.answer(unanswered);
            }
            self.clients.check_heartbeats();
            self.dispatch_events();
            self.start_children();
        }
        self.children.end_spare();
        Ok(())
    }

    /// Whether no host is left. Then the listener is released, unless a process connects meanwhile.
    fn finished(&mut self) -> bool {
        let wait_for_first = self.wait_for_first && !self.clients.had_any;
        let expecting = match self.terminations {
            0 => self.stay || wait_for_first || self.starter.is_some() || self.clients.has_hosts(),
            1 => self.clients.has_hosts(),
            _ => false,
        };
        !expecting && self.children.queue.is_idle() && self.clients.release(&self.poll, self.terminations == 0)
    }

    fn dispatch(&mut self, source: Source) {
        match source {
            Source::Listener => self.clients.accept_some(&self.poll),
            Source::Session(id) => self.clients.handle_message(&self.poll, id),
            Source::HostEnd(pid) => self.clients.check_end(&self.poll, pid),
            Source::ChildResult(id) => self.children.take_result(&self.poll, id),
            Source::ChildEnd(id) => {
                if let Some(unanswered) = self.children.ended(&self.poll, id) {
                    self.answer(unanswered);
                }
            }
            Source::Termination => self.terminate(),
            Source::Starter => self.starter = None,
        }
    }

    /// SIGTERM came. Service managers send it to a service's processes all at once, and hosts that end in order may still crash:
    /// the monitor outlives them.
    fn terminate(&mut self) {
        self.terminations += self.termination.take();
        if self.terminations == 1 {
            log::info!(
                "SIGTERM: serving the hosts that are there, and no others; a second one ends this monitor sooner"
            );
            self.clients.release(&self.poll, false);
        } else {
            log::info!("SIGTERM again: ending once the dumps in progress are written");
        }
    }

    fn dispatch_events(&mut self) {
        while let Some(event) = self.clients.next_event() {
            match event {
                // A host has one request at a time; a second one would only delay the others.
                Event::Job(job) if job.session.is_some_and(|session| self.owes_answer(session)) => {
                    log::warn!(
                        "process {}: another request before the answer to the last: its connection is closed",
                        job.pid
                    );
                    job.session.into_iter().for_each(|session| self.clients.end_session(&self.poll, session));
                }
                Event::Job(job) => self.children.queue.push(*job),
                Event::SessionEnded(session) => self.children.queue.cancel_requests(session),
            }
        }
    }

    /// Whether a request of this session has not been answered yet.
    fn owes_answer(&mut self, session: u64) -> bool {
        // The host may have read an answer whose result the monitor has not taken yet.
        self.children.take_results(&self.poll);
        self.children.queue.owes_answer(session)
    }

    fn answer(&mut self, Unanswered { session, answer }: Unanswered) {
        self.clients.send(&self.poll, session, &answer);
    }

    fn start_children(&mut self) {
        while let Some(job) = self.children.next_job() {
            let own = self.descriptors();
            let socket = job.session.and_then(|session| self.clients.socket(session));
            self.children.start_writer(&self.poll, job, socket, &own);
        }
        while let Some(report) = self.children.queue.next_callback() {
            let own = self.descriptors();
            self.children.start_callback(&self.poll, report, &own);
        }
        // Once a host has its answer, so that no install waits for it.
        if self.clients.serves_hosts() && self.children.wants_spare() {
            let own = self.descriptors();
            self.children.start_spare(&self.poll, &own);
        }
    }

    /// The descriptors that children close: connections that a child kept open would not end with the monitor.
    fn descriptors(&self) -> Vec<RawFd> {
        let few = self.starter.iter().map(AsRawFd::as_raw_fd);
        few.chain([self.termination.as_fd().as_raw_fd(), self.poll.descriptor()])
            .chain(self.clients.descriptors())
            .collect()
    }
}
