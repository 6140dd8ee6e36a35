//! The process that is dumped: stopped as a whole, and resumed when the dump says so or is dropped.
//!
//! A tracer is a thread and not a process (ptrace(2)). For more than a few threads a thread of its own traces, and its end
//! resumes every thread of the process with the signal that was about to be delivered to it, also threads that have not
//! stopped in time and so cannot be detached.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::tracer::{Stopped, Tracer};
use crate::monitor::linux::process_info::{self, Stat};
use crate::sys::ptrace::{self, Piece};
use crate::sys::signals::AllBlocked;

/// A process of fewer threads that has crashed is traced by the calling thread: starting another takes 0.1 ms or more.
const THREADS_WORTH_A_TRACER: usize = 32;
/// How long the threads of a process that was killed while it was stopped may take to end.
const KILLED_DEADLINE: Duration = Duration::from_secs(1);
/// The tracing thread needs little stack.
const TRACER_STACK: usize = 128 * 1024;

/// A process that is being stopped, or has been.
pub(in crate::monitor) struct StoppedProcess {
    /// The thread that crashed, or that is to blame.
    pub tid: i32,
    /// Where command line and environment begin, at the upper end of the main thread's stack (proc(5), field 48,
    /// arg_start). They are not to be in a dump for being near a stack.
    pub arguments: Option<u64>,
    /// Whose /proc entry shows what the threads share.
    proc_entry: i32,
    tracing: Tracing,
    /// SIGCHLD, for which the tracing thread waits, would be lost if it were delivered to this thread.
    _blocked: AllBlocked,
}

/// Who traces.
enum Tracing {
    Thread {
        stopped: Receiver<Stopped>,
        names: Receiver<Vec<(usize, String)>>,
        /// Dropped to end the thread.
        commands: Option<Sender<ResumeCrashingThread>>,
        thread: Option<JoinHandle<()>>,
    },
    /// The calling thread: for few threads, and where no further thread can be started (`RLIMIT_NPROC`). Once the crashing
    /// thread alone has been resumed, the process's death is waited for until `dying`.
    Here { tracer: Tracer, dying: Option<Instant> },
}

/// Tells the tracing thread to resume only this thread, to say so, and to wait so long for the process's death.
struct ResumeCrashingThread {
    tid: i32,
    limit: Duration,
    done: Sender<()>,
}

impl StoppedProcess {
    /// Begins to stop the process; [`Self::threads`] waits for it. `tid` is kept when there are more threads than a dump
    /// takes. Its floating-point registers are read where its crash context, `crashed`, does not have them.
    pub(in crate::monitor) fn stop(pid: i32, tid: i32, crashed: bool) -> Self {
        let started = Instant::now();
        let blocked = AllBlocked::new();
        let stat = Stat::of(pid);
        let proc_entry = process_info::proc_entry(pid, stat.as_ref(), tid);
        let new_tracer = move || Tracer::new(pid, proc_entry, tid, !crashed);
        let threads = stat.as_ref().and_then(|stat| stat.field(20)).unwrap_or(usize::MAX);
        // Of a main thread that has ended nothing is left to tell it.
        let arguments = if proc_entry == pid { stat } else { Stat::of(proc_entry) }.and_then(|stat| stat.field(48));
        if crashed && threads < THREADS_WORTH_A_TRACER {
            let tracing = Tracing::Here { tracer: new_tracer(), dying: None };
            return Self { tid, arguments, proc_entry, tracing, _blocked: blocked };
        }
        let (stopped_sender, stopped) = mpsc::channel();
        let (names_sender, names) = mpsc::channel();
        let (commands, received) = mpsc::channel::<ResumeCrashingThread>();
        let trace = move || {
            let mut tracer = new_tracer();
            let stopped = tracer.stop(started);
            let names = stopped.names.clone();
            let _ = stopped_sender.send(stopped);
            let _ = names_sender.send(names.read());
            if let Ok(ResumeCrashingThread { tid, limit, done }) = received.recv() {
                tracer.resume(tid);
                let _ = done.send(());
                tracer.wait_for_death(tid, Instant::now() + limit);
            }
        };
        let tracing = match std::thread::Builder::new().stack_size(TRACER_STACK).spawn(trace) {
            Ok(thread) => Tracing::Thread { stopped, names, commands: Some(commands), thread: Some(thread) },
            Err(_) => Tracing::Here { tracer: new_tracer(), dying: None },
        };
        Self { tid, arguments, proc_entry, tracing, _blocked: blocked }
    }

    /// The threads, once they have stopped. Asked for once.
    pub(super) fn threads(&mut self) -> Result<Stopped, String> {
        match &mut self.tracing {
            Tracing::Thread { stopped, .. } => stopped.recv().map_err(|_| "the tracing thread has ended".to_owned()),
            Tracing::Here { tracer, .. } => Ok(tracer.stop(Instant::now())),
        }
    }

    /// The names of the stopped threads, in their order. The tracing thread has begun to read them. Asked for once.
    pub(super) fn thread_names(&self, stopped: &Stopped) -> Vec<Option<String>> {
        let mut read = stopped.names.read();
        if let Tracing::Thread { names, .. } = &self.tracing {
            read.extend(names.recv().unwrap_or_default());
        }
        let mut names = vec![None; stopped.threads.len()];
        for (place, name) in read {
            names[place] = Some(name);
        }
        names
    }

    /// A file of /proc/PID.
    pub(super) fn read_file(&self, name: &str) -> io::Result<Vec<u8>> {
        process_info::read(&format!("/proc/{}/{name}", self.proc_entry))
    }

    /// The file that a mapping is of.
    pub(super) fn mapped_file(&self, mapping: &Range<u64>) -> Option<String> {
        let Range { start, end } = mapping;
        let path = std::fs::read_link(format!("/proc/{}/map_files/{start:x}-{end:x}", self.proc_entry)).ok()?;
        Some(path.to_string_lossy().into_owned())
    }

    /// As much of the memory at `address` as there is.
    pub(super) fn read_memory(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        ptrace::read_memory(self.proc_entry, address, length)
    }

    /// Appends pieces of memory, see [`ptrace::append_memory`].
    pub(super) fn append_memory(&self, pieces: &[Piece], bytes: &mut Vec<u8>) -> Vec<io::Result<usize>> {
        ptrace::append_memory(self.proc_entry, pieces, bytes)
    }

    /// Resumes all threads; after [`Self::resume_crashing_thread_only`] once the process is dead, or the limit is over.
    pub(super) fn resume(&mut self) {
        match &mut self.tracing {
            Tracing::Thread { commands, thread, .. } => {
                *commands = None;
                // Its end resumes the threads, whatever its result.
                let _ = thread.take().map(JoinHandle::join);
            }
            Tracing::Here { tracer, dying } => {
                let dying = dying.take();
                if let Some(limit) = dying {
                    tracer.reap_dying(limit);
                }
                tracer.resume_all(dying.unwrap_or_else(|| Instant::now() + KILLED_DEADLINE));
            }
        }
    }

    /// Resumes the crashing thread; the others stay stopped until the process dies, at most for `limit`. Does not wait for
    /// that: [`Self::resume`] does.
    pub(super) fn resume_crashing_thread_only(&mut self, limit: Duration) {
        let (done, resumed) = mpsc::channel();
        match &mut self.tracing {
            Tracing::Thread { commands, .. } => {
                let command = ResumeCrashingThread { tid: self.tid, limit, done };
                if commands.take().is_some_and(|commands| commands.send(command).is_ok()) {
                    let _ = resumed.recv();
                }
            }
            Tracing::Here { tracer, dying } => {
                tracer.resume(self.tid);
                *dying = Some(Instant::now() + limit);
            }
        }
    }
}

impl Drop for StoppedProcess {
    fn drop(&mut self) {
        self.resume();
    }
}
