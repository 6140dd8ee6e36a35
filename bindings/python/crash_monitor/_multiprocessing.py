"""Children of `multiprocessing`: they end by `os._exit`, of which kernels before 6.15 do not tell the monitor whether it was
a clean end."""

from __future__ import annotations

import sys
import threading
from typing import Callable

# Among the last: what others have registered may still crash.
_PRIORITY = -100


def at_end_of_child(call: Callable[[], None]) -> None:
    """Has `call` called at the end of this process, if `multiprocessing` has started it, or is just about to say so: a
    child of its server imports the main module before."""
    # A child has both modules; others need not import them.
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        _register(call)
        util.register_after_fork(call, _register)


def _register(call: Callable[[], None]) -> None:
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        sys.modules["multiprocessing.util"].Finalize(None, _unless_threads_run, (call,), exitpriority=_PRIORITY)


def _unless_threads_run(call: Callable[[], None]) -> None:
    # Until 3.12 the end waits for them only after this, and they may crash yet.
    if threading.active_count() == 1:
        call()
