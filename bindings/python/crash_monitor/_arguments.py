"""Arguments as C takes them: what C would misread is refused here, what is only wrong is left for C to refuse."""

from __future__ import annotations

import os
from typing import Union

StrOrBytesPath = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


def encoded(value: StrOrBytesPath) -> bytes:
    return _without_nul(os.fsencode(value))


def path(value: StrOrBytesPath) -> bytes:
    """Absolute: the program may be elsewhere when the same is installed again. An empty one is for C to refuse."""
    given = encoded(value)
    return os.path.join(os.getcwdb(), given) if given and not os.path.isabs(given) else given


def text(value: str, errors: str = "strict") -> bytes:
    """For functions that take a length: it may hold NUL. `errors` says what becomes of lone surrogates."""
    if not isinstance(value, str):
        raise TypeError(f"expected str, not {type(value).__name__}")
    return value.encode(errors=errors)


def unsigned(value: int, bits: int) -> int:
    if not 0 <= value < 1 << bits:  # ctypes would cut it off.
        raise ValueError(f"{value} does not fit in {bits} bits without a sign")
    return value


def _without_nul(value: bytes) -> bytes:
    if b"\0" in value:  # C would take what stands before it.
        raise ValueError(f"embedded null byte in {value!r}")
    return value
