"""The process's log: its last lines, which every later dump and record hold."""

from __future__ import annotations

import logging

from . import _arguments
from ._error import check
from ._library import lib

# The lowest level, as in `logging`, of each level of the library's.
_LEVELS = ((logging.ERROR, 1), (logging.WARNING, 2), (logging.INFO, 3))
_DEBUG = 4


def log(level: int, text: str) -> None:
    """Adds a line to the process's log, a ring of its last lines: 64 KiB, or what `install` is told as `log_bytes`.

    level: as in `logging`: ERROR and above, WARNING, INFO, and DEBUG for everything below.
    text: the line, without its end; what is over 1024 bytes of UTF-8 is cut.

    Every later dump holds the lines as the annotation "log", and its record under "log", with time, level and thread; so
    does the record of a process that was killed. Costs about a microsecond. Raises CrashMonitorError where no memory
    can be had. May be called by any thread, before `install` and after.
    """
    line = _line(text)
    check(lib.cm_log(_level(level), line, len(line)))


class LogHandler(logging.Handler):
    """Puts the records of `logging` into the process's log, as `log` does.

        logging.basicConfig()  # Comes first: it does nothing where there is a handler already.
        logging.getLogger().addHandler(crash_monitor.LogHandler())

    Each line of a formatted record is one line of the log: the message alone, with the traceback of an exception, unless
    `setFormatter` says otherwise. Time, level and thread are there anyway. Nothing is raised into the program; an error in
    a record's own arguments is shown by `logging` as ever.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = _level(record.levelno)
            for text in self.format(record).splitlines() or ("",):
                line = _line(text)
                lib.cm_log(level, line, len(line))  # Without memory for it the line is lost.
        except RecursionError:
            pass  # There is no room to show it either.
        except Exception:
            self.handleError(record)


def _level(level: int) -> int:
    return next((ours for lowest, ours in _LEVELS if level >= lowest), _DEBUG)


def _line(text: str) -> bytes:
    """People read it: what is no UTF-8 is shown as it would be in a literal."""
    return _arguments.text(text, "backslashreplace")
