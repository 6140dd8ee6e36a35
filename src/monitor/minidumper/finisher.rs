//! The work that is left for a dump once its host continues; no process waits for it.
//!
//! One thread does it for one dump after another. With a thread for each dump, crashes faster than the disk would need more and
//! more stacks.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::state::Host;
use crate::monitor::callbacks;
use crate::monitor::retention;

/// A dump that has its name.
pub(super) struct Written {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) host: Host,
    /// The crashed thread and its exception's code, where the dump has them.
    pub(super) exception: Option<(u32, u32)>,
}

#[derive(Default)]
pub(super) struct Finisher(Mutex<Option<(Sender<Written>, JoinHandle<()>)>>);

impl Finisher {
    /// Has the thread do its work for a dump. The first one starts it; the error says why it cannot be started.
    pub(super) fn finish(&self, written: Written) -> io::Result<()> {
        let mut thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (queue, _) = match &mut *thread {
            Some(thread) => thread,
            none => {
                let (sender, receiver) = mpsc::channel();
                let work = move || receiver.into_iter().for_each(finish_one);
                none.insert((sender, thread::Builder::new().spawn(work)?))
            }
        };
        queue.send(written).map_err(|_| io::Error::other("the thread for it has ended"))
    }

    /// Waits until everything is done.
    pub(super) fn wait(&self) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((queue, thread)) = thread {
            drop(queue);
            // It does not panic.
            let _ = thread.join();
        }
    }
}

/// The program's own function may panic, with a message of its own; the next dump is finished all the same.
fn finish_one(written: Written) {
    let _ = catch_unwind(AssertUnwindSafe(|| finish(written)));
}

fn finish(Written { file, path, host, exception }: Written) {
    if let Err(error) = file.sync_all() {
        log::warn!("process {}: cannot force {} to the disk: {error}", host.pid, path.display());
    }
    let newest = path.file_stem().unwrap_or_default().to_string_lossy();
    for removed in retention::prune(&host.dump_dir, host.retention, &newest) {
        log::info!("removed {}, over the limits of {}", removed.display(), host.dump_dir.display());
    }
    callbacks::report_written(&callbacks::Report {
        dump: Some(path),
        app_name: host.app_name,
        pid: host.pid,
        thread: exception.map_or(0, |(thread, _)| thread),
        // Elsewhere the code is no signal's number.
        signal: if cfg!(target_os = "linux") { exception.map_or(0, |(_, code)| code as i32) } else { 0 },
        ..Default::default()
    });
}
