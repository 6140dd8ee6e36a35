"""Reads what the tests look at in a minidump. The structures are those of Microsoft's minidumpapiset.h."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

_THREAD_LIST, _MODULE_LIST, _MEMORY_LIST, _EXCEPTION = 3, 4, 5, 6
_LINUX_ENVIRON = 0x47670007  # Breakpad's
_CRASHPAD_INFO = 0x43500001  # Crashpad's


class Crash(NamedTuple):
    thread_id: int
    signal: int
    si_code: int
    address: int


class Thread(NamedTuple):
    thread_id: int
    stack_start: int
    stack: bytes


class Minidump:
    def __init__(self, path: Path) -> None:
        self._bytes = path.read_bytes()
        signature, version, count, directory = self._unpack("<4sIII", 0)
        if signature != b"MDMP" or version & 0xFFFF != 0xA793:
            raise ValueError(f"{path} is not a minidump: {signature!r}, version {version:#x}")
        entries = (self._unpack("<III", directory + 12 * index) for index in range(count))
        self._streams, self._sizes = {}, {}
        for kind, size, position in entries:
            self._streams[kind], self._sizes[kind] = position, size

    def crash(self) -> Crash:
        # Thread id, padding, then the exception record: on Linux the signal, its code and the fault address.
        thread_id, _, signal, code, _, address = self._unpack("<IIIiQQ", self._streams[_EXCEPTION])
        return Crash(thread_id, signal, code, address)

    def threads(self) -> dict[int, Thread]:
        # Id, suspend count, two priorities, TEB, the stack's start, size and position; then the context's place.
        threads = {}
        for id_, _, _, _, _, start, size, position, _, _ in self._list(_THREAD_LIST, "<IIIIQQIIII"):
            threads[id_] = Thread(id_, start, self._bytes[position : position + size])
        return threads

    def module_names(self) -> list[str]:
        # Base, size, checksum, time, the name's position; the rest is not read here.
        return [self._string(name) for _, _, _, _, name in self._list(_MODULE_LIST, "<QIIII84x")]

    def memory(self, start: int) -> bytes:
        """What the dump holds of the memory that begins at this address."""
        # Start, size, position.
        ranges = {at: (size, position) for at, size, position in self._list(_MEMORY_LIST, "<QII")}
        size, position = ranges[start]
        return self._bytes[position : position + size]

    def environment(self) -> bytes:
        position = self._streams.get(_LINUX_ENVIRON, 0)
        return self._bytes[position : position + self._sizes.get(_LINUX_ENVIRON, 0)]

    def annotations(self) -> dict[str, str]:
        if _CRASHPAD_INFO not in self._streams:
            return {}
        # Version and two ids; size and position of the simple annotations.
        _, position = self._unpack("<36xII", self._streams[_CRASHPAD_INFO])
        (count,) = self._unpack("<I", position)
        entries = (self._unpack("<II", position + 4 + 8 * index) for index in range(count))
        return {self._utf8(key): self._utf8(value) for key, value in entries}

    def _utf8(self, position: int) -> str:
        (size,) = self._unpack("<I", position)
        return self._bytes[position + 4 : position + 4 + size].decode()

    def _list(self, stream: int, layout: str) -> list[tuple[Any, ...]]:
        position = self._streams[stream]
        (count,) = self._unpack("<I", position)
        return [self._unpack(layout, position + 4 + struct.calcsize(layout) * index) for index in range(count)]

    def _string(self, position: int) -> str:
        (size,) = self._unpack("<I", position)
        return self._bytes[position + 4 : position + 4 + size].decode("utf-16-le")

    def _unpack(self, layout: str, position: int) -> tuple[Any, ...]:
        return struct.unpack_from(layout, self._bytes, position)
