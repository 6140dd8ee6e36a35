"""Uncaught exceptions: each leaves a dump, and then the hook that was there before gets its turn."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, Optional

from . import _annotations
from ._dump import dumper
from ._error import CrashMonitorError
from ._hook import Hook

_TYPE, _WHAT = "exception.type", "exception.what"
# The library's limits, in bytes.
_VALUE_MAX, _REASON_MAX = 20480, 1024

# These end a program as it is meant to be ended.
_NO_ERRORS = (SystemExit, KeyboardInterrupt)


class _Reporter:
    """The two hooks, which report only while the library is installed to: somebody else's may still call them later."""

    def __init__(self) -> None:
        self._reports = False
        self._hooks = (
            Hook(sys, "excepthook", self._of_the_main_thread),
            Hook(threading, "excepthook", self._of_other_threads),
        )

    def attach(self) -> None:
        self._reports = True
        for hook in self._hooks:
            hook.attach()

    def detach(self) -> None:
        self._reports = False
        for hook in self._hooks:
            hook.detach()

    def _of_the_main_thread(self, previous: Any) -> Any:
        @functools.wraps(previous)
        def excepthook(type_: Any, value: Any, trace: Any) -> Any:
            try:
                self._report(type_, value, trace)
            finally:
                previous(type_, value, trace)

        return excepthook

    def _of_other_threads(self, previous: Any) -> Any:
        @functools.wraps(previous)
        def excepthook(args: Any) -> Any:
            try:
                self._report(args.exc_type, args.exc_value, args.exc_traceback)
            finally:
                previous(args)

        return excepthook

    def _report(self, type_: type[BaseException], value: Any, trace: Optional[TracebackType]) -> None:
        if self._reports and not issubclass(type_, _NO_ERRORS):
            # What goes wrong here must not hide the exception.
            with contextlib.suppress(Exception):
                _dump(type_, value, trace)


def _dump(type_: type[BaseException], value: Any, trace: Optional[TracebackType]) -> None:
    name, what = _name(type_), _text(value)
    reason = _cut(f"uncaught {name}: {what}", _REASON_MAX)
    shown = "".join(traceback.format_exception(type_, value, trace)) + "\n"
    with dumper.lock:
        try:
            for key, text in ((_TYPE, name), (_WHAT, what)):
                # Where there is no room for it, the dump goes without.
                with contextlib.suppress(CrashMonitorError):
                    _annotations.annotations[key] = _cut(text, _VALUE_MAX)
            dumper.dump(reason.encode(), shown.encode(errors="backslashreplace"))
        finally:
            # A program may live on without one of its threads, and crash later for another reason.
            for key in (_TYPE, _WHAT):
                with contextlib.suppress(CrashMonitorError):
                    _annotations.annotations.pop(key, None)


def _name(type_: type[BaseException]) -> str:
    return type_.__qualname__ if type_.__module__ == "builtins" else f"{type_.__module__}.{type_.__qualname__}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    try:
        return str(value)
    except Exception as error:
        return f"<str() raises {_name(type(error))}>"


def _cut(text: str, length: int) -> str:
    """What the library takes of a text: UTF-8, not longer than so many bytes."""
    encoded = text.encode(errors="backslashreplace")
    return encoded[:length].decode(errors="ignore")


reporter = _Reporter()
