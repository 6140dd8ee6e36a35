"""Has every thread that `threading` starts call `cm_thread_init`.

The hook is around `Thread._set_ident`, the first thing that a new thread calls, in the thread itself, whatever its
class makes of `run`. It has returned before `run` begins, so no traceback shows it.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from ._library import lib

_thread: Any = threading.Thread  # `_set_ident` is not in the type stubs.
_hook: Any = None


def attach() -> None:
    """Hooks the threads that start from now on, if that is not done yet."""
    global _hook
    if _hook is None:
        _hook = _thread._set_ident = _hooked(_thread._set_ident)


def detach() -> None:
    """Takes the hook away, unless somebody else has hooked the same method since: then it stays, and does no harm."""
    global _hook
    if _hook is not None and _thread._set_ident is _hook:
        _thread._set_ident, _hook = _hook.__wrapped__, None


def _hooked(set_ident: Any) -> Any:
    @functools.wraps(set_ident)
    def set_ident_and_init(thread: threading.Thread) -> None:
        set_ident(thread)
        # A failure costs only the dump of an overflow. An exception would cost the thread, and whoever waits for it.
        lib.cm_thread_init()

    return set_ident_and_init
