"""Which executable is the monitor."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Optional

from . import _library

_NAME = "crash-monitor"
_VARIABLE = "CRASH_MONITOR_PATH"


def known_to_library() -> Optional[str]:
    """The one that `cm_install` finds by itself, other than beside the interpreter."""
    library = _library.directory()
    return os.environ.get(_VARIABLE) or _first_in(library, library.parent / "bin")


def known_to_python() -> Optional[str]:
    """The one beside this package, or where pip puts executables: the library does not see virtual environments."""
    return _first_in(Path(__file__).parent, Path(sysconfig.get_path("scripts")))


def _first_in(*directories: Path) -> Optional[str]:
    found = (shutil.which(str(directory / _NAME)) for directory in directories)
    return next(filter(None, found), None)
