"""Finds libcrash_monitor, checks its version and declares its functions."""

from __future__ import annotations

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

CM_OK = 0
CM_ERR_ALREADY_INSTALLED = -3

_FILE_NAME = "libcrash_monitor.so.0"
_VARIABLE = "CRASH_MONITOR_LIB"

# As in crash_monitor.h.
ReportCallback = CFUNCTYPE(None, c_void_p, c_void_p)
LogCallback = CFUNCTYPE(None, c_uint32, c_char_p, c_void_p)

# Result and argument types, as in crash_monitor.h.
_FUNCTIONS = {
    "cm_last_error": (c_char_p, []),
    "cm_status_text": (c_char_p, [c_int32]),
    "cm_run_monitor": (c_int32, []),
    "cm_set_report_callback": (c_int32, [ReportCallback, c_void_p]),
    "cm_set_log_callback": (c_int32, [LogCallback, c_void_p]),
    "cm_report_kind": (c_int32, [c_void_p]),
    "cm_report_dump_path": (c_char_p, [c_void_p]),
    "cm_report_record_path": (c_char_p, [c_void_p]),
    "cm_report_attachment_path": (c_char_p, [c_void_p, c_size_t]),
    "cm_report_app_name": (c_char_p, [c_void_p]),
    "cm_report_pid": (c_uint32, [c_void_p]),
    "cm_report_thread_id": (c_uint32, [c_void_p]),
    "cm_report_signal": (c_int32, [c_void_p]),
    "cm_report_exit_status": (c_int32, [c_void_p]),
    "cm_report_reason": (c_char_p, [c_void_p]),
    "cm_report_annotation": (c_char_p, [c_void_p, c_char_p]),
    "cm_report_annotation_key": (c_char_p, [c_void_p, c_size_t]),
    "cm_install_with": (c_int32, [c_void_p]),
    "cm_uninstall": (c_int32, []),
    "cm_is_armed": (c_int32, []),
    "cm_thread_init": (c_int32, []),
    "cm_config_new": (c_int32, [c_char_p, c_char_p, POINTER(c_void_p)]),
    "cm_config_free": (None, [c_void_p]),
    "cm_config_set_app_name": (c_int32, [c_void_p, c_char_p]),
    "cm_config_set_monitor_path": (c_int32, [c_void_p, c_char_p]),
    "cm_config_set_monitor_log": (c_int32, [c_void_p, c_char_p]),
    "cm_config_set_deadline_ms": (c_int32, [c_void_p, c_uint32]),
    "cm_config_set_retention": (c_int32, [c_void_p, c_uint32, c_uint64]),
    "cm_config_set_log_bytes": (c_int32, [c_void_p, c_uint32]),
    "cm_config_set_strategy": (c_int32, [c_void_p, c_int32]),
    "cm_config_set_environment": (c_int32, [c_void_p, c_int32]),
    "cm_config_set_sanitize_stacks": (c_int32, [c_void_p, c_int32]),
    # The callback by its address.
    "cm_config_set_crash_callback": (c_int32, [c_void_p, c_void_p, c_void_p]),
    "cm_dump_now_n": (c_int32, [c_char_p, c_size_t, POINTER(c_char_p)]),
    "cm_attach_file": (c_int32, [c_char_p]),
    "cm_heartbeat_start": (c_int32, [c_uint32]),
}

# Those that only write to memory. They keep the interpreter's lock, since giving it to another thread for so short a time
# could cost milliseconds (sys.setswitchinterval).
_QUICK_FUNCTIONS = {
    "cm_set_annotation_n": (c_int32, [c_char_p, c_size_t, c_char_p, c_size_t]),
    "cm_set_thread_annotation_n": (c_int32, [c_char_p, c_size_t, c_char_p, c_size_t]),
    "cm_log": (c_int32, [c_uint32, c_char_p, c_size_t]),
    "cm_add_memory": (c_int32, [c_void_p, c_size_t]),
    "cm_remove_memory": (c_int32, [c_void_p]),
    "cm_heartbeat": (c_int32, []),
}


def _open() -> ctypes.CDLL:
    named = os.environ.get(_VARIABLE)
    if named:
        # Absolute: a name without a slash would make the loader search its own places.
        return _load(os.path.abspath(named), _VARIABLE)
    beside = Path(__file__).with_name(_FILE_NAME)
    if beside.exists():
        return _load(str(beside), "beside the package")
    return _load(_FILE_NAME, f"by the loader ({_VARIABLE} is not set, and there is no {beside})")


def _load(path: str, where: str) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise _import_error(f"cannot load the crash-monitor library, looked for {where}: {error}", path) from error
    try:
        library.cm_version.restype = c_char_p
    except AttributeError as error:
        raise _import_error(f"{path}, found {where}, is not the crash-monitor library: {error}", path) from error
    version = library.cm_version().decode()
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise _import_error(
            f"the crash-monitor library {path}, found {where}, is version {version}, this package {__version__}: "
            "install both from the same release",
            path,
        )
    _declare(library, _FUNCTIONS)
    quick = ctypes.PyDLL(path, handle=library._handle)
    _declare(quick, _QUICK_FUNCTIONS)
    for name in _QUICK_FUNCTIONS:
        setattr(library, name, getattr(quick, name))
    return library


def _declare(library: ctypes.CDLL, functions: dict[str, tuple[Any, list[Any]]]) -> None:
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def _import_error(message: str, path: str) -> ImportError:
    return ImportError(message, name="crash_monitor", path=path)


class _DlInfo(ctypes.Structure):
    _fields_ = [("file", c_char_p), ("base", c_void_p), ("symbol", c_char_p), ("address", c_void_p)]


def directory() -> Path:
    """Where the loaded library lies (dladdr(3)), also when it was the loader that found it."""
    info = _DlInfo()
    ctypes.CDLL(None).dladdr(lib.cm_version, ctypes.byref(info))
    return Path(os.fsdecode(info.file)).resolve().parent


def version() -> str:
    """The version of the library that is loaded, `major.minor.patch`."""
    loaded: str = lib.cm_version().decode()
    return loaded


lib = _open()
