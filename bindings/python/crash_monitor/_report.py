"""What the monitor tells a Python function about a dump or a death."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ._library import lib


class ReportKind(enum.IntEnum):
    """Why there is a report."""

    CRASH = 1
    """A fatal signal."""
    REQUEST = 2
    """A dump that the program asked for, with `dump_now` or for an uncaught exception."""
    HANG = 3
    """The program broke the promise of `heartbeat_start`."""
    DEATH = 4
    """The process ended without a goodbye, by SIGKILL for instance: there is a record and no dump."""


class Report(NamedTuple):
    """A dump and its record, or a record alone."""

    kind: ReportKind
    dump: Optional[Path]
    """None for a death, and where the dump could not be written."""
    record: Optional[Path]
    """None where it could not be written."""
    attachments: tuple[Path, ...]
    """The copies of attached files."""
    app_name: str
    pid: int
    thread_id: int
    """The thread that crashed or asked for the dump; 0 where there is none."""
    signal: Optional[int]
    """The signal of a crash, or that ended the process."""
    exit_status: Optional[int]
    """Of a process that has exited."""
    reason: Optional[str]
    """What `dump_now` was given."""
    annotations: dict[str, str]

    @classmethod
    def _read(cls, handle: int) -> Report:
        status: int = lib.cm_report_exit_status(handle)
        reason = lib.cm_report_reason(handle)
        keys = _all(lib.cm_report_annotation_key, handle)
        return cls(
            kind=ReportKind(lib.cm_report_kind(handle)),
            dump=_path(lib.cm_report_dump_path(handle)),
            record=_path(lib.cm_report_record_path(handle)),
            attachments=tuple(Path(os.fsdecode(path)) for path in _all(lib.cm_report_attachment_path, handle)),
            app_name=lib.cm_report_app_name(handle).decode(),
            pid=lib.cm_report_pid(handle),
            thread_id=lib.cm_report_thread_id(handle),
            signal=lib.cm_report_signal(handle) or None,
            exit_status=None if status < 0 else status,
            reason=None if reason is None else reason.decode(),
            annotations={key.decode(): lib.cm_report_annotation(handle, key).decode() for key in keys},
        )


def _all(accessor: Any, handle: int) -> Iterator[bytes]:
    index = 0
    while (text := accessor(handle, index)) is not None:
        yield text
        index += 1


def _path(path: Optional[bytes]) -> Optional[Path]:
    return None if path is None else Path(os.fsdecode(path))
