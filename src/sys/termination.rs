//! How a monitor is asked to end: by SIGTERM. Windows has no such signal.

use std::io;
use std::sync::atomic::AtomicBool;
#[cfg(unix)]
use std::sync::atomic::Ordering;

/// Whether SIGTERM came, after [`watch`].
pub(crate) static REQUESTED: AtomicBool = AtomicBool::new(false);

/// An eventfd that becomes readable as well; -1 for none.
#[cfg(target_os = "linux")]
static EVENT: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

/// Has [`REQUESTED`] become true when `SIGTERM` is sent, and ignores the signals that a terminal sends to its processes.
///
/// By a handler and not by signalfd(2), for which every thread has to block the signal: a Go program that is its own monitor
/// has threads that do not.
pub(crate) fn watch() -> io::Result<()> {
    // SAFETY: valid signals, a live sigaction of which all-zero bytes are a valid value, and a handler that calls nothing
    // but write(2).
    #[cfg(unix)]
    unsafe {
        for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_IGN);
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_termination as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        if libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A descriptor that becomes readable when `SIGTERM` is sent, or has been since [`watch`].
#[cfg(target_os = "linux")]
pub(crate) fn descriptor() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsRawFd;

    use rustix::event::EventfdFlags;
    let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    EVENT.store(event.as_raw_fd(), Ordering::SeqCst);
    if REQUESTED.load(Ordering::SeqCst) {
        notify(event.as_raw_fd());
    }
    Ok(event)
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
