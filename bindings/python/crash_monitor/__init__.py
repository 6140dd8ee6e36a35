"""Minidumps of crashing Python processes, written by a second process that is well.

    import crash_monitor
    crash_monitor.install("/var/lib/app/crashes")

From then on a fatal signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP) in any thread, be it from an extension
module, from ctypes or from the interpreter, makes the monitor write a minidump, and the traceback of every thread comes
with it. Then the process ends exactly as it would have without. Python exceptions leave dumps on demand:
`install(..., report_exceptions=True)`.

`annotations`, `thread_annotation`, `LogHandler`, `attach_file` and `add_memory` say what further dumps hold; `dump_now`
makes one of the living process; `heartbeat_start` has one made when it hangs.

The monitor is the executable `crash-monitor`, `python -m crash_monitor`, or a script that calls `run_monitor`.
"""

from ._annotations import Annotations, annotations
from ._arguments import StrOrBytesPath
from ._dump import attach_file, dump_now, heartbeat, heartbeat_start
from ._error import CrashMonitorError
from ._install import Strategy, install, is_armed, thread_init, uninstall
from ._library import __version__, version
from ._log import LogHandler, log
from ._memory import add_memory, remove_memory
from ._monitor import run_monitor
from ._report import Report, ReportKind
from ._thread_annotations import set_thread_annotation, thread_annotation

__all__ = [
    "Annotations",
    "CrashMonitorError",
    "LogHandler",
    "Report",
    "ReportKind",
    "Strategy",
    "StrOrBytesPath",
    "__version__",
    "add_memory",
    "annotations",
    "attach_file",
    "dump_now",
    "heartbeat",
    "heartbeat_start",
    "install",
    "is_armed",
    "log",
    "remove_memory",
    "run_monitor",
    "set_thread_annotation",
    "thread_annotation",
    "thread_init",
    "uninstall",
    "version",
]
