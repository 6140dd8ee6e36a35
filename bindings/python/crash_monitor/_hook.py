"""Functions of other modules that are replaced while the library is installed."""

from __future__ import annotations

from typing import Any, Callable


class Hook:
    """Replaces `owner.name` by what `make` makes of it: a function with the original as `__wrapped__`."""

    def __init__(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        self._owner, self._name, self._make = owner, name, make
        self._ours: Any = None

    def attach(self) -> None:
        """Hooks the function, if that is not done yet."""
        if self._ours is None:
            self._ours = self._make(getattr(self._owner, self._name))
            setattr(self._owner, self._name, self._ours)

    def detach(self) -> None:
        """Takes the hook away, unless somebody has hooked the same function since: then it stays, and does no harm."""
        if self._ours is not None and getattr(self._owner, self._name) is self._ours:
            setattr(self._owner, self._name, self._ours.__wrapped__)
            self._ours = None
