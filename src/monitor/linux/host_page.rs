//! Reading the page of one host, from its memory or by descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::SealFlags;

use super::name_spaces;
use super::process_info::Stat;
use crate::page::layout::PAGE_BYTES;
use crate::page::read::{self, Entries};
use crate::sys::ptrace;

/// Where a host's page is.
#[derive(Clone, Default)]
pub(super) struct HostPage {
    /// In the host's memory; 0 for a host without a page.
    address: u64,
    /// The same memory by a descriptor, which outlives the host.
    memfd: Option<Rc<OwnedFd>>,
}

impl HostPage {
    /// As a hello says, with the descriptor that came with it.
    pub(super) fn new(address: u64, descriptor: Option<OwnedFd>) -> Self {
        Self { address, memfd: descriptor.filter(is_page).map(Rc::new) }
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    pub(super) fn memfd(&self) -> Option<BorrowedFd<'_>> {
        self.memfd.as_deref().map(OwnedFd::as_fd)
    }

    /// What the host has put there. The host's memory is read where possible, because a forked child's own copy is there and
    /// not behind its parent's descriptor. With `is_gone` the process has ended, and its id may be another's: then the
    /// descriptor is read.
    pub(super) fn entries(&self, pid: i32, is_gone: bool) -> Entries {
        if self.address == 0 {
            return Entries::default();
        }
        let memory = self.in_memory(pid);
        let gone = is_gone || memory(0, 1).is_err();
        let mut entries = match &self.memfd {
            Some(memfd) if gone => read::entries(&by_descriptor(memfd)),
            _ => read::entries(&memory),
        };
        let of_pid = |path: PathBuf| resolve_proc_self(pid, path);
        entries.attachments = entries.attachments.into_iter().map(of_pid).collect();
        if !gone {
            // Asked for only where a thread is named: it takes a look at every thread.
            let names_threads = !entries.thread_annotations.is_empty() || !entries.log.is_empty();
            if let Some(threads) = names_threads.then(|| name_spaces::threads(pid)).flatten() {
                let seen = |own: u32| threads.get(&(own as i32)).map_or(own, |tid| *tid as u32);
                entries.thread_annotations.iter_mut().for_each(|annotation| annotation.tid = seen(annotation.tid));
                entries.log.iter_mut().for_each(|line| line.tid = seen(line.tid));
            }
            // Annotations of an earlier thread with a reused id are left out.
            entries.thread_annotations.retain(|annotation| began_before(pid, annotation.tid, annotation.set_at));
        }
        entries
    }

    /// The heartbeat's timeout, and its last stamp by CLOCK_MONOTONIC; None for no heartbeat.
    pub(super) fn heartbeat(&self, pid: i32) -> Option<(Duration, Duration)> {
        let heartbeat = match &self.memfd {
            Some(memfd) => read::heartbeat(&by_descriptor(memfd)),
            None => read::heartbeat(&self.in_memory(pid)),
        };
        let heartbeat = heartbeat.ok().filter(|heartbeat| heartbeat.within != 0)?;
        Some((Duration::from_millis(heartbeat.within.into()), Duration::from_nanos(heartbeat.stamp)))
    }

    fn in_memory(&self, pid: i32) -> impl Fn(usize, usize) -> io::Result<Vec<u8>> {
        let address = self.address;
        move |offset, length| ptrace::read_memory(pid, address.wrapping_add(offset as u64), length)
    }
}

/// Whether a descriptor that a host has sent is that of a page: of a file that can become neither shorter nor longer.
fn is_page(memfd: &OwnedFd) -> bool {
    let sealed = SealFlags::SHRINK | SealFlags::GROW;
    rustix::fs::fcntl_get_seals(memfd).is_ok_and(|seals| seals.contains(sealed))
        && rustix::fs::fstat(memfd).is_ok_and(|stat| stat.st_size as usize == PAGE_BYTES)
}

fn by_descriptor(memfd: &OwnedFd) -> impl Fn(usize, usize) -> io::Result<Vec<u8>> {
    move |offset, length| {
        let mut bytes = vec![0; length];
        let read = rustix::io::pread(memfd, &mut bytes, offset as u64)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// A path below /proc/self means another directory in this process; the host's is that of its pid.
fn resolve_proc_self(pid: i32, path: PathBuf) -> PathBuf {
    let of_host = path.strip_prefix("/proc/self").map(|rest| Path::new("/proc").join(pid.to_string()).join(rest));
    of_host.unwrap_or(path)
}

/// Whether a thread of the process with this id began before a moment, in nanoseconds after boot.
fn began_before(pid: i32, tid: u32, moment: u64) -> bool {
    let ticks = Stat::of_thread(pid, tid).and_then(|stat| stat.field::<u64>(22));
    // A tick is counted when it begins.
    let nanoseconds = |ticks: u64| ticks.saturating_mul(1_000_000_000 / rustix::param::clock_ticks_per_second().max(1));
    ticks.is_some_and(|ticks| nanoseconds(ticks) <= moment)
}
