"""Dumps of the living process, and what goes beside them."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from . import _arguments, _lock, _tracebacks
from ._arguments import StrOrBytesPath
from ._error import check
from ._library import lib


def dump_now(reason: str = "") -> Path:
    """Has the monitor write a dump of this process as it is, which then goes on.

    reason: up to 1024 bytes of UTF-8 for the record.

    Returns the dump's path when the dump is in the dump directory. With it come the tracebacks of all threads, as
    `<dump's name>.python-traceback.txt`, if `install` was told so. All threads stop for milliseconds; the dump shows
    the calling one first. Raises CrashMonitorError: "CM_ERR_NOT_INSTALLED", "CM_ERR_LIMIT", "CM_ERR_DUMP",
    "CM_ERR_TIMEOUT", or, where the monitor has gone and no other can be had, what `install` raises. May be called by
    any thread; calls wait for each other.
    """
    return dumper.dump(_arguments.text(reason))


class Dumper:
    """One dump at a time: they share the file for tracebacks."""

    def __init__(self) -> None:
        self.with_tracebacks = False
        self.lock = _lock.make()

    def dump(self, reason: bytes, above_tracebacks: bytes = b"") -> Path:
        with self.lock:
            if not self.with_tracebacks or _tracebacks.file.open() is None:
                return _dump(reason)
            try:
                _tracebacks.file.write(above_tracebacks)
                return _dump(reason)
            finally:
                _tracebacks.file.clear()


def _dump(reason: bytes) -> Path:
    path = ctypes.c_char_p()
    check(lib.cm_dump_now_n(reason, len(reason), ctypes.byref(path)))
    return Path(os.fsdecode(path.value or b""))


dumper = Dumper()


def attach_file(path: StrOrBytesPath) -> None:
    """Has a file, such as the program's log, copied beside every later dump, as `<dump's name>.<file's name>`.

    It is copied as it is when the dump is written, after a crash with what it gets until the process has ended; at most
    its first 64 MiB; not where it is empty. It need not be there yet. There can be 16 files, of which tracebacks are
    one; the same one twice counts once. Raises CrashMonitorError. May be called by any thread, before `install` and
    after.
    """
    check(lib.cm_attach_file(_arguments.path(path)))


def heartbeat_start(timeout_ms: int) -> None:
    """Promises a sign of life, `heartbeat`, within `timeout_ms` and again within that time of each.

    timeout_ms: at least 10 milliseconds; 0 ends the promise.

    A process that breaks the promise is dumped from outside as hung, once, and lives on; its next sign of life makes a
    new promise. Raises CrashMonitorError: "CM_ERR_NOT_INSTALLED", "CM_ERR_INVALID_ARGUMENT", or, where the monitor has
    gone and no other can be had, what `install` raises. May be called by any thread.
    """
    check(lib.cm_heartbeat_start(_arguments.unsigned(timeout_ms, 32)))


def heartbeat() -> None:
    """Gives the sign of life that `heartbeat_start` promised. Costs less than a microsecond and needs no monitor.

    Raises CrashMonitorError, with the name "CM_ERR_INVALID_ARGUMENT" where nothing was promised. May be called by any
    thread.
    """
    check(lib.cm_heartbeat())
