"""A script that is the monitor, and its functions that are called with dumps and lines of the log."""

import signal
import subprocess
import sys
import unittest
from pathlib import Path

from minidump import Minidump
from support import (
    DEADLINE_SECONDS,
    LIBRARY,
    PACKAGE_ROOT,
    SEGV_MAPERR,
    HostTest,
    monitor_pid,
    wait_until_monitor_has_gone,
)

# What the functions are called with goes to a file, one line a call.
SCRIPT = """#!{python}
import os, sys
{imports}
import crash_monitor
def say(*words):
    with open({said!r}, "a") as file:
        print(*words, file=file)
def on_report(report):
    say("report", report.dump, report.record, os.getpid(), report.kind.name, report.pid, report.thread_id, report.signal,
        report.exit_status, report.app_name, report.reason, *report.annotations.items(), *report.attachments)
    print("on_report prints")
    {on_report}
def on_log(level, line):
    say("log", level, line)
crash_monitor.run_monitor({dump_dir!r}, {socket!r}, on_report=on_report, on_log=on_log{options})
say("served", os.getpid())
"""
HOST = """
import ctypes, sys, threading, crash_monitor
crash_monitor.install(sys.argv[1], sys.argv[2], monitor_path=sys.argv[3] or None)
crash_monitor.annotations["answer"] = "42"
print(threading.get_native_id(), flush=True)
sys.stdin.readline()
ctypes.string_at(0xd000)
"""


class RunMonitor(HostTest):
    def setUp(self) -> None:
        super().setUp()
        self.socket_path = self.directory / "socket"
        self.said = self.directory / "said"

    def script(self, options: str = "", on_report: str = "pass", imports: str = "") -> Path:
        """An executable script that is a monitor."""
        path = self.directory / "monitor.py"
        path.write_text(
            SCRIPT.format(
                python=sys.executable,
                imports=imports,
                said=str(self.said),
                dump_dir=str(self.directory / "unused"),
                socket=str(self.socket_path),
                on_report=on_report,
                options=options,
            )
        )
        path.chmod(0o700)
        return path

    def start_monitor(self, *arguments: str) -> subprocess.Popen[bytes]:
        monitor = self.start_python(*arguments)
        self.assertIn("listening at", self.read_line(monitor.stderr))
        return monitor

    def crash_a_host(self, monitor_path: str = "") -> int:
        """Gives its pid."""
        host = self.start_python("-c", HOST, str(self.dump_dir), str(self.socket_path), monitor_path)
        thread_id = int(self.read_line(host.stdout))
        _, errors = host.communicate(b"\n", timeout=DEADLINE_SECONDS)
        self.assertEqual((host.returncode, errors), (-signal.SIGSEGV, b""))
        (dump,) = self.dump_dir.glob(f"*-{host.pid}.dmp")
        self.assertEqual(Minidump(dump).crash(), (thread_id, signal.SIGSEGV, SEGV_MAPERR, 0xD000))
        return host.pid

    def lines(self, kind: str) -> list[list[str]]:
        return [words[1:] for words in map(str.split, self.said.read_text().splitlines()) if words[0] == kind]

    def check_called(self, host: int) -> int:
        """With the dump and record of this host, by a process of its own; gives the monitor's pid."""
        ((dump, record, caller, *about),) = self.lines("report")
        self.assertEqual(
            [dump, record], [str(path) for end in ("dmp", "json") for path in self.dump_dir.glob(f"*-{host}.{end}")]
        )
        app_name = Path(dump).name.partition("-")[0]
        self.assertEqual(
            about[:7], ["CRASH", str(host), str(host), str(int(signal.SIGSEGV)), "None", app_name, "None"]
        )
        self.assertEqual(about[7:9], ["('answer',", "'42')"])
        self.assertEqual(about[9:], [str(path) for path in self.dump_dir.glob(f"*-{host}.*.txt")])
        ((served,),) = self.lines("served")
        self.assertNotEqual(caller, served)
        self.assertIn(
            ["20", "process", str(host), "reports", "signal", "11", "in", "thread", str(host)], self.lines("log")
        )
        return int(served)

    def test_a_script_serves_in_its_own_process(self) -> None:
        monitor = self.start_monitor(str(self.script(imports="print('started')")), "argument", "--", "another")
        host = self.crash_a_host()
        output, errors = monitor.communicate(timeout=DEADLINE_SECONDS)
        self.assertEqual(monitor.returncode, 0)
        # Started twice; and nothing is written a second time by the child that runs the function.
        self.assertEqual(output, b"started\nstarted\non_report prints\n")
        self.assertIn(f"process {host} reports signal 11", errors.decode())
        self.assertEqual(self.check_called(host), monitor.pid)

    def test_of_code_on_the_command_line_too(self) -> None:
        monitor = self.start_monitor("-c", self.script().read_text())
        host = self.crash_a_host()
        monitor.communicate(timeout=DEADLINE_SECONDS)
        self.check_called(host)

    def test_a_script_can_be_the_one_that_install_starts(self) -> None:
        # Which has a clean environment.
        imports = f"sys.path.insert(0, {str(PACKAGE_ROOT)!r}); os.environ['CRASH_MONITOR_LIB'] = {str(LIBRARY)!r}"
        host = self.crash_a_host(str(self.script(imports=imports)))
        wait_until_monitor_has_gone(self.socket_path)
        self.check_called(host)

    def test_stays_until_it_is_told_to_end(self) -> None:
        log = self.directory / "log"
        monitor = self.start_python(str(self.script(options=f", stay=True, log_file={str(log)!r}")))
        self.wait_until(lambda: log.exists() and "listening at" in log.read_text())
        hosts = [self.crash_a_host() for _ in range(2)]
        monitor.send_signal(signal.SIGTERM)
        _, errors = monitor.communicate(timeout=DEADLINE_SECONDS)
        self.assertEqual((monitor.returncode, errors), (0, b""))
        # Their functions run at the same time.
        self.assertCountEqual([int(Path(dump).stem.rpartition("-")[2]) for dump, *_ in self.lines("report")], hosts)
        self.assertIn(f"process {hosts[1]} reports signal 11", log.read_text())

    def test_an_exception_in_a_function_is_shown_and_harms_nobody(self) -> None:
        monitor = self.start_monitor(str(self.script(on_report="raise LookupError('on purpose')")))
        host = self.crash_a_host()
        _, errors = monitor.communicate(timeout=DEADLINE_SECONDS)
        self.assertEqual(monitor.returncode, 0)
        self.assertIn("\nLookupError: on purpose\n", errors.decode())
        self.check_called(host)

    def test_of_a_death_there_is_a_record_alone(self) -> None:
        monitor = self.start_monitor(str(self.script()))
        host = self.start_python("-c", HOST, str(self.dump_dir), str(self.socket_path), "")
        self.read_line(host.stdout)
        host.kill()
        monitor.communicate(timeout=DEADLINE_SECONDS)
        ((dump, record, _, kind, pid, *_),) = self.lines("report")
        self.assertEqual((dump, Path(record).parent), ("None", self.dump_dir))
        self.assertEqual((kind, int(pid)), ("DEATH", host.pid))

    def test_says_as_much_as_it_is_asked_to(self) -> None:
        monitor = self.start_python(str(self.script(options=", stay=True, log_level='error'")))
        self.wait_until(lambda: monitor_pid(self.socket_path) == monitor.pid)
        host = self.crash_a_host()
        monitor.send_signal(signal.SIGTERM)
        _, errors = monitor.communicate(timeout=DEADLINE_SECONDS)
        self.assertEqual((monitor.returncode, errors), (0, b""))
        self.assertEqual(self.lines("log"), [])
        ((dump, *_),) = self.lines("report")
        self.assertIn(f"-{host}.dmp", dump)

    def test_failures_are_errors(self) -> None:
        for arguments, words in (
            (f"'d', '/{'s' * 107}'", "CM_ERR_SOCKET: "),
            ("'d', log_level='loud'", "CM_ERR_COMMAND_LINE: .*loud"),
        ):
            with self.subTest(arguments):
                process = self.run_python("-c", f"import crash_monitor; crash_monitor.run_monitor({arguments})")
                self.assertEqual(process.returncode, 1)
                self.assertRegex(process.stderr, "CrashMonitorError: " + words)


if __name__ == "__main__":
    unittest.main()
