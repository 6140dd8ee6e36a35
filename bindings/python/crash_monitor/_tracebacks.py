"""The file for tracebacks, which the monitor copies beside dumps as `<dump's name>.python-traceback.txt`.

It is in memory (memfd_create(2)) and empty, so that there is nothing to copy, until `faulthandler` writes into it after
a crash, or `dump_now` for the time of its dump.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import fcntl
import os
import resource
from typing import Optional

from ._library import CM_OK, lib

_NAME = b"python-traceback.txt"
_MFD_CLOEXEC = 1

# Descriptors are numbered from the bottom up. One up here is not soon that of another file where a program closes all
# of its descriptors, as daemons do: faulthandler would write into that.
_NUMBERS_BELOW, _NUMBERS = 1024, 64

_libc = ctypes.CDLL(None, use_errno=True)


class TracebackFile:
    """Stays open as long as the process lives: the library forgets no attachment."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._identity: Optional[tuple[int, int]] = None
        self._is_attached = False
        os.register_at_fork(after_in_child=self._part_from_parent)

    def open(self) -> Optional[int]:
        """Its descriptor; None where it cannot be had or attached, which costs tracebacks and no dump."""
        if not self._is_open():
            try:
                self._set(_numbered_high(_memory_file()))
                self._is_attached = False
            except OSError:
                return None
        if not self._is_attached:
            # In a forked child too that is its own file, under the same number.
            if lib.cm_attach_file(f"/proc/self/fd/{self._descriptor}".encode()) != CM_OK:
                return None
            self._is_attached = True
        return self._descriptor

    def write(self, above: bytes) -> None:
        """Writes a text, and below it where all threads are. Called, as `clear` is, after `open` gave a descriptor."""
        with contextlib.suppress(OSError):  # No memory.
            os.write(self._descriptor, above)
            faulthandler.dump_traceback(file=self._descriptor, all_threads=True)

    def clear(self) -> None:
        if self._is_open():
            os.ftruncate(self._descriptor, 0)

    def _is_open(self) -> bool:
        """Whether the number still means our file: a program may have closed it and opened another."""
        with contextlib.suppress(OSError):
            return _identity(self._descriptor) == self._identity
        return False

    def _set(self, descriptor: int) -> None:
        self._descriptor, self._identity = descriptor, _identity(descriptor)

    def _part_from_parent(self) -> None:
        """Puts a new file under the number that faulthandler writes to, which still means the parent's."""
        if not self._is_open():
            return
        try:
            new = _memory_file()
        except OSError:
            return
        self._set(os.dup2(new, self._descriptor, inheritable=False))
        os.close(new)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _memory_file() -> int:
    # Not os.memfd_create: a Python that was built on an older system than it runs on has none.
    create = getattr(_libc, "memfd_create", None)
    if create is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    descriptor: int = create(_NAME, _MFD_CLOEXEC)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    # Whoever writes finds the end, also after `clear`.
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return descriptor


def _numbered_high(descriptor: int) -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = (_NUMBERS_BELOW if limit == resource.RLIM_INFINITY else min(limit, _NUMBERS_BELOW)) - _NUMBERS
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(lowest, 0))
    finally:
        os.close(descriptor)


file = TracebackFile()
