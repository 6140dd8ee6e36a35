"""Installing the library and the hooks that go with it, and taking them away."""

from __future__ import annotations

import atexit
import ctypes
import enum
import os
import warnings
from typing import Any, Callable, NamedTuple, Optional, Tuple

from . import (
    _app_name,
    _arguments,
    _crash_callback,
    _excepthook,
    _faulthandler,
    _lock,
    _monitor_program,
    _multiprocessing,
    _threads,
    _tracebacks,
)
from ._arguments import StrOrBytesPath
from ._crash_callback import CFunction
from ._dump import dumper
from ._error import CrashMonitorError, check, last_error
from ._library import CM_ERR_ALREADY_INSTALLED, CM_OK, lib


class Strategy(enum.IntEnum):
    """Who looks at a fault of the processor (SIGSEGV, SIGBUS or SIGFPE) first."""

    REPORT_FIRST = 0
    """The fault is reported, then the handler that was there before `install` gets its turn."""
    PREVIOUS_FIRST = 1
    """The handler that was there before gets it first; it is reported unless the thread goes on elsewhere then. For
    runtimes in this process that use such faults themselves: a Java virtual machine, .NET, V8."""


class _Installed(NamedTuple):
    config: int
    pid: int
    # What the library does not know of, and so does not compare.
    tracebacks: bool
    report_exceptions: bool


# Keeps what follows, the handlers and the hooks in step.
_one_at_a_time = _lock.make()
_installed: Optional[_Installed] = None
_own_faulthandler = _faulthandler.OwnFaulthandler()


def install(
    dump_dir: StrOrBytesPath,
    socket_path: Optional[StrOrBytesPath] = None,
    *,
    app_name: Optional[str] = None,
    monitor_path: Optional[StrOrBytesPath] = None,
    monitor_log: Optional[StrOrBytesPath] = None,
    deadline_ms: Optional[int] = None,
    retention: Optional[Tuple[int, int]] = None,
    log_bytes: Optional[int] = None,
    environment: bool = False,
    sanitize_stacks: bool = False,
    strategy: Strategy = Strategy.REPORT_FIRST,
    crash_callback: Optional[CFunction] = None,
    crash_callback_data: int = 0,
    tracebacks: bool = True,
    report_exceptions: bool = False,
) -> None:
    """Arms this process: from now on a crash leaves a minidump in `dump_dir`.

    dump_dir: where dumps are written; made, with mode 0700, where it does not exist.
    socket_path: where the monitor listens, at most 107 bytes; `monitor.sock` in `dump_dir` by default.
    app_name: first part of the dumps' names, 1 to 64 ASCII letters, digits, `.`, `_`, `+` or `-`, not starting with
        `.`; the script's name without `.py` by default, the interpreter's where there is no script.
    monitor_path: the executable to start where no monitor runs; by default what CRASH_MONITOR_PATH names, else
        `crash-monitor` beside the library, in `../bin` from there, beside this package, among the scripts that pip
        installs, or beside the interpreter. A script that calls `run_monitor` can be one.
    monitor_log: a file that a monitor started by this process appends its log to; none by default.
    deadline_ms: how long a crashing process waits for its dump, and this call for a monitor, in milliseconds, 100 to
        600000; 10000 by default.
    retention: how many dumps, and how many bytes of them, the directory keeps, each at least 1; the monitor removes the
        oldest. (100, 1 GiB) by default.
    log_bytes: how much of the log (`log`, `LogHandler`) is kept, up to 1048576; 65536 by default, 0 for no log. A line
        takes 128 bytes for each 104 bytes of its text. Lines logged before are lost where this changes it.
    environment: whether dumps hold the process's environment, which often holds secrets.
    sanitize_stacks: whether words of stacks that are neither small numbers nor point into code or the same stack are
        overwritten. Stack traces survive it, the values of variables do not.
    strategy: who looks at a fault first; see `Strategy`. With PREVIOUS_FIRST crashes have no tracebacks, and
        `faulthandler` must not be enabled: it would end the process before there is a dump.
    crash_callback: a C function, `int32_t f(int32_t signal, const void *siginfo, const void *context, void *data)`, to
        be called at a crash before the report, which it prevents by returning other than 0. A function of a library
        that ctypes has loaded, or its address. It runs in the signal handler (see `cm_crash_callback` in
        crash_monitor.h), so it cannot be Python code: that is refused with TypeError.
    crash_callback_data: an address that it is given; NULL by default.
    tracebacks: whether the traceback of every thread comes with a dump, as `<dump's name>.python-traceback.txt`. After
        a crash that appears shortly after the process has ended. `faulthandler` writes it; while a program has enabled
        that for itself, its output goes where the program wants it, and a crash has no such file.
    report_exceptions: whether an uncaught exception in any thread, other than SystemExit and KeyboardInterrupt, leaves
        a dump as by `dump_now`, with the annotations `exception.type` and `exception.what`, before `sys.excepthook` or
        `threading.excepthook` does what it would have done.

    A second call with the same arguments changes nothing, except that it comes in front again of signal handlers that
    others have set meanwhile, and connects anew where the monitor has gone. `faulthandler.enable` and `disable` do
    that by themselves. The calling thread, and every thread that `threading` starts from now on, gets what
    `thread_init` gives.

    Raises CrashMonitorError, and then nothing is installed; ValueError for a path with a NUL in it or a number that
    does not fit in 32 bits. May be called by any thread; calls wait for each other.
    """
    strategy = Strategy(strategy)
    if app_name is None:
        app_name = _app_name.of_script()
    if monitor_path is None and _monitor_program.known_to_library() is None:
        monitor_path = _monitor_program.known_to_python()
    callback = None if crash_callback is None else _crash_callback.address(crash_callback)
    callback_data = _arguments.unsigned(crash_callback_data, 64)
    settings = (
        (lib.cm_config_set_app_name, None if app_name is None else (_arguments.encoded(app_name),)),
        (lib.cm_config_set_monitor_path, None if monitor_path is None else (_arguments.path(monitor_path),)),
        (lib.cm_config_set_monitor_log, None if monitor_log is None else (_arguments.path(monitor_log),)),
        (lib.cm_config_set_deadline_ms, None if deadline_ms is None else (_arguments.unsigned(deadline_ms, 32),)),
        (
            lib.cm_config_set_retention,
            retention and (_arguments.unsigned(retention[0], 32), _arguments.unsigned(retention[1], 64)),
        ),
        (lib.cm_config_set_log_bytes, None if log_bytes is None else (_arguments.unsigned(log_bytes, 32),)),
        (lib.cm_config_set_environment, (bool(environment),)),
        (lib.cm_config_set_sanitize_stacks, (bool(sanitize_stacks),)),
        (lib.cm_config_set_strategy, (strategy,)),
        (lib.cm_config_set_crash_callback, (callback, callback_data)),
    )
    config = _new_config(_arguments.path(dump_dir), None if socket_path is None else _arguments.path(socket_path))
    try:
        for setter, values in settings:
            if values is not None:
                check(setter(config, *values))
        with _one_at_a_time:
            _install(_Installed(config, os.getpid(), bool(tracebacks), bool(report_exceptions)), strategy)
    except BaseException:
        lib.cm_config_free(config)
        raise


def _new_config(dump_dir: bytes, socket_path: Optional[bytes]) -> int:
    config = ctypes.c_void_p()
    check(lib.cm_config_new(dump_dir, socket_path, ctypes.byref(config)))
    assert config.value is not None
    return config.value


def uninstall() -> None:
    """Disarms this process: puts the signal handlers back that were there before and takes leave of the monitor.

    Raises CrashMonitorError where nothing is installed. May be called by any thread; calls wait for each other.
    """
    with _one_at_a_time:
        _become_uninstalled(lib.cm_uninstall)


def is_armed() -> bool:
    """Whether a crash would leave a dump: installed, and no signal handler replaced by others since.

    Where one was, `install` with the same arguments as before comes in front again. May be called by any thread.
    """
    status: int = lib.cm_is_armed()
    return status == CM_OK


def thread_init() -> None:
    """Gives the calling thread an alternate signal stack, without which an overflow of its stack leaves no dump.

    Also unblocks the crash signals in it: a fault whose signal is blocked (`signal.pthread_sigmask`) leaves no dump.

    Needed in threads that run before `install` does, and in those that `threading` does not start: by
    `_thread.start_new_thread`, or by an extension module. Costs 64 KiB of address space, and may be called twice.

    Raises CrashMonitorError where the memory cannot be had.
    """
    check(lib.cm_thread_init())


def _install(now: _Installed, strategy: Strategy) -> None:
    global _installed
    before = _installed
    if before is not None:
        _refuse_other(before, now)
    file = _tracebacks.file.open() if now.tracebacks else None
    if file is not None and strategy is Strategy.REPORT_FIRST and (before is None or _own_faulthandler.is_enabled):
        _own_faulthandler.begin(file)
    try:
        check(lib.cm_install_with(now.config))
    except CrashMonitorError:
        if before is None:
            _own_faulthandler.end()
        raise
    _installed = now
    if before is not None:
        lib.cm_config_free(before.config)
    dumper.with_tracebacks = now.tracebacks
    for hook in _hooks:
        hook.attach()
    if now.report_exceptions:
        _excepthook.reporter.attach()
    if before is None or before.pid != now.pid:
        _multiprocessing.at_end_of_child(_take_leave)


def _take_leave() -> None:
    if not _one_at_a_time.acquire(blocking=False):  # A thread that is just installing is none to wait for.
        return
    try:
        if _installed is not None and _installed.pid == os.getpid():
            _become_uninstalled(lib.cm_uninstall)
    finally:
        _one_at_a_time.release()


def _refuse_other(before: _Installed, now: _Installed) -> None:
    if (before.tracebacks, before.report_exceptions) != (now.tracebacks, now.report_exceptions):
        raise CrashMonitorError(
            CM_ERR_ALREADY_INSTALLED,
            f"already installed with tracebacks={before.tracebacks}, report_exceptions={before.report_exceptions}: "
            "call uninstall before installing with other settings",
        )


def _become_uninstalled(uninstall_library: Callable[[], int]) -> None:
    global _installed
    _excepthook.reporter.detach()
    for hook in _hooks:
        hook.detach()
    dumper.with_tracebacks = False
    status = uninstall_library()
    _own_faulthandler.end()
    if _installed is not None:
        lib.cm_config_free(_installed.config)
        _installed = None
    check(status)


def _step_aside(call: Callable[[], Any]) -> Any:
    """Calls while nothing is installed, and then installs again what was. With the lock held."""
    if _installed is None:  # Somebody has hooked our hook, which therefore stays.
        return call()
    lib.cm_uninstall()
    try:
        return call()
    finally:
        status = lib.cm_install_with(_installed.config)
        if status != CM_OK:
            error = last_error(status)
            _become_uninstalled(lambda: CM_OK)
            warnings.warn(f"crash_monitor is not installed any more: {error}", RuntimeWarning, 3)


def _at_exit() -> None:
    """Python disables `faulthandler` at its end, which puts back what that found, over our handlers. What crashes only
    then, such as the destructor of a library, would leave no dump. So it is disabled now, and ours come in front again.
    """
    if not _one_at_a_time.acquire(blocking=False):  # A thread that is just installing is none to wait for.
        return
    try:
        ours = _own_faulthandler.is_enabled
        if ours and _installed is not None and _installed.pid == os.getpid() and is_armed():
            _own_faulthandler.disable_before_python_does()
            lib.cm_install_with(_installed.config)
    finally:
        _one_at_a_time.release()


_hooks = (_threads.hook, *_faulthandler.hooks(_own_faulthandler, _one_at_a_time, _step_aside))
# Registered early, called late: what programs register after this import still has tracebacks.
atexit.register(_at_exit)
