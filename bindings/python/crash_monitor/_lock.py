"""Locks that forks do not break."""

from __future__ import annotations

import os
import threading


def make() -> threading.RLock:
    """A lock that no other thread has at a fork, so that it is free in the child.

    Reentrant: a signal handler in Python may call us amid a call of its own thread.
    """
    lock = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
