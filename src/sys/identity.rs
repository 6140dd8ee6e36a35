//! Acting with the rights of another user. Not for signal handlers.

use std::io;
use std::thread;

/// A user with its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

impl Identity {
    /// Does `work` in a thread that has become this user. Only root can.
    pub(crate) fn act<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let act = || {
            self.assume()?;
            work()
        };
        thread::scope(|scope| {
            let acting = thread::Builder::new().spawn_scoped(scope, act)?;
            acting.join().unwrap_or_else(|_| Err(io::Error::other("the thread that acts as another user has panicked")))
        })
    }

    /// Makes the calling thread this user, for good. libc's functions would change all threads (nptl(7)); the calls change one.
    /// With the user root its capabilities go (capabilities(7)).
    fn assume(&self) -> io::Result<()> {
        let check = |result| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        let Self { uid, gid, groups } = self;
        // SAFETY: a live list of the length given, which the kernel copies.
        check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid) })?;
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid) })
    }
}
