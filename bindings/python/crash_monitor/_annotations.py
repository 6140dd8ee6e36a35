"""Annotations: keys and values that every later dump holds."""

from collections.abc import Iterator, MutableMapping
from typing import Any

from . import _arguments, _lock
from ._error import check
from ._library import lib

_NOTHING: Any = object()


class Annotations(MutableMapping[str, str]):
    """Keys and values, both str, that every later dump of this process and its record hold.

    Used like a dict, by any thread, before `install` and after; they outlast `uninstall`. A key has 1 to 256 bytes of
    UTF-8, a value up to 20480, and there can be 64. More raises CrashMonitorError with the name "CM_ERR_LIMIT" and
    changes nothing. No monitor is needed, and a forked child's dump has those that were set before the fork.
    """

    def __init__(self) -> None:
        # What the library has, which cannot be asked.
        self._kept: dict[str, str] = {}
        self._lock = _lock.make()

    def __getitem__(self, key: str) -> str:
        return self._kept[key]

    def __setitem__(self, key: str, value: str) -> None:
        c_key, c_value = _arguments.text(key), _arguments.text(value)
        with self._lock:
            check(lib.cm_set_annotation_n(c_key, len(c_key), c_value, len(c_value)))
            self._kept[key] = value

    def __delitem__(self, key: str) -> None:
        with self._lock:
            self._kept[key]  # Raises KeyError.
            c_key = _arguments.text(key)
            check(lib.cm_set_annotation_n(c_key, len(c_key), None, 0))
            del self._kept[key]

    def __iter__(self) -> Iterator[str]:
        # Of a copy: other threads may change them meanwhile.
        with self._lock:
            return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        with self._lock:
            return f"{type(self).__name__}({self._kept!r})"

    # These take two steps, between which no other thread may come.

    def pop(self, key: str, default: Any = _NOTHING) -> Any:
        with self._lock:
            return super().pop(key) if default is _NOTHING else super().pop(key, default)

    def popitem(self) -> tuple[str, str]:
        with self._lock:
            return super().popitem()

    def setdefault(self, key: str, default: Any = _NOTHING) -> str:
        with self._lock:
            return super().setdefault(key, "" if default is _NOTHING else default)

    def clear(self) -> None:
        with self._lock:
            super().clear()


annotations = Annotations()
