//! The data that the handler uses: copied when it is armed, into pages that are read-only from then on.
//!
//! Handlers count themselves in and out of a copy, and a copy is written anew only while its count is 0. So two copies serve
//! any number of installations. A handler that is left by a jump (siglongjmp(3)) never counts itself out, so its copy is
//! never used again; that is why there can be more than two.

use std::ffi::{CString, c_char};
use std::io;
use std::ops::Deref;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

use crate::config::Strategy;
use crate::crash_callback::CrashCallback;
use crate::sys::raw::{FileIdentity, SocketAddress};
use crate::sys::sealed::{self, Pages, Placer};
use crate::sys::signals::{Dispositions, Mask};
use crate::sys::spawn::{Launch, Program, STACKS};

/// The host's connection to its monitor, as the handler uses it.
#[derive(Clone, Copy)]
pub(crate) struct CrashLink {
    pub fd: RawFd,
    /// Device and inode of our socket. A host that closes all its descriptors, as a daemon does, may have reused the number
    /// for another file.
    pub identity: FileIdentity,
}

/// What the handler is armed with.
pub(crate) struct HandlerConfig<'a> {
    /// The process that installed. In a forked child it differs from getpid(2), and the link is the parent's.
    pub pid: i32,
    pub link: CrashLink,
    /// Whether the monitor answered the hello. minidumper's server does not, and knows only its own messages.
    pub welcomed: bool,
    pub monitor_pid: i32,
    /// Our effective user id: a monitor of another user is not to read this process.
    pub uid: u32,
    /// For a new connection: the monitor's address, and the hello message without the pid at its end.
    pub address: SocketAddress,
    pub hello: &'a [u8],
    pub strategy: Strategy,
    pub callback: Option<CrashCallback>,
    /// How long the host waits in all.
    pub deadline: Duration,
    /// The monitor to start where none can be reached.
    pub monitor: Option<&'a Program>,
}

/// The dispositions that the handler puts back or passes on to.
#[derive(Clone, Copy)]
pub(super) struct Handlers {
    /// Before us.
    pub previous: Dispositions,
    /// What comes after ours where another handler passes a signal on to it. The same as `previous`, unless `previous` itself
    /// was once installed over ours and passes on to it: then what it had replaced.
    pub next_in_chain: Dispositions,
    /// The signals for which another library's handler calls ours, as libjsig does for a Java machine. Their dispositions are
    /// changed by libc's sigaction(2), which that library interposes.
    pub interposed: Mask,
}

/// Everything the handler needs, as [`HandlerConfig`], with all that it points to in the same pages.
#[derive(Clone, Copy)]
pub(super) struct Frozen {
    pub pid: i32,
    pub link: CrashLink,
    pub welcomed: bool,
    pub monitor_pid: i32,
    pub uid: u32,
    pub address: SocketAddress,
    pub hello: &'static [u8],
    pub strategy: Strategy,
    pub callback: Option<CrashCallback>,
    pub deadline: Duration,
    pub monitor: Option<Launch>,
    pub handlers: Handlers,
}

/// The copy in use. It stays after disarming, because a handler installed over ours may still call ours. Null before the
/// first installation.
static CURRENT: AtomicPtr<Frozen> = AtomicPtr::new(ptr::null_mut());

/// How many handlers are in a copy. The last word of the pages' writable part, right before the copy itself.
fn readers(frozen: *const Frozen) -> &'static AtomicU32 {
    // SAFETY: `freeze` has left room there for the word, in pages that are never unmapped.
    unsafe { &*frozen.cast::<AtomicU32>().sub(1) }
}

/// The current copy, which stays as it is until this is dropped. May be made by a signal handler.
pub(super) struct Reader(&'static Frozen);

impl Reader {
    pub(super) fn enter() -> Option<Self> {
        loop {
            let current = CURRENT.load(Ordering::SeqCst);
            if current.is_null() {
                return None;
            }
            readers(current).fetch_add(1, Ordering::SeqCst);
            // Where it was replaced before this handler was counted, it may be about to be written anew.
            if CURRENT.load(Ordering::SeqCst) == current {
                // SAFETY: sealed before it was published, and not opened again while a handler is counted in it.
                return Some(Self(unsafe { &*current }));
            }
            readers(current).fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Deref for Reader {
    type Target = Frozen;

    fn deref(&self) -> &Frozen {
        self.0
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        readers(self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

/// All copies' pages, which arming and disarming lock. Not for signal handlers.
pub(super) type Copies = Vec<Pages>;

/// A copy that is sealed and not yet published.
pub(super) struct Sealed(*mut Frozen);

impl Sealed {
    /// Makes this the current copy.
    pub(super) fn publish(self) {
        CURRENT.store(self.0, Ordering::SeqCst);
    }
}

/// Copies everything into sealed pages: free ones, or new ones. Not for signal handlers.
pub(super) fn freeze(copies: &mut Copies, config: &HandlerConfig<'_>, handlers: Handlers) -> io::Result<Sealed> {
    let needed = size_needed(config);
    let index = match copies.iter().position(|pages| pages.capacity() >= needed && is_free(pages)) {
        Some(index) => index,
        None => {
            copies.push(Pages::map(STACKS + size_of::<AtomicU32>(), needed)?);
            copies.len() - 1
        }
    };
    let pages = &copies[index];
    let start = pages.sealed_start().cast::<Frozen>();
    pages.open()?;
    let mut placer = Placer::new(pages, size_of::<Frozen>());
    let HandlerConfig { pid, link, welcomed, monitor_pid, uid, address, strategy, callback, deadline, .. } = *config;
    let hello = placer.place(config.hello);
    let monitor = config.monitor.map(|program| launch(&mut placer, program, pages));
    let frozen = Frozen {
        pid,
        link,
        welcomed,
        monitor_pid,
        uid,
        address,
        hello,
        strategy,
        callback,
        deadline,
        monitor,
        handlers,
    };
    // SAFETY: the beginning of the opened part, which the placer has left free.
    unsafe { start.write(frozen) };
    pages.seal()?;
    Ok(Sealed(start))
}

/// Whether no handler uses these pages, and none can begin to.
fn is_free(pages: &Pages) -> bool {
    let start = pages.sealed_start().cast::<Frozen>();
    start != CURRENT.load(Ordering::SeqCst) && readers(start).load(Ordering::SeqCst) == 0
}

fn size_needed(config: &HandlerConfig<'_>) -> usize {
    let strings = |strings: &[CString]| -> usize {
        let bytes: usize = strings.iter().map(|string| sealed::room(string.as_bytes_with_nul().len())).sum();
        bytes + sealed::room((strings.len() + 1) * size_of::<*const c_char>())
    };
    let program = |program: &Program| {
        sealed::room(program.path.as_bytes_with_nul().len())
            + strings(&program.arguments)
            + strings(&program.environment)
    };
    sealed::room(size_of::<Frozen>()) + sealed::room(config.hello.len()) + config.monitor.map_or(0, program)
}

fn launch(placer: &mut Placer<'_>, program: &Program, pages: &Pages) -> Launch {
    let path = place_string(placer, &program.path);
    let argv = place_strings(placer, &program.arguments);
    let envp = place_strings(placer, &program.environment);
    Launch { path, argv, envp, stacks: pages.writable_start() }
}

fn place_strings(placer: &mut Placer<'_>, strings: &[CString]) -> *const *const c_char {
    let pointers: Vec<_> = strings.iter().map(|string| place_string(placer, string)).chain([ptr::null()]).collect();
    placer.place(&pointers).as_ptr()
}

fn place_string(placer: &mut Placer<'_>, string: &CString) -> *const c_char {
    placer.place(string.as_bytes_with_nul()).as_ptr().cast()
}
