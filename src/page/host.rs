//! What a host puts into the page. Every function may be called by a signal handler and never waits. Once the page exists the
//! only system calls are gettid(2), and tgkill(2) where the table of thread annotations is full.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::layout::*;
use super::log::{self, Level};
use super::mapping;
use super::table::Refused;
use crate::error::StaticError;
use crate::status::{CM_ERR_INVALID_ARGUMENT, CM_ERR_LIMIT, CM_ERR_NULL_ARGUMENT, CM_ERR_SYSTEM};
use crate::sys::raw;

type Result<T> = std::result::Result<T, StaticError>;

const fn invalid(message: &'static CStr) -> StaticError {
    StaticError::new(CM_ERR_INVALID_ARGUMENT, message)
}

const fn limit(message: &'static CStr) -> StaticError {
    StaticError::new(CM_ERR_LIMIT, message)
}

const NO_PAGE: StaticError =
    StaticError::new(CM_ERR_SYSTEM, c"no memory can be mapped for annotations, or this call interrupted its mapping");
const BUSY: StaticError = limit(c"16 calls that set something are in progress at once, or were interrupted: try again");

fn page() -> Result<&'static Page> {
    mapping::writable().ok_or(NO_PAGE)
}

/// The error for a table that refuses an entry; `full` names its limit.
fn refused(refused: Refused, full: &'static CStr) -> StaticError {
    match refused {
        Refused::Full => limit(full),
        Refused::Busy => BUSY,
    }
}

/// Sets or removes an annotation of the process.
pub(crate) fn set_annotation(key: &str, value: Option<&str>) -> Result<()> {
    if key.is_empty() {
        return Err(invalid(c"the annotation's key is empty: give 1 to 256 bytes"));
    }
    if key.len() > ANNOTATION_KEY {
        return Err(limit(c"the annotation's key is too long: the limit is 256 bytes"));
    }
    if value.is_some_and(|value| value.len() > ANNOTATION_VALUE) {
        return Err(limit(c"the annotation's value is too long: the limit is 20480 bytes"));
    }
    let (table, key) = (&page()?.annotations, [&[], key.as_bytes()]);
    match value {
        Some(value) => table.set(key, [&[], value.as_bytes()]).map_err(|error| {
            refused(error, c"there are as many annotations as there can be: the limit is 64; remove one")
        }),
        None => {
            table.remove(key);
            Ok(())
        }
    }
}

/// Sets or removes an annotation of the calling thread.
pub(crate) fn set_thread_annotation(key: &str, value: Option<&str>) -> Result<()> {
    if key.is_empty() {
        return Err(invalid(c"the annotation's key is empty: give 1 to 64 bytes"));
    }
    if key.len() > THREAD_ANNOTATION_KEY {
        return Err(limit(c"the thread annotation's key is too long: the limit is 64 bytes"));
    }
    if value.is_some_and(|value| value.len() > THREAD_ANNOTATION_VALUE) {
        return Err(limit(c"the thread annotation's value is too long: the limit is 512 bytes"));
    }
    let table = &page()?.threads;
    let tid = rustix::thread::gettid().as_raw_nonzero().get().to_ne_bytes();
    let key = [&tid[..], key.as_bytes()];
    let Some(value) = value else {
        table.remove(key);
        return Ok(());
    };
    // By this time the monitor tells a thread's annotations from those of an earlier thread with the same id.
    let set_at = nanoseconds(clock_gettime(ClockId::Boottime)).to_ne_bytes();
    let set = || table.set(key, [&set_at, value.as_bytes()]);
    let ended = |tid| !raw::thread_exists(i32::from_ne_bytes(tid));
    set().or_else(|error| if error == Refused::Full && table.remove_stale(ended) { set() } else { Err(error) }).map_err(
        |error| refused(error, c"the threads have as many annotations as there can be: the limit is 256; remove some"),
    )
}

/// Has a file copied beside dumps. `path` is absolute.
pub(crate) fn attach_file(path: &[u8]) -> Result<()> {
    if path.len() > ATTACHMENT_PATH {
        return Err(limit(c"the path of the attached file is too long: the limit is 4095 bytes"));
    }
    let table = &page()?.attachments;
    table
        .set([&[], path], [&[], &[]])
        .map_err(|error| refused(error, c"there are as many attached files as there can be: the limit is 16"))
}

/// Has memory put into dumps.
pub(crate) fn add_memory(start: usize, length: usize) -> Result<()> {
    if start == 0 {
        return Err(StaticError::new(CM_ERR_NULL_ARGUMENT, c"start is NULL: give an address"));
    }
    if length == 0 {
        return Err(invalid(c"length is 0: give at least 1 byte"));
    }
    if length > MEMORY_RANGE {
        return Err(limit(c"the memory is too long: the limit is 1048576 bytes"));
    }
    let [start, length] = [start, length].map(|number| (number as u64).to_ne_bytes());
    page()?.memory.set([&[], &start], [&[], &length]).map_err(|error| {
        refused(error, c"there are as many memory ranges as there can be: the limit is 64; remove one")
    })
}

/// Leaves memory out again.
pub(crate) fn remove_memory(start: usize) -> Result<()> {
    if page()?.memory.remove([&[], &(start as u64).to_ne_bytes()]) {
        return Ok(());
    }
    Err(invalid(c"no memory was added at this address: give one that cm_add_memory was given"))
}

/// Adds a line to the log; what is over the limit is cut, where UTF-8 allows.
pub(crate) fn add_log_line(level: u32, text: &[u8]) -> Result<()> {
    let level = Level::from_number(level).ok_or(invalid(
        c"the level of the log line is unknown: give CM_LOG_ERROR (1), WARNING (2), INFO (3) or DEBUG (4)",
    ))?;
    let mut length = text.len().min(LOG_LINE);
    let continues = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    while length > LOG_LINE - 4 && length < text.len() && continues(length) {
        length -= 1;
    }
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    log::add(page()?, level, &text[..length], tid, nanoseconds(clock_gettime(ClockId::Realtime)));
    Ok(())
}

/// How much of the log is kept, in bytes. Lines that are there already are lost where this changes it.
pub(crate) fn set_log_bytes(bytes: u32) -> Result<()> {
    let cells = LOG_CELLS_MAX.min(bytes as usize / size_of::<Cell>()) as u32;
    page()?.log_cells.store(cells, Ordering::Relaxed);
    Ok(())
}

/// Starts the heartbeat with a timeout; zero ends it.
pub(crate) fn start_heartbeat(within: Duration) -> Result<()> {
    let page = page()?;
    page.heartbeat_stamp.store(coarse_time(), Ordering::Relaxed);
    page.heartbeat_timeout_ms.store(within.as_millis() as u32, Ordering::Release);
    Ok(())
}

/// Stamps the heartbeat.
pub(crate) fn beat() -> Result<()> {
    let page = page()?;
    if page.heartbeat_timeout_ms.load(Ordering::Relaxed) == 0 {
        return Err(invalid(c"no heartbeat is promised: cm_heartbeat_start comes before cm_heartbeat"));
    }
    page.heartbeat_stamp.store(coarse_time(), Ordering::Release);
    Ok(())
}

/// The cheapest clock: its ticks are some milliseconds apart, and reading it takes no system call (vdso(7)).
fn coarse_time() -> u64 {
    nanoseconds(clock_gettime(ClockId::MonotonicCoarse))
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Where the page is, for the monitor; made where there is none yet.
pub(crate) fn address() -> u64 {
    let _ = mapping::writable();
    mapping::address()
}

/// The page's memfd, for the monitor; None where none could be made, or the host has closed it.
pub(crate) fn descriptor() -> Option<BorrowedFd<'static>> {
    mapping::descriptor()
}

/// For the child of a fork(3): from now on neither process changes what the other has in its page.
pub(crate) fn after_fork_in_child() {
    mapping::after_fork_in_child();
}
