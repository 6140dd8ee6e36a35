"""Which monitor serves: `python -m crash_monitor`, and the executable that Python finds where the library does not."""

import os
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Optional

from minidump import Minidump
from support import DEADLINE_SECONDS, LIBRARY, SEGV_MAPERR, HostTest, monitor_pid

EXECUTABLE = LIBRARY.resolve().parent.parent / "bin" / "crash-monitor"
HOST = """
import ctypes, sys, threading, crash_monitor
crash_monitor.install(sys.argv[1], sys.argv[2])
print(threading.get_native_id(), flush=True)
sys.stdin.readline()
ctypes.string_at(0xd000)
"""


class MonitorTest(HostTest):
    def setUp(self) -> None:
        super().setUp()
        self.socket_path = self.directory / "socket"
        # A library with no executable in any of the places where it looks for one.
        self.lonely_library = self.directory / "lib" / LIBRARY.name
        self.lonely_library.parent.mkdir()
        shutil.copy(LIBRARY, self.lonely_library)

    def start_monitor(self, *options: str, library: Path = LIBRARY) -> subprocess.Popen[bytes]:
        """Runs `python -m crash_monitor` until it listens. To ask who listens there would end it: a host that left."""
        arguments = ("--dump-dir", str(self.directory / "unused"), "--socket", str(self.socket_path))
        command = ("-m", "crash_monitor", *arguments, *options)
        monitor = self.start_python(*command, CRASH_MONITOR_LIB=str(library))
        self.assertIn("listening at", self.read_line(monitor.stderr))
        return monitor

    def start_host(self, dump_dir: Path, **changes: Optional[str]) -> subprocess.Popen[bytes]:
        return self.start_python("-c", HOST, str(dump_dir), str(self.socket_path), **changes)

    def crash(self, host: subprocess.Popen[bytes], thread_id: int, dump_dir: Path) -> None:
        host.communicate(b"\n", timeout=DEADLINE_SECONDS)
        self.assertEqual(host.returncode, -signal.SIGSEGV)
        dumps = list(dump_dir.glob("*.dmp"))
        self.assertEqual(len(dumps), 1, dumps)
        self.assertEqual(Minidump(dumps[0]).crash(), (thread_id, signal.SIGSEGV, SEGV_MAPERR, 0xD000))


class Command(MonitorTest):
    def check_serves_two_hosts_and_ends(self, monitor: subprocess.Popen[bytes]) -> None:
        hosts = []
        for name in ("one", "two"):
            host = self.start_host(self.directory / name)
            hosts.append((host, int(self.read_line(host.stdout)), self.directory / name))
        self.assertEqual(monitor_pid(self.socket_path), monitor.pid)
        for host, thread_id, dump_dir in hosts:
            self.assertIsNone(monitor.poll())
            self.crash(host, thread_id, dump_dir)
        self.assertEqual(monitor.wait(DEADLINE_SECONDS), 0)

    def test_is_the_executable_where_there_is_one(self) -> None:
        monitor = self.start_monitor()
        self.assertEqual(os.readlink(f"/proc/{monitor.pid}/exe"), str(EXECUTABLE))
        self.check_serves_two_hosts_and_ends(monitor)

    def test_is_python_where_there_is_no_executable(self) -> None:
        monitor = self.start_monitor(library=self.lonely_library)
        self.assertEqual(os.readlink(f"/proc/{monitor.pid}/exe"), os.path.realpath(sys.executable))
        self.check_serves_two_hosts_and_ends(monitor)

    def test_stays_until_it_is_told_to_end(self) -> None:
        monitor = self.start_monitor("--stay")
        host = self.start_host(self.directory / "one")
        self.crash(host, int(self.read_line(host.stdout)), self.directory / "one")
        while f"process {host.pid} is gone" not in self.read_line(monitor.stderr):
            pass
        host = self.start_host(self.directory / "two")
        thread_id = int(self.read_line(host.stdout))
        self.assertEqual(monitor_pid(self.socket_path), monitor.pid)
        self.crash(host, thread_id, self.directory / "two")
        monitor.send_signal(signal.SIGTERM)
        self.assertEqual(monitor.wait(DEADLINE_SECONDS), 0)

    def test_help_and_mistakes(self) -> None:
        process = self.run_python("-m", "crash_monitor", "--help")
        self.check_success(process)
        for option in ("--dump-dir", "--socket", "--stay", "--log-file", "--log-level"):
            self.assertIn(option, process.stdout)
        process = self.run_python("-m", "crash_monitor")
        self.assertEqual(process.returncode, 2)
        self.assertIn("--dump-dir", process.stderr)

    def test_failures_are_said_without_a_traceback(self) -> None:
        command = ("-m", "crash_monitor", "--dump-dir", "/" + "d" * 107)
        process = self.run_python(*command, CRASH_MONITOR_LIB=str(self.lonely_library))
        self.assertEqual(process.returncode, 1)
        self.assertRegex(process.stderr, r"\Acrash_monitor: CM_ERR_SOCKET: .*107")
        process = self.run_python(*command, CRASH_MONITOR_PATH="/nowhere/monitor")
        self.assertEqual(process.returncode, 1)
        self.assertRegex(process.stderr, r"\Acrash_monitor: cannot start the monitor /nowhere/monitor: ")


class Executable(MonitorTest):
    def test_beside_the_package_is_found(self) -> None:
        root = self.directory / "site"
        shutil.copytree(Path(__file__).parents[1] / "crash_monitor", root / "crash_monitor")
        shutil.copy(EXECUTABLE, root / "crash_monitor")
        host = self.start_host(self.dump_dir, PYTHONPATH=str(root), CRASH_MONITOR_LIB=str(self.lonely_library))
        thread_id = int(self.read_line(host.stdout))
        executable = os.readlink(f"/proc/{monitor_pid(self.socket_path)}/exe")
        self.assertEqual(executable, str(root / "crash_monitor" / "crash-monitor"))
        self.crash(host, thread_id, self.dump_dir)

    def test_none_is_an_error(self) -> None:
        process = self.run_python(
            "-c", "import crash_monitor; crash_monitor.install('dumps')", CRASH_MONITOR_LIB=str(self.lonely_library)
        )
        self.assertEqual(process.returncode, 1)
        self.assertIn("CrashMonitorError: CM_ERR_NO_MONITOR: ", process.stderr)
        self.assertIn(str(self.lonely_library.parent), process.stderr)


if __name__ == "__main__":
    unittest.main()
