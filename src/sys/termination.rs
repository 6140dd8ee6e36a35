//! How a monitor is asked to end: by SIGTERM. Windows has no such signal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether SIGTERM came, after [`watch`].
pub(crate) static REQUESTED: AtomicBool = AtomicBool::new(false);

/// An eventfd that becomes readable as well; -1 for none.
#[cfg(target_os = "linux")]
static EVENT: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

/// While it lives, `SIGTERM` makes [`REQUESTED`] true, and the signals that a terminal sends to its processes are ignored. Then the
/// process's dispositions are what they were before.
pub(crate) struct Watch {
    #[cfg(unix)]
    previous: [(i32, libc::sigaction); 5],
}

/// By a handler and not by signalfd(2), for which every thread has to block the signal: a Go program that is its own monitor
/// has threads that do not.
pub(crate) fn watch() -> io::Result<Watch> {
    REQUESTED.store(false, Ordering::SeqCst);
    #[cfg(unix)]
    {
        let set = |signal, handler| set(signal, handler).map(|previous| (signal, previous));
        let ignored = |signal| set(signal, libc::SIG_IGN);
        let terminate = set(libc::SIGTERM, on_termination as *const () as usize)?;
        let [int, hup, quit] = [libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
        Ok(Watch { previous: [terminate, ignored(int)?, ignored(hup)?, ignored(quit)?, ignored(libc::SIGPIPE)?] })
    }
    #[cfg(not(unix))]
    Ok(Watch {})
}

#[cfg(unix)]
fn set(signal: i32, handler: usize) -> io::Result<libc::sigaction> {
    // SAFETY: all-zero bytes are valid values of both; a valid signal; the one handler calls nothing but write(2).
    unsafe {
        let (mut action, mut previous): (libc::sigaction, libc::sigaction) = (std::mem::zeroed(), std::mem::zeroed());
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        match libc::sigaction(signal, &raw const action, &raw mut previous) {
            0 => Ok(previous),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        #[cfg(unix)]
        for (signal, previous) in &self.previous {
            // SAFETY: a valid signal, and what the kernel has told of it.
            unsafe { libc::sigaction(*signal, previous, std::ptr::null_mut()) };
        }
    }
}

/// A descriptor that becomes readable when `SIGTERM` is sent, or has been since [`watch`].
#[cfg(target_os = "linux")]
pub(crate) struct Event(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use rustix::event::EventfdFlags;
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        EVENT.store(event.as_raw_fd(), Ordering::SeqCst);
        if REQUESTED.load(Ordering::SeqCst) {
            notify(event.as_raw_fd());
        }
        Ok(Self(event))
    }

    /// How often the signal has been sent since this was last asked. Several at once may count as one (signal(7)).
    pub(crate) fn take(&self) -> u64 {
        let mut count = [0; size_of::<u64>()];
        match rustix::io::read(&self.0, &mut count) {
            Ok(_) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }
}

#[cfg(target_os = "linux")]
impl std::os::fd::AsFd for Event {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(target_os = "linux")]
impl Drop for Event {
    fn drop(&mut self) {
        // Its number may be another file's soon, to which a handler must not write.
        EVENT.store(-1, Ordering::SeqCst);
    }
}

#[cfg(unix)]
extern "C" fn on_termination(_signal: i32) {
    REQUESTED.store(true, Ordering::SeqCst);
    #[cfg(target_os = "linux")]
    notify(EVENT.load(Ordering::SeqCst));
}

/// May be called by a signal handler.
#[cfg(target_os = "linux")]
fn notify(event: i32) {
    let one = 1_u64;
    // SAFETY: eight live bytes, as eventfd(2) wants them. A raw call, which leaves errno alone.
    let _ = unsafe { super::syscall::syscall!(libc::SYS_write, event, &raw const one, size_of::<u64>()) };
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn all_is_as_before_once_nobody_watches_any_more() {
        let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE];
        let handlers = || signals.map(|signal| crate::sys::signals::libc_get(signal).handler);
        let before = handlers();
        let (watch, event) = (watch().unwrap(), Event::new().unwrap());
        assert!(handlers().iter().zip(before).all(|(now, before)| *now != before || before == libc::SIG_IGN));
        // SAFETY: a valid signal, for this thread, which has a handler now.
        unsafe { libc::raise(libc::SIGTERM) };
        assert!(REQUESTED.load(Ordering::SeqCst));
        assert_eq!([event.take(), event.take()], [1, 0]);
        drop((watch, event));
        assert_eq!((handlers(), EVENT.load(Ordering::SeqCst)), (before, -1));
    }
}
