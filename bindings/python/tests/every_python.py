"""Runs the tests with every Python, 3.9 or later, that is on PATH or among those of pyenv.

With `--few` first, with three of them: the one that runs this, the oldest and the newest. Further arguments are for
`unittest discover`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Optional

TELL = "import os, sys; print(*sys.version_info[:3], os.path.realpath(sys.executable))"


def found() -> dict[Path, tuple[int, ...]]:
    """The interpreters and their versions."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    directories = [*map(Path, os.get_exec_path()), *sorted(pyenv.glob("versions/*/bin"))]
    candidates = [file for directory in directories for file in sorted(directory.glob("python3*"))]
    # One interpreter has many names.
    return dict(filter(None, map(interpreter, candidates)))


def interpreter(candidate: Path) -> Optional[tuple[Path, tuple[int, ...]]]:
    """The interpreter behind a name, with its version; None where it is none, or too old."""
    try:
        answer = subprocess.run([candidate, "-c", TELL], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    if answer.returncode != 0:
        return None
    *numbers, path = answer.stdout.split()
    version = tuple(map(int, numbers))
    return (Path(path), version) if version >= (3, 9) else None


def few(versions: dict[Path, tuple[int, ...]]) -> list[Path]:
    by_version = sorted(versions, key=versions.__getitem__)
    return list(dict.fromkeys([Path(os.path.realpath(sys.executable)), by_version[0], by_version[-1]]))


def main() -> int:
    arguments = sys.argv[1:]
    pythons = list(found())
    if arguments[:1] == ["--few"]:
        pythons, arguments = few(found()), arguments[1:]
    failed = []
    for python in pythons:
        print(f"== {python}", flush=True)
        tests = [str(python), "-m", "unittest", "discover", "-s", str(Path(__file__).parent), *arguments]
        if subprocess.run(tests).returncode != 0:
            failed.append(str(python))
    print("failed with " + ", ".join(failed) if failed else "passed with all of them")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
