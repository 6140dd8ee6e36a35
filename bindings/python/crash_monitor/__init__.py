"""Minidumps of crashing Python processes, written by a second process that is well.

    import crash_monitor
    crash_monitor.install("/var/lib/app/crashes")

From then on a fatal signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP) in any thread, be it from an extension
module, from ctypes or from the interpreter, makes the monitor write a minidump. Then the process ends exactly as it
would have without. Python exceptions are none of its business.

There is no `run_monitor`: a library that has been told that its program can be its own monitor starts
`/proc/self/exe` as one, and here that is the interpreter, not the script. The monitor is the executable
`crash-monitor`, or `python -m crash_monitor`.
"""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any, Callable, Optional, Tuple, Union

from . import _app_name, _faulthandler, _monitor_program, _threads
from ._library import CM_ERR_INVALID_ARGUMENT, CM_OK, __version__, lib

__all__ = [
    "CrashMonitorError",
    "StrOrBytesPath",
    "__version__",
    "install",
    "is_armed",
    "thread_init",
    "uninstall",
    "version",
]

StrOrBytesPath = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

# Keeps what follows, the handlers and the hooks in step.
_lock = threading.Lock()
# The configuration that is installed; None where none is.
_config: Optional[int] = None


class CrashMonitorError(Exception):
    """A function of the library failed.

    `status` is the code, `name` what crash_monitor.h calls it, such as "CM_ERR_SOCKET", and `message` says what was
    wrong, where, and what would be right.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.name: str = lib.cm_status_text(status).decode().partition(":")[0]
        self.message = message

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


def install(
    dump_dir: StrOrBytesPath,
    socket_path: Optional[StrOrBytesPath] = None,
    *,
    app_name: Optional[str] = None,
    monitor_path: Optional[StrOrBytesPath] = None,
    monitor_log: Optional[StrOrBytesPath] = None,
    deadline_ms: Optional[int] = None,
    retention: Optional[Tuple[int, int]] = None,
) -> None:
    """Arms this process: from now on a crash leaves a minidump in `dump_dir`.

    dump_dir: where dumps are written; made, with mode 0700, where it does not exist.
    socket_path: where the monitor listens, at most 107 bytes; `monitor.sock` in `dump_dir` by default.
    app_name: first part of the dumps' names, 1 to 64 ASCII letters, digits, `.`, `_`, `+` or `-`, not starting with
        `.`; the script's name without `.py` by default, the interpreter's where there is no script.
    monitor_path: the executable to start where no monitor runs; by default what CRASH_MONITOR_PATH names, else
        `crash-monitor` beside the library, in `../bin` from there, beside this package, among the scripts that pip
        installs, or beside the interpreter.
    monitor_log: a file that a monitor started by this process appends its log to; none by default.
    deadline_ms: how long a crashing process waits for its dump, and this call for a monitor, in milliseconds, 100 to
        600000; 10000 by default.
    retention: how many dumps, and how many bytes of them, the directory keeps, each at least 1; the monitor removes the
        oldest. (100, 1 GiB) by default.

    A second call with the same arguments changes nothing, except that it comes in front again of signal handlers that
    others have set meanwhile, and connects anew where the monitor has gone. `faulthandler.enable` and `disable` do
    that by themselves. The calling thread, and every thread that `threading` starts from now on, gets what
    `thread_init` gives.

    Raises CrashMonitorError, and then nothing is installed; ValueError for a path with a NUL in it or a number that
    does not fit in 32 bits. May be called by any thread; calls wait for each other.
    """
    if app_name is None:
        app_name = _app_name.of_script()
    if monitor_path is None and _monitor_program.known_to_library() is None:
        monitor_path = _monitor_program.known_to_python()
    settings = (
        (lib.cm_config_set_app_name, None if app_name is None else (_bytes(app_name),)),
        (lib.cm_config_set_monitor_path, None if monitor_path is None else (_path(monitor_path),)),
        (lib.cm_config_set_monitor_log, None if monitor_log is None else (_path(monitor_log),)),
        (lib.cm_config_set_deadline_ms, None if deadline_ms is None else (_unsigned(deadline_ms, 32),)),
        (lib.cm_config_set_retention, retention and (_unsigned(retention[0], 32), _unsigned(retention[1], 64))),
    )
    config = lib.cm_config_new(_path(dump_dir), None if socket_path is None else _path(socket_path))
    if not config:  # Which tells no status; a path was empty or too long.
        raise _last_error(CM_ERR_INVALID_ARGUMENT)
    try:
        for setter, values in settings:
            if values is not None:
                _check(setter(config, *values))
        with _lock:
            _check(lib.cm_install_with(config))
            _become_installed(config)
    except BaseException:
        lib.cm_config_free(config)
        raise


def uninstall() -> None:
    """Disarms this process: puts the signal handlers back that were there before and takes leave of the monitor.

    Raises CrashMonitorError where nothing is installed. May be called by any thread; calls wait for each other.
    """
    with _lock:
        _become_uninstalled()
        _check(lib.cm_uninstall())


def is_armed() -> bool:
    """Whether a crash would leave a dump: installed, and no signal handler replaced by others since.

    Where one was, `install` with the same arguments as before comes in front again. May be called by any thread.
    """
    status: int = lib.cm_is_armed()
    return status == CM_OK


def thread_init() -> None:
    """Gives the calling thread an alternate signal stack, without which an overflow of its stack leaves no dump.

    Needed in threads that run before `install` does, and in those that `threading` does not start: by
    `_thread.start_new_thread`, or by an extension module. Costs 64 KiB of address space, and may be called twice.

    Raises CrashMonitorError where the memory cannot be had.
    """
    _check(lib.cm_thread_init())


def version() -> str:
    """The version of the library that is loaded, `major.minor.patch`."""
    loaded: str = lib.cm_version().decode()
    return loaded


def _become_installed(config: int) -> None:
    global _config
    if _config is not None:
        lib.cm_config_free(_config)
    _config = config
    for hook in _hooks:
        hook.attach()


def _become_uninstalled() -> None:
    global _config
    for hook in _hooks:
        hook.detach()
    lib.cm_config_free(_config)
    _config = None


def _step_aside(call: Callable[[], Any]) -> Any:
    """Calls while nothing is installed, and then installs again what was."""
    with _lock:
        if _config is None:  # Somebody has hooked our hook, which therefore stays.
            return call()
        lib.cm_uninstall()
        try:
            return call()
        finally:
            status = lib.cm_install_with(_config)
            if status != CM_OK:
                _become_uninstalled()
                warnings.warn(f"crash_monitor is not installed any more: {_last_error(status)}", RuntimeWarning, 3)


_hooks = (_threads.hook, *_faulthandler.hooks(_step_aside))


def _check(status: int) -> None:
    if status != 0:
        raise _last_error(status)


def _last_error(status: int) -> CrashMonitorError:
    """The library keeps the message of the calling thread's last failure."""
    return CrashMonitorError(status, lib.cm_last_error().decode())


def _bytes(value: StrOrBytesPath) -> bytes:
    encoded = os.fsencode(value)
    if b"\0" in encoded:  # C would take what stands before it.
        raise ValueError(f"embedded null byte in {value!r}")
    return encoded


def _path(value: StrOrBytesPath) -> bytes:
    """Absolute: the program may be elsewhere when the same is installed again. An empty one is for C to refuse."""
    encoded = _bytes(value)
    return os.path.join(os.getcwdb(), encoded) if encoded and not os.path.isabs(encoded) else encoded


def _unsigned(value: int, bits: int) -> int:
    if not 0 <= value < 1 << bits:  # ctypes would cut it off.
        raise ValueError(f"{value} does not fit in {bits} bits without a sign")
    return value
