//! What a living process calls: what each call costs it, and how long a dump on demand makes it stand still.

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common::{Sandbox, run};
use crate::host::{self, Reporter, now};
use crate::library::{Library, c_path};
use crate::{rival, table::Samples};

/// Parked threads of the process.
pub const THREADS: usize = 100;
/// Cheap calls of each kind, of which as many are measured together: one takes less than reading the clock. And dumps.
const CALLS: usize = 20_000;
const TOGETHER: usize = 100;
const DUMPS: usize = 15;

/// Medians of one process. Only a dump and a short message have a counterpart in minidumper.
pub struct Calls {
    /// In microseconds: an annotation, or a message of the same size; an annotation of a thread; a log line; a heartbeat; a
    /// file attached; memory added and removed.
    pub message: f64,
    pub thread: Option<f64>,
    pub log: Option<f64>,
    pub heartbeat: Option<f64>,
    pub file: Option<f64>,
    pub memory: Option<f64>,
    /// In milliseconds: until the call returned, and the longest that a running thread stood still meanwhile.
    pub dump: f64,
    pub stall: f64,
}

/// Has a process of its own make the calls.
pub fn measure(reporter: Reporter) -> Calls {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dumps()).expect("make the dump directory");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let output = run(command.args(["calls", reporter.name()]).arg(sandbox.path()).stdin(Stdio::null()));
    let number = |name: &str| output.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let needed = |name: &str| number(name).expect("a number that was measured");
    assert_eq!(sandbox.dump_files().len(), 2 * DUMPS, "dumps of {}", reporter.name());
    Calls {
        message: needed("message "),
        thread: number("thread "),
        log: number("log "),
        heartbeat: number("heartbeat "),
        file: number("file "),
        memory: number("memory "),
        dump: needed("dump "),
        stall: needed("stall "),
    }
}

/// The process: makes the calls and prints the medians.
pub fn run_here(reporter: Reporter, directory: &Path) {
    host::park(THREADS);
    match reporter {
        Reporter::CrashMonitor => ours(directory),
        Reporter::Minidumper => theirs(directory),
        Reporter::Nobody => unreachable!("there is nobody to call"),
    }
}

fn ours(directory: &Path) {
    type Text = unsafe extern "C" fn(*const c_char) -> i32;
    type Annotate = unsafe extern "C" fn(*const c_char, *const c_char) -> i32;
    let library = Library::load();
    library.install(directory);
    let key = c"request";
    let value = c"GET /a/path/of/usual/length?with=a&few=parameters HTTP/1.1";
    // SAFETY: the types that crash_monitor.h gives these functions.
    let (annotate, annotate_thread, log, attach, dump, beat, start_beating, add, remove) = unsafe {
        (
            library.function::<Annotate>(c"cm_set_annotation"),
            library.function::<Annotate>(c"cm_set_thread_annotation"),
            library.function::<unsafe extern "C" fn(u32, *const c_char, usize) -> i32>(c"cm_log"),
            library.function::<Text>(c"cm_attach_file"),
            library.function::<unsafe extern "C" fn(*const c_char, *mut *const c_char) -> i32>(c"cm_dump_now"),
            library.function::<extern "C" fn() -> i32>(c"cm_heartbeat"),
            library.function::<extern "C" fn(u32) -> i32>(c"cm_heartbeat_start"),
            library.function::<extern "C" fn(*const c_void, usize) -> i32>(c"cm_add_memory"),
            library.function::<extern "C" fn(*const c_void) -> i32>(c"cm_remove_memory"),
        )
    };
    let string = |call: Text, text: &CStr| {
        // SAFETY: a NUL-terminated string.
        assert_eq!(unsafe { call(text.as_ptr()) }, 0);
    };
    // SAFETY: NUL-terminated strings.
    print_median("message", || assert_eq!(unsafe { annotate(key.as_ptr(), value.as_ptr()) }, 0));
    // SAFETY: as above.
    print_median("thread", || assert_eq!(unsafe { annotate_thread(key.as_ptr(), value.as_ptr()) }, 0));
    let line = value.to_bytes();
    // SAFETY: so many bytes.
    print_median("log", || assert_eq!(unsafe { log(3, line.as_ptr().cast(), line.len()) }, 0));
    let file = c_path(&std::env::current_exe().expect("this program").with_extension("log"));
    print_median("file", || string(attach, &file));
    let memory = [0_u8; 64];
    print_median("memory", || {
        assert_eq!((add(memory.as_ptr().cast(), memory.len()), remove(memory.as_ptr().cast())), (0, 0));
    });
    // SAFETY: a NUL-terminated string; the path is not wanted.
    print_dumps(|| assert_eq!(unsafe { dump(c"benchmark".as_ptr(), std::ptr::null_mut()) }, 0));
    // Last: a promise that nobody keeps would bring dumps of its own.
    assert_eq!(start_beating(60_000), 0);
    print_median("heartbeat", || assert_eq!(beat(), 0));
}

fn theirs(directory: &Path) {
    let (handler, client) = rival::install_for_dumps(directory);
    let message = [b'x'; 80];
    print_median("message", || client.send_message(1, message).expect("send a message"));
    print_dumps(|| {
        let done = handler.simulate_signal(libc::SIGSEGV as u32);
        assert!(matches!(done, crash_handler::CrashEventResult::Handled(true)));
    });
}

/// Microseconds.
fn print_median(name: &str, call: impl Fn()) {
    let time = |_| {
        let start = now();
        (0..TOGETHER).for_each(|_| call());
        (now() - start) as f64 / 1e3 / TOGETHER as f64
    };
    println!("{name} {}", (0..CALLS / TOGETHER).map(time).collect::<Samples>().median().expect("many"));
}

/// Milliseconds that a dump takes; then those that a running thread stands still for one.
fn print_dumps(dump: impl Fn()) {
    let time = |_| {
        let start = now();
        dump();
        (now() - start) as f64 / 1e6
    };
    println!("dump {}", (0..DUMPS).map(time).collect::<Samples>().median().expect("many"));

    let (gap, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let runner = std::thread::spawn({
        let (gap, done) = (gap.clone(), done.clone());
        move || {
            let mut last = now();
            while !done.load(Ordering::Relaxed) {
                let time = now();
                gap.fetch_max(time - last, Ordering::Relaxed);
                last = time;
            }
        }
    });
    let stall = |_| {
        gap.store(0, Ordering::Relaxed);
        dump();
        gap.load(Ordering::Relaxed) as f64 / 1e6
    };
    println!("stall {}", (0..DUMPS).map(stall).collect::<Samples>().median().expect("many"));
    done.store(true, Ordering::Relaxed);
    runner.join().expect("the runner");
}
