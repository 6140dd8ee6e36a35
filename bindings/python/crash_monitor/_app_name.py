"""The application's name where the program gives none."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Optional

_LENGTH_MAX = 64


def of_script() -> Optional[str]:
    """The running script's or package's name, made safe for a file name; None where there is none (`python -c`)."""
    script = Path(sys.argv[0] if sys.argv else "")
    if script.name == "__main__.py":  # python -m package
        script = script.parent
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", script.name.removesuffix(".py"))[:_LENGTH_MAX]
    return None if name.startswith(("-", ".")) else name or None
