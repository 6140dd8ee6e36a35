//! A lock that is never left locked in a child of fork(3), which has only the forking thread and none that could unlock it.
//! Not for signal handlers.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::time::Timespec;

/// How long a fork waits for a change in progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two looks at a lock that is held. A mutex of std would wake its waiters, but a child cannot unlock it.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// A value that one call at a time reads and changes. A call may last as long as a monitor takes to answer; a change is some
/// system calls long.
///
/// A fork waits for a change in progress, at most [`PATIENCE`], and never for a call. In the child the calls of other threads
/// are over, and the value is as they have left it. Where a change took longer than that it may be half done in the child,
/// whose value is then the default.
pub(crate) struct Lock<T> {
    /// The thread whose call is in progress; 0 for none.
    caller: AtomicUsize,
    /// The thread that changes the value, or, with [`FORKS`], that forks and keeps changes out; 0 for none.
    changer: AtomicUsize,
    value: UnsafeCell<T>,
}

/// Beside a thread's number, which is an address and even.
const FORKS: usize = 1;

/// The calling thread. In a child of fork(3) its number is the same, unlike its id.
pub(super) fn this_thread() -> usize {
    // SAFETY: no argument, no failure.
    unsafe { libc::pthread_self() as usize }
}

/// Takes what is free; false at the deadline, if there is one.
fn take(holder: &AtomicUsize, for_whom: usize, deadline: Option<Instant>) -> bool {
    while holder.compare_exchange(0, for_whom, Ordering::Acquire, Ordering::Relaxed).is_err() {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return false;
        }
        // std's is a cancellation point, which fork(3) is not (pthreads(7)).
        let _ = rustix::thread::nanosleep(&PAUSE);
    }
    true
}

// SAFETY: a thread sees the value only once it has taken `caller`, and changes it only once it has taken `changer` too.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T: Default> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { caller: AtomicUsize::new(0), changer: AtomicUsize::new(0), value: UnsafeCell::new(value) }
    }

    /// Waits for other threads' calls. Not for signal handlers, nor for a thread that has the lock already.
    pub(crate) fn lock(&self) -> Call<'_, T> {
        take(&self.caller, this_thread(), None);
        Call(self)
    }

    /// None where a call is in progress.
    pub(crate) fn try_lock(&self) -> Option<Call<'_, T>> {
        take(&self.caller, this_thread(), Some(Instant::now())).then_some(Call(self))
    }

    /// Keeps changes out until the fork is done. A thread that forks in a signal handler during a change of its own does not
    /// wait.
    pub(crate) fn before_fork(&self) {
        let me = this_thread();
        if self.changer.load(Ordering::Relaxed) != me {
            take(&self.changer, me | FORKS, Some(Instant::now() + PATIENCE));
        }
    }

    pub(crate) fn after_fork_in_parent(&self) {
        // Where the wait was too long another thread still has it.
        let _ = self.changer.compare_exchange(this_thread() | FORKS, 0, Ordering::Release, Ordering::Relaxed);
    }

    pub(crate) fn after_fork_in_child(&self) {
        let (me, changer) = (this_thread(), self.changer.load(Ordering::Acquire));
        // A change or a call of this thread goes on here as in the parent, once its signal handler returns.
        if changer == me {
            return;
        }
        if changer != 0 && changer & FORKS == 0 {
            // SAFETY: the only thread of this process is here, and not amid a change. What is half changed is not dropped.
            unsafe { self.value.get().write(T::default()) };
        }
        self.changer.store(0, Ordering::Release);
        if self.caller.load(Ordering::Relaxed) != me {
            self.caller.store(0, Ordering::Release);
        }
    }
}

/// A call in progress.
pub(crate) struct Call<'a, T>(&'a Lock<T>);

impl<T> Call<'_, T> {
    /// Begins a change. A fork waits until it is done, so nothing in it waits for a monitor.
    pub(crate) fn change(&mut self) -> Change<'_, T> {
        take(&self.0.changer, this_thread(), None);
        Change(self.0)
    }
}

impl<T> Deref for Call<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this call has the lock, and a change of it borrows it.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Drop for Call<'_, T> {
    fn drop(&mut self) {
        self.0.caller.store(0, Ordering::Release);
    }
}

/// A change in progress.
pub(crate) struct Change<'a, T>(&'a Lock<T>);

impl<T> Deref for Change<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: as for `deref_mut`.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Change<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the call whose change this is has the lock, and is borrowed.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Change<'_, T> {
    fn drop(&mut self) {
        self.0.changer.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::sys::process::fork;

    /// Whether `holds` in a child that is forked here and now, as `pthread_atfork` has it done.
    fn in_child(lock: &Lock<u32>, holds: impl FnOnce() -> bool) -> bool {
        lock.before_fork();
        let child = fork(&[], || {
            lock.after_fork_in_child();
            holds().into()
        });
        lock.after_fork_in_parent();
        let mut status = 0;
        // SAFETY: a child of ours, and room for its status.
        unsafe { libc::waitpid(child.unwrap(), &raw mut status, 0) };
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1
    }

    /// Runs `amid` while another thread is in what `begin` does, before it goes on.
    fn amid_another_threads(begin: impl FnOnce(mpsc::Sender<()>, mpsc::Receiver<()>) + Send, amid: impl FnOnce()) {
        let ((began, has_begun), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
        std::thread::scope(|scope| {
            scope.spawn(|| begin(began, may_go_on));
            has_begun.recv().unwrap();
            amid();
            go_on.send(()).unwrap();
        });
    }

    #[test]
    fn a_fork_amid_a_call_waits_for_nothing_and_the_child_has_the_value_before_it() {
        let lock = Lock::new(1);
        amid_another_threads(
            |began, may_go_on| {
                let mut call = lock.lock();
                began.send(()).unwrap();
                may_go_on.recv().unwrap();
                *call.change() = 2;
            },
            || {
                assert!(in_child(&lock, || lock.try_lock().is_some_and(|mut call| {
                    *call.change() += 10;
                    *call == 11
                })));
                assert!(lock.try_lock().is_none(), "the parent's call is still in progress");
            },
        );
        assert_eq!(*lock.lock(), 2);
    }

    #[test]
    fn the_child_of_a_fork_amid_a_change_that_does_not_end_has_the_default() {
        let lock = Lock::new(1);
        amid_another_threads(
            |began, may_go_on| {
                let mut call = lock.lock();
                let mut value = call.change();
                *value = 2;
                began.send(()).unwrap();
                may_go_on.recv().unwrap();
                *value = 3;
            },
            || assert!(in_child(&lock, || lock.try_lock().is_some_and(|call| *call == 0))),
        );
        assert_eq!(*lock.lock(), 3);
    }

    #[test]
    fn what_a_signal_handler_that_forks_has_interrupted_goes_on_in_both_processes() {
        let lock = Lock::new(1);
        let mut call = lock.lock();
        assert!(in_child(&lock, || lock.try_lock().is_none()));
        let mut value = call.change();
        assert!(in_child(&lock, || lock.try_lock().is_none() && lock.changer.load(Ordering::Relaxed) != 0));
        *value = 2;
        drop(value);
        assert_eq!((*call, lock.changer.load(Ordering::Relaxed)), (2, 0));
    }

    #[test]
    fn forks_and_changes_of_other_threads_do_not_meet() {
        let lock = Lock::new(0);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mut call = lock.lock();
                    let mut value = call.change();
                    *value += 1;
                    *value += 1;
                    drop(value);
                    drop(call);
                    std::thread::yield_now();
                }
            });
            for _ in 0..50 {
                assert!(in_child(&lock, || lock.try_lock().is_some_and(|call| *call % 2 == 0)));
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
