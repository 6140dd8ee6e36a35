"""Has every thread that `threading` starts call `cm_thread_init`.

The hook is around `Thread._set_ident`, the first thing that a new thread calls, in the thread itself, whatever its
class makes of `run`. It has returned before `run` begins, so no traceback shows it.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from ._hook import Hook
from ._library import lib


def _then_init(set_ident: Any) -> Any:
    @functools.wraps(set_ident)
    def set_ident_and_init(thread: threading.Thread) -> None:
        set_ident(thread)
        # A failure costs only the dump of an overflow. An exception would cost the thread, and whoever waits for it.
        lib.cm_thread_init()

    return set_ident_and_init


hook = Hook(threading.Thread, "_set_ident", _then_init)
