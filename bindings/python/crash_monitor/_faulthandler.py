"""Keeps `faulthandler` behind the library, and has it write tracebacks for us while its user has no use for it.

`faulthandler` sets handlers for most of the signals that the library handles, and what it hands on to those that it has
replaced is a signal raised anew, without the fault address. So it is enabled before the library is installed, writing
to our file, and stays so: who enables it gets what it writes, and who disables it gives that back to us. Its handlers
stay as they are. What `is_enabled` and `disable` say is about its user, not about us.

Where it is not to write for us, the library steps aside while `faulthandler` sets its handlers or puts back those that
it found, and comes back in front of them.
"""

from __future__ import annotations

import ctypes
import faulthandler
import functools
import signal
import threading
from typing import Any, Callable, Optional

from ._hook import Hook

_enable, _disable, _is_enabled = faulthandler.enable, faulthandler.disable, faulthandler.is_enabled

_SIGNALS = (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
_SIGACTION_BYTES = 256  # More than any system's.


class OwnFaulthandler:
    """Our use of `faulthandler`."""

    def __init__(self) -> None:
        # Where it writes for us while nobody else has it enabled; None while we have no use for it.
        self._file: Optional[int] = None
        self.is_enabled = False
        self._handlers: list[Optional[int]] = []

    def begin(self, file: int) -> None:
        """Enables it unless its user has, before the library sets its handlers. Again with another file, if need be."""
        self._file = file
        if self.is_enabled:
            self._take(file)
            return
        if not _is_enabled():
            self._take(file)
        self._handlers = _handlers()

    def end(self) -> None:
        """Disables it if we have enabled it. After the library has put back the handlers that it found."""
        self._file = None
        # It would put back what it found over handlers that others have set since. Then it stays, and does no harm.
        if self.is_enabled and _handlers() == self._handlers:
            _disable()
            self.is_enabled = False

    def give(self) -> None:
        """Its user has enabled it."""
        self.is_enabled = False

    def take_back(self) -> bool:
        """Its user disables it; False where we have no use for it."""
        if self._file is None:
            return False
        self._take(self._file)
        return True

    def disable_before_python_does(self) -> None:
        """At the interpreter's end, where Python disables it, and so puts back what it found over our handlers."""
        _disable()
        self.is_enabled, self._file = False, None

    def _take(self, file: int) -> None:
        _enable(file=file, all_threads=True)
        self.is_enabled = True


def hooks(
    own: OwnFaulthandler, lock: threading.RLock, step_aside: Callable[[Callable[[], Any]], Any]
) -> tuple[Hook, ...]:
    """`step_aside` calls the function that it is given while the library is not installed, and returns its result."""

    def make_enable(function: Any) -> Any:
        @functools.wraps(function)
        def enable(*arguments: Any, **named: Any) -> Any:
            call = functools.partial(function, *arguments, **named)
            with lock:
                result = call() if _is_enabled() else step_aside(call)
                own.give()
                return result

        return enable

    def make_disable(function: Any) -> Any:
        @functools.wraps(function)
        def disable() -> Any:
            with lock:
                if not is_enabled_by_user():
                    return False
                return own.take_back() or step_aside(function)

        return disable

    def make_is_enabled(function: Any) -> Any:
        @functools.wraps(function)
        def is_enabled() -> Any:
            return is_enabled_by_user()

        return is_enabled

    def is_enabled_by_user() -> bool:
        return _is_enabled() and not own.is_enabled

    return (
        Hook(faulthandler, "enable", make_enable),
        Hook(faulthandler, "disable", make_disable),
        Hook(faulthandler, "is_enabled", make_is_enabled),
    )


def _handlers() -> list[Optional[int]]:
    """The handlers of the signals that it handles, which begin a `struct sigaction` (sigaction(2))."""
    found = []
    for number in _SIGNALS:
        action = ctypes.create_string_buffer(_SIGACTION_BYTES)
        ctypes.CDLL(None).sigaction(number, None, action)
        found.append(ctypes.c_void_p.from_buffer(action).value)
    return found
