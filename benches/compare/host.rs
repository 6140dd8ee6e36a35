//! The process that crashes: the same code, whoever reports.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use crate::library::Library;
use crate::rival;

/// Who writes a dump when a host crashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    CrashMonitor,
    Minidumper,
    /// Nobody: what the kernel alone takes.
    Nobody,
}

impl Reporter {
    pub const ALL: [Self; 3] = [Self::CrashMonitor, Self::Minidumper, Self::Nobody];

    pub fn name(self) -> &'static str {
        ["crash-monitor", "minidumper", "nobody"][self as usize]
    }

    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|reporter| reporter.name() == name).expect("a reporter's name")
    }
}

/// What there is to be dumped.
#[derive(Clone, Copy)]
pub struct Load {
    /// Parked threads, besides the one that crashes.
    pub threads: usize,
    /// Memory written to.
    pub mebibytes: usize,
}

/// Nanoseconds of the clock that all processes share.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for one timespec; the monotonic clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The file in which host `pid` leaves the time of its fault.
pub fn fault_time_file(directory: &Path, pid: u32) -> PathBuf {
    directory.join(format!("fault-{pid}"))
}

/// Installs, says "ready" with the nanoseconds that took, waits for the end of standard input and crashes.
pub fn run(reporter: Reporter, directory: &Path, load: Load) -> ! {
    let memory = vec![1_u8; load.mebibytes << 20];
    park(load.threads);
    let fault_time = shared_number(&fault_time_file(directory, std::process::id()));
    // Loading the library is the dynamic linker's work before main, in a host that is linked with it.
    let library = (reporter == Reporter::CrashMonitor).then(Library::load);
    let start = now();
    match reporter {
        Reporter::CrashMonitor => library.expect("just loaded").install(directory),
        // Attached for as long as the process lives.
        Reporter::Minidumper => std::mem::forget(rival::install(directory)),
        Reporter::Nobody => {}
    }
    println!("ready {}", now() - start);
    std::io::stdin().read_to_end(&mut Vec::new()).expect("wait for the end of standard input");
    std::hint::black_box(memory.last());
    fault_time.store(now(), Ordering::SeqCst);
    // SAFETY: none: this is the crash.
    unsafe { std::ptr::without_provenance_mut::<u8>(0xdead000).write_volatile(1) };
    unreachable!("a write to unmapped memory faults");
}

pub fn park(threads: usize) {
    let barrier = Arc::new(Barrier::new(threads + 1));
    for _ in 0..threads {
        let barrier = barrier.clone();
        let body = move || {
            barrier.wait();
            loop {
                std::thread::park();
            }
        };
        std::thread::Builder::new().spawn(body).expect("start a thread");
    }
    barrier.wait();
}

/// A number that outlives this process in `path`. A store costs no system call.
fn shared_number(path: &Path) -> &'static AtomicU64 {
    let file = File::options().read(true).write(true).create_new(true).open(path).expect("make the time's file");
    file.set_len(size_of::<u64>() as u64).expect("make room for the time");
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of a file that has the length of the number, never unmapped; aligned to a page.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), 8, protection, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(start, libc::MAP_FAILED, "map the time's file");
        &*start.cast::<AtomicU64>()
    }
}
