"""Functions that the signal handler calls: of C alone."""

from __future__ import annotations

import ctypes
from _ctypes import CFuncPtr
from typing import Any, Union

from . import _arguments

# By its address too.
CFunction = Union[int, CFuncPtr]


def address(callback: CFunction) -> int:
    """The address of a C function, given as one of a library that ctypes has loaded, or as an int."""
    if isinstance(callback, CFuncPtr) and not _is_python(callback):
        callback = ctypes.cast(callback, ctypes.c_void_p).value or 0
    if not isinstance(callback, int):
        raise TypeError(
            "crash_callback is called by a signal handler, amid whatever the interpreter was doing, so it cannot be "
            f"Python code, as {callback!r} is: give a C function of a library that ctypes has loaded, or its address"
        )
    if callback == 0:
        raise ValueError("crash_callback is a NULL pointer: give None for no callback")
    return _arguments.unsigned(callback, 64)


def _is_python(function: Any) -> bool:
    """Whether ctypes has made it of a Python callable, which it then keeps in a thunk; a cast keeps that too."""
    return any(type(kept).__name__ == "CThunkObject" for kept in (function._objects or {}).values())
