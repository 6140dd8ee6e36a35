"""Annotations of the calling thread."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Optional

from . import _arguments
from ._error import check
from ._library import lib


class _Kept(threading.local):
    """What the library has of the calling thread, which cannot be asked."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}


_kept = _Kept()


def set_thread_annotation(key: str, value: Optional[str]) -> None:
    """Sets an annotation of the calling thread, such as the request that it serves, until the thread ends.

    Every later dump holds it as the annotation "thread.<thread id>.<key>", and its record under "thread_annotations"; so
    does the record of a process that was killed.

    key: 1 to 64 bytes of UTF-8. value: up to 512 bytes of UTF-8; None removes the annotation, which need not be there.
    There can be 256 of all threads together. Raises CrashMonitorError, and then nothing has changed. May be called by any
    thread, for itself, before `install` and after. A forked child has those of the thread that forked.
    """
    check(_set(key, value))
    if value is None:
        _kept.values.pop(key, None)
    else:
        _kept.values[key] = value


@contextlib.contextmanager
def thread_annotation(**annotations: str) -> Iterator[None]:
    """Sets annotations of the calling thread for a block of code:

        with crash_monitor.thread_annotation(request="GET /"):

    At its end each has the value from before, or is removed. Also a decorator. For keys that are no names:
    `thread_annotation(**{"http.route": "/"})`. Raises what `set_thread_annotation` raises, before the block begins; then
    nothing has changed.

    It is the thread's, not the task's: of asyncio all tasks run in one thread, so a block there must not hold an `await`.
    What is to be known of a task goes into a log line.
    """
    before = {key: _kept.values.get(key) for key in annotations}
    try:
        for key, value in annotations.items():
            if value is None:
                raise TypeError("expected str, not NoneType")
            set_thread_annotation(key, value)
        yield
    finally:
        for key, value in before.items():
            # What happened in the block matters more than a failure here.
            with contextlib.suppress(Exception):
                set_thread_annotation(key, value)


def _set(key: str, value: Optional[str]) -> int:
    c_key = _arguments.text(key)
    c_value = None if value is None else _arguments.text(value)
    status: int = lib.cm_set_thread_annotation_n(c_key, len(c_key), c_value, len(c_value or b""))
    return status


def _after_fork_in_child() -> None:
    """The thread has another id now."""
    for key, value in _kept.values.items():
        _set(key, value)


os.register_at_fork(after_in_child=_after_fork_in_child)
