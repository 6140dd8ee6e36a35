"""Runs the tests with every Python, 3.9 or later, that is on PATH or among those of pyenv."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Optional

TELL = "import os, sys; print(*sys.version_info[:2], os.path.realpath(sys.executable))"


def found() -> list[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    directories = [*map(Path, os.get_exec_path()), *sorted(pyenv.glob("versions/*/bin"))]
    candidates = [file for directory in directories for file in sorted(directory.glob("python3*"))]
    # One interpreter has many names.
    return list(dict.fromkeys(filter(None, map(interpreter, candidates))))


def interpreter(candidate: Path) -> Optional[Path]:
    """The interpreter behind a name; None where it is none, or too old."""
    try:
        answer = subprocess.run([candidate, "-c", TELL], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    major, minor, path = answer.stdout.split() if answer.returncode == 0 else (0, 0, "")
    return Path(path) if (int(major), int(minor)) >= (3, 9) else None


def main() -> int:
    failed = []
    for python in found():
        print(f"== {python}", flush=True)
        tests = [str(python), "-m", "unittest", "discover", "-s", str(Path(__file__).parent), *sys.argv[1:]]
        if subprocess.run(tests).returncode != 0:
            failed.append(str(python))
    print("failed with " + ", ".join(failed) if failed else "passed with all of them")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
