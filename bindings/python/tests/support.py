"""What the tests share: Python child processes, the dumps they leave, and waiting for their monitors to end."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import IO, Any, Callable, Optional

from minidump import Minidump

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
LIBRARY = Path(
    os.environ.get("CRASH_MONITOR_LIB") or PACKAGE_ROOT.parents[1] / "target" / "dist" / "lib" / "libcrash_monitor.so.0"
)
DEADLINE_SECONDS = 30

# The codes of sigaction(2).
SEGV_MAPERR, SEGV_ACCERR, SI_TKILL = 1, 2, -6

# Where the tests crash, at 0xd000, nobody has memory: it is below vm.mmap_min_addr. An interpreter that is not
# position-independent may have its heap at any other low address.

# Children crash on purpose: no core files.
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def monitor_pid(socket_path: Path) -> Optional[int]:
    """Who listens there (unix(7), SO_PEERCRED)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(socket_path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return None
        pid: int = struct.unpack("iII", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return pid


def wait_until_monitor_has_gone(socket_path: Path) -> None:
    pid = monitor_pid(socket_path)
    if pid is None:
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([process], [], [], DEADLINE_SECONDS)
    finally:
        os.close(process)
    if not ended:
        raise AssertionError(f"monitor {pid} at {socket_path} still runs after {DEADLINE_SECONDS} s")


def compile_shared(source: str, output: Path) -> None:
    """Makes a shared library of C source text."""
    command = ["gcc", "-O0", "-shared", "-fPIC", "-x", "c", "-", "-o", str(output)]
    subprocess.run(command, input=source, text=True, check=True, timeout=DEADLINE_SECONDS)


class HostTest(unittest.TestCase):
    """A test with a directory of its own, whose children are hosts that dump to `dump_dir`."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="cm-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.use_dump_dir("dumps")
        # Some tests choose a socket path of their own.
        self.addCleanup(lambda: wait_until_monitor_has_gone(self.socket_path))

    def use_dump_dir(self, name: str) -> None:
        """Has the hosts that are run from now on dump to another directory."""
        self.dump_dir = self.directory / name
        self.socket_path = self.dump_dir / "monitor.sock"
        self.addCleanup(wait_until_monitor_has_gone, self.socket_path)

    def environment(self, **changes: Optional[str]) -> dict[str, str]:
        """A child's: this package, the library under test and nothing else of what Python and crash-monitor read."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CRASH_MONITOR"))}
        ours = {
            "PYTHONPATH": str(PACKAGE_ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CRASH_MONITOR_LIB": str(LIBRARY),
            # What a child that crashes leaves of its temporary files goes with the test's own directory.
            "TMPDIR": str(self.directory),
        }
        return {name: value for name, value in {**kept, **ours, **changes}.items() if value is not None}

    def run_python(self, *arguments: str, **changes: Optional[str]) -> subprocess.CompletedProcess[str]:
        """Runs a child to its end."""
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment(**changes),
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_SECONDS,
        )

    def run_host(self, code: str) -> subprocess.CompletedProcess[str]:
        """Runs a child that finds the dump directory in `dump_dir` and has not installed anything yet."""
        preamble = "import ctypes, os, sys, threading, crash_monitor; dump_dir = sys.argv[1]\n"
        return self.run_python("-c", preamble + code, str(self.dump_dir))

    def check_success(self, process: subprocess.CompletedProcess[str]) -> None:
        self.assertEqual(process.returncode, 0, process.stderr)

    def start_python(self, *arguments: str, **changes: Optional[str]) -> subprocess.Popen[bytes]:
        """Starts a child; it is ended after the test if it still runs."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=self.environment(**changes),
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # So that select(2) knows of every byte that is there to be read.
        )
        self.addCleanup(self._end, process)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_SECONDS)

    def read_line(self, stream: Optional[IO[bytes]]) -> str:
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], DEADLINE_SECONDS)
        self.assertTrue(ready, f"nothing said within {DEADLINE_SECONDS} s")
        line = stream.readline().decode()
        self.assertTrue(line, "ended without another word")
        return line

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"not within {DEADLINE_SECONDS} s")
            time.sleep(0.01)

    def dumps(self) -> list[Path]:
        return sorted(self.dump_dir.glob("*.dmp"))

    def dump_of(self, pid: int) -> Minidump:
        (path,) = self.dump_dir.glob(f"*-{pid}.dmp")
        return Minidump(path)

    def records(self) -> dict[int, str]:
        """What became of which process, once the monitor has nothing more to write."""
        return {record["pid"]: record["kind"] for record in self.all_records()}

    def all_records(self) -> list[dict[str, Any]]:
        """In the order in which it happened, once the monitor has nothing more to write."""
        wait_until_monitor_has_gone(self.socket_path)
        # The second of a process and second has a longer name.
        paths = sorted(self.dump_dir.glob("*.json"), key=lambda path: (len(path.name), path.name))
        return sorted((json.loads(path.read_text()) for path in paths), key=lambda record: record["happened"])

    def only_record(self) -> dict[str, Any]:
        (record,) = self.all_records()
        return record

    def attached(self, record: dict[str, Any]) -> dict[str, str]:
        """The attachments of a record's dump, by the names of the files that they are copies of."""
        stem = record["dump"]["file"].removesuffix("dmp")
        return {name.removeprefix(stem): (self.dump_dir / name).read_text() for name in record["attachments"]}

    def check_dump(
        self,
        process: subprocess.CompletedProcess[str],
        signal_number: signal.Signals,
        si_code: int,
        address: Optional[int] = None,
    ) -> Minidump:
        """The one dump of a host that printed the id of its crashing thread and died of the signal."""
        self.assertEqual(process.returncode, -signal_number, process.stderr)
        dumps = self.dumps()
        self.assertEqual(len(dumps), 1, dumps)
        dump = Minidump(dumps[0])
        crash = dump.crash()
        self.assertEqual((crash.signal, crash.si_code), (signal_number, si_code))
        if address is not None:
            self.assertEqual(hex(crash.address), hex(address))
        self.assertEqual(crash.thread_id, int(process.stdout))
        self.assertTrue(any(dump.threads()[crash.thread_id].stack), "no stack of the crashing thread")
        self.assertEqual(dump.module_names()[0], os.path.realpath(sys.executable))
        return dump
