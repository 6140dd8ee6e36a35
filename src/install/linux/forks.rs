//! Forks of a host: a child has only the forking thread, and a lock that another thread held would stay locked in it for ever.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, Once, TryLockError};
use std::time::{Duration, Instant};

use super::INSTALLED;
use super::installation::Installation;
use super::requests::{RETRY, Retry};
use crate::page::host;
use crate::sys::process;

/// How long a fork waits for calls in progress. A fork in a signal handler that has interrupted a call of ours would wait for
/// itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// All locks of the host's side, in the order in which calls take them. Those of the handler are taken under the first.
type Locks = (Option<MutexGuard<'static, Option<Installation>>>, Option<MutexGuard<'static, Option<Retry>>>);

thread_local! {
    /// Held by a thread that forks, from before until after.
    static HELD: RefCell<Option<Locks>> = const { RefCell::new(None) };
}

/// From now on a fork(3) waits until no call of ours is half done (pthread_atfork(3)). Once for the process's life.
pub(super) fn wait_for_calls() {
    static REGISTERED: Once = Once::new();
    extern "C" fn before() {
        let deadline = Instant::now() + PATIENCE;
        let locks = (lock(&INSTALLED, deadline), lock(&RETRY, deadline));
        // Where a thread is ending it has no place for them any more; then they are given back at once.
        let _ = HELD.try_with(|held| held.replace(Some(locks)));
    }
    extern "C" fn after_in_parent() {
        let _ = HELD.try_with(|held| held.take());
    }
    extern "C" fn after_in_child() {
        host::after_fork_in_child();
        after_in_parent();
    }
    REGISTERED.call_once(|| process::at_fork(before, after_in_parent, after_in_child));
}

fn lock<T>(mutex: &'static Mutex<T>, deadline: Instant) -> Option<MutexGuard<'static, T>> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::yield_now(),
            Err(TryLockError::WouldBlock) => return None,
        }
    }
}
