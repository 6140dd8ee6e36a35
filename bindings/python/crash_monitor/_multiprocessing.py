"""Children of `multiprocessing`: they end by `os._exit`, of which kernels before 6.15 do not tell the monitor whether it was
a clean end."""

from __future__ import annotations

import sys
from typing import Callable

# Among the last: what others have registered may still crash.
_PRIORITY = -100


def at_end_of_child(call: Callable[[], None]) -> None:
    """Has `call` called at the end of this process, if `multiprocessing` has started it."""
    # A child has both modules; others need not import them.
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, call, exitpriority=_PRIORITY)
