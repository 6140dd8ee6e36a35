"""Runs a monitor: `python -m crash_monitor --dump-dir DIRECTORY`."""

from __future__ import annotations

import argparse
import os
import sys

from . import _monitor_program
from ._error import CrashMonitorError
from ._monitor import MARKER, serve


def _check_options() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m crash_monitor",
        description="Runs a crash monitor, which writes the minidumps of the programs that connect to it, until the "
        "last of them has gone: the executable crash-monitor where it is found (CRASH_MONITOR_PATH, beside the "
        "library, in ../bin from there, beside this package, among the scripts that pip installs), else this Python "
        "process.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--dump-dir", metavar="DIRECTORY", required=True, help="for dumps of programs that name no directory themselves"
    )
    parser.add_argument(
        "--socket", metavar="PATH", help="where to listen (default: monitor.sock in the dump directory)"
    )
    parser.add_argument("--stay", action="store_true", help="go on when the last program has gone, until SIGTERM")
    parser.add_argument("--log-file", metavar="FILE", help="append the log to FILE (default: write it to stderr)")
    parser.add_argument("--log-level", metavar="LEVEL", help="off, error, warn, info (default) or debug")
    parser.parse_args()


def _serve() -> int:
    try:
        serve()
    except CrashMonitorError as error:
        print(f"crash_monitor: {error}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Becomes the monitor, with the options as they were given."""
    if MARKER in sys.argv:
        return _serve()
    _check_options()
    executable = _monitor_program.known_to_library() or _monitor_program.known_to_python()
    monitor = [executable] if executable else [sys.executable, "-m", "crash_monitor"]
    try:
        os.execv(monitor[0], [*monitor, MARKER, *sys.argv[1:]])
    except OSError as error:
        print(f"crash_monitor: cannot start the monitor {monitor[0]}: {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
