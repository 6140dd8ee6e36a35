"""A monitor that a Python process is."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Callable, Optional

from . import _arguments
from ._arguments import StrOrBytesPath
from ._error import check
from ._library import LogCallback, ReportCallback, lib
from ._report import Report

# Makes a process a monitor: the library reads it, and the options behind it, from the process's command line.
MARKER = "--crash-monitor"

_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO}

# What the library may call as long as the process lives.
_kept: list[Any] = []


def run_monitor(
    dump_dir: StrOrBytesPath,
    socket_path: Optional[StrOrBytesPath] = None,
    *,
    stay: bool = False,
    log_file: Optional[StrOrBytesPath] = None,
    log_level: Optional[str] = None,
    on_report: Optional[Callable[[Report], object]] = None,
    on_log: Optional[Callable[[int, str], object]] = None,
) -> None:
    """Serves as the monitor until the last program that is connected has gone. For a script of its own:

        import crash_monitor

        def upload(report): ...

        crash_monitor.run_monitor("/var/lib/app/crashes", on_report=upload)

    The library takes its options from the command line of the process. So where the script was started without them,
    the call starts it anew, in the same process (execve(2)), with `--crash-monitor` and the options behind its
    arguments: what stands before the call happens twice, and the call does not return the first time. Nothing but
    imports should stand before it, no thread be started and no command line be read. A script that can be executed may
    be the `monitor_path` of `install`, which starts it with these options itself: they then come in place of the
    arguments here.

    dump_dir: for dumps of programs that name no directory themselves.
    socket_path: where to listen, at most 107 bytes; `monitor.sock` in `dump_dir` by default.
    stay: go on when the last program has gone. After SIGTERM no new programs are served, and the last one's end is the
        monitor's.
    log_file: append the log to this file; by default it goes to standard error.
    log_level: "off", "error", "warn", "info" or "debug"; "info" by default.
    on_report: called with a `Report` after each dump, and after the record of a process that ended without one. It is
        called in a forked child that ends when it returns: it may take up to ten minutes, upload the files or move them
        away, and what it changes in memory is lost.
    on_log: called with each line of the log, besides its file, and its level as in `logging`; a logger's `log` is one.
        It is called by the monitor and by the forked children that write its dumps.

    An exception in one of them is shown on standard error and otherwise ignored. Raises CrashMonitorError. For the first
    thread, before there are others.
    """
    if not _is_monitor(_command_line()):
        _start_anew(_options(dump_dir, socket_path, stay, log_file, log_level))
    check(lib.cm_set_report_callback(_keep(_report_callback(on_report)), None))
    check(lib.cm_set_log_callback(_keep(_log_callback(on_log)), None))
    # Or the children that write dumps would write it too.
    _flush()
    serve()


def serve() -> None:
    """Is the monitor that the command line asks for."""
    check(lib.cm_run_monitor())


def _command_line() -> list[bytes]:
    # sys.orig_argv is younger than Python 3.9.
    return Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]


def _is_monitor(command_line: list[bytes]) -> bool:
    """As the library decides it."""
    return MARKER.encode() in command_line[1 : _options_end(command_line)]


def _options_end(command_line: list[bytes]) -> int:
    return command_line.index(b"--") if b"--" in command_line else len(command_line)


def _options(
    dump_dir: StrOrBytesPath,
    socket_path: Optional[StrOrBytesPath],
    stay: bool,
    log_file: Optional[StrOrBytesPath],
    log_level: Optional[str],
) -> list[bytes]:
    options = [MARKER.encode(), b"--dump-dir", _arguments.path(dump_dir)]
    if socket_path is not None:
        options += [b"--socket", _arguments.path(socket_path)]
    if log_file is not None:
        options += [b"--log-file", _arguments.path(log_file)]
    if log_level is not None:
        options += [b"--log-level", _arguments.text(log_level)]
    if stay:
        options.append(b"--stay")
    return options


def _start_anew(options: list[bytes]) -> None:
    command_line = _command_line()
    end = _options_end(command_line)
    _flush()
    os.execv(sys.executable, [os.fsencode(sys.executable), *command_line[1:end], *options, *command_line[end:]])


def _keep(callback: Any) -> Any:
    _kept.append(callback)
    return callback


def _report_callback(on_report: Optional[Callable[[Report], object]]) -> Any:
    if on_report is None:
        return ReportCallback()  # NULL.

    def call(handle: int, _: Any) -> None:
        try:
            on_report(Report._read(handle))
        finally:
            _flush()

    return ReportCallback(call)


def _log_callback(on_log: Optional[Callable[[int, str], object]]) -> Any:
    if on_log is None:
        return LogCallback()

    def call(level: int, message: bytes, _: Any) -> None:
        try:
            on_log(_LEVELS.get(level, logging.DEBUG), message.decode())
        finally:
            _flush()

    return LogCallback(call)


def _flush() -> None:
    """What is in Python's buffers when a forked child ends is lost: the library knows nothing of them."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
