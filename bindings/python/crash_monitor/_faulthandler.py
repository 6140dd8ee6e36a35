"""Keeps `faulthandler` behind the library, whichever of them comes first.

`faulthandler` sets handlers for most of the signals that the library handles, and what it hands on to those that it has
replaced is a signal raised anew, without the fault address. So while the library is installed it steps aside when
`faulthandler` sets its handlers or puts back those that it found, and comes back in front of them.
"""

from __future__ import annotations

import faulthandler
import functools
from typing import Any, Callable, Tuple

from ._hook import Hook


def hooks(step_aside: Callable[[Callable[[], Any]], Any]) -> Tuple[Hook, Hook]:
    """`step_aside` calls the function that it is given while the library is not installed, and returns its result."""

    def aside_if(changes_handlers: Callable[[], bool]) -> Callable[[Any], Any]:
        def make(function: Any) -> Any:
            @functools.wraps(function)
            def called_aside(*arguments: Any, **named: Any) -> Any:
                call = functools.partial(function, *arguments, **named)
                return step_aside(call) if changes_handlers() else call()

            return called_aside

        return make

    enable = Hook(faulthandler, "enable", aside_if(lambda: not faulthandler.is_enabled()))
    disable = Hook(faulthandler, "disable", aside_if(faulthandler.is_enabled))
    return enable, disable
