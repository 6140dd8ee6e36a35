"""Memory that goes into every later dump."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _arguments, _lock
from ._error import check
from ._library import lib

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# By address, what keeps the memory where it is: an export of its buffer.
_kept: dict[int, Any] = {}
_one_at_a_time = _lock.make()


def add_memory(memory: Union[int, WriteableBuffer], length: Optional[int] = None) -> None:
    """Puts memory of this process into every later dump, as it is when the dump is written.

    memory: a writable object with the buffer protocol (bytearray, array, mmap, a NumPy array, an instance of a ctypes
        type); it is kept alive, and cannot be resized, until `remove_memory`. Or an address, an int; then the memory
        is the caller's to keep. A ctypes pointer is 8 bytes of its own: give its `contents`.
    length: how many bytes, 1 to 1048576; the whole object by default. An address needs it.

    There can be 64 ranges; the same start again replaces the length. Raises CrashMonitorError; TypeError for an object
    that has no such memory; ValueError for a length beyond the object's end. May be called by any thread, before
    `install` and after.
    """
    address, export, length = _range(memory, length)
    with _one_at_a_time:
        check(lib.cm_add_memory(address, length))
        _kept[address] = export


def remove_memory(memory: Union[int, WriteableBuffer]) -> None:
    """Leaves out again what `add_memory` was given: the same object, or the address.

    Raises CrashMonitorError, with the name "CM_ERR_INVALID_ARGUMENT" where nothing was added there. May be called by
    any thread, before `install` and after.
    """
    address, _, _ = _range(memory, 1 if isinstance(memory, int) else None)
    with _one_at_a_time:
        check(lib.cm_remove_memory(address))
        _kept.pop(address, None)


def _range(memory: Union[int, WriteableBuffer], length: Optional[int]) -> tuple[int, Any, int]:
    """Address, what keeps the memory there, and length."""
    if isinstance(memory, int):
        if length is None:
            raise TypeError("an address needs a length")
        return _arguments.unsigned(memory, 64), None, _arguments.unsigned(length, 64)
    size = memoryview(memory).nbytes
    if length is None:
        length = size
    elif not 0 <= length <= size:
        raise ValueError(f"length is {length}, and the object has {size} bytes")
    # Refuses read-only objects, whose memory may be anywhere the next time, and those with gaps.
    export = (ctypes.c_char * size).from_buffer(memory)
    return ctypes.addressof(export), export, length
