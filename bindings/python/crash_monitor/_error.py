"""What a function of the library that failed becomes."""

from __future__ import annotations

from ._library import CM_OK, lib


class CrashMonitorError(Exception):
    """A function of the library failed.

    `status` is the code, `name` what crash_monitor.h calls it, such as "CM_ERR_SOCKET", and `message` says what was
    wrong, where, and what would be right.
    """

    __module__ = "crash_monitor"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.name: str = lib.cm_status_text(status).decode().partition(":")[0]
        self.message = message

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


def check(status: int) -> None:
    """Raises what is not success."""
    if status != CM_OK:
        raise last_error(status)


def last_error(status: int) -> CrashMonitorError:
    """The library keeps the message of the calling thread's last failure."""
    return CrashMonitorError(status, lib.cm_last_error().decode())
