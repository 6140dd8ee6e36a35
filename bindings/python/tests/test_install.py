"""Arguments of install: what is taken, what is refused and how that is said."""

import os
import re
import sys
import unittest
from pathlib import Path

from support import HostTest

REFUSED = """
try:
    crash_monitor.install({arguments})
except {exception} as error:
    print({what})
else:
    sys.exit("installed")
"""


class Install(HostTest):
    def check_refused(self, arguments: str, name: str, *words: str) -> None:
        """The install fails with that status, in those words, and leaves nothing installed."""
        process = self.run_host(
            REFUSED.format(
                arguments=arguments,
                exception="crash_monitor.CrashMonitorError",
                what="error.status, error.name, error.message, sep='|'",
            )
            + "crash_monitor.install(dump_dir); crash_monitor.uninstall()"
        )
        self.check_success(process)
        status, found, message = process.stdout.rstrip().split("|")
        self.assertEqual((int(status), found), (self.status(name), name), message)
        for word in words:
            self.assertIn(word, message)

    def status(self, name: str) -> int:
        header = Path(__file__).parents[3] / "include" / "crash_monitor.h"
        found = re.search(rf"#define {name} \((-\d+)\)", header.read_text())
        assert found, name
        return int(found[1])

    def test_empty_paths(self) -> None:
        self.check_refused("''", "CM_ERR_INVALID_ARGUMENT", "dump_dir")
        self.check_refused("dump_dir, ''", "CM_ERR_INVALID_ARGUMENT", "socket_path")
        self.check_refused("dump_dir, monitor_path=''", "CM_ERR_INVALID_ARGUMENT", "monitor_path")
        self.check_refused("dump_dir, monitor_log=''", "CM_ERR_INVALID_ARGUMENT", "monitor_log")

    def test_names_and_deadlines_that_are_not_allowed(self) -> None:
        self.check_refused("dump_dir, app_name='a/b'", "CM_ERR_INVALID_ARGUMENT", "a/b")
        self.check_refused("dump_dir, app_name=''", "CM_ERR_INVALID_ARGUMENT", "app_name")
        self.check_refused("dump_dir, deadline_ms=99", "CM_ERR_INVALID_ARGUMENT", "99", "600000")

    def test_dump_dir_is_a_file(self) -> None:
        file = self.directory / "file"
        file.touch()
        self.check_refused(repr(str(file)), "CM_ERR_DUMP_DIR", str(file))

    def test_socket_path_is_too_long(self) -> None:
        path = "/" + "s" * 107
        self.check_refused(f"dump_dir, {path!r}", "CM_ERR_SOCKET", "107", "108", path)

    def test_monitor_that_cannot_be_started(self) -> None:
        self.check_refused("dump_dir, monitor_path='/nowhere/monitor'", "CM_ERR_MONITOR_START", "/nowhere/monitor")

    def test_what_c_would_cut_off(self) -> None:
        for arguments in ("dump_dir + '\\0x'", "dump_dir, 's\\0x'", "dump_dir, deadline_ms=2**32 + 5000"):
            with self.subTest(arguments):
                process = self.run_host(REFUSED.format(arguments=arguments, exception="ValueError", what="error"))
                self.check_success(process)
                self.assertFalse(self.dump_dir.exists())

    def test_same_arguments_again(self) -> None:
        self.check_success(self.run_host("crash_monitor.install(dump_dir); crash_monitor.install(dump_dir)"))

    def test_other_arguments(self) -> None:
        process = self.run_host(
            "crash_monitor.install(dump_dir)\n"
            + REFUSED.format(
                arguments="dump_dir + '-2'", exception="crash_monitor.CrashMonitorError", what="error.name, error"
            )
        )
        self.check_success(process)
        self.assertIn("CM_ERR_ALREADY_INSTALLED", process.stdout)
        self.assertIn(str(self.dump_dir), process.stdout)

    def test_uninstall_needs_an_install(self) -> None:
        process = self.run_host("crash_monitor.uninstall()")
        self.assertEqual(process.returncode, 1)
        self.assertIn("CrashMonitorError: CM_ERR_NOT_INSTALLED: ", process.stderr)

    def test_errors_can_be_pickled(self) -> None:
        process = self.run_host(
            "import pickle\n"
            "error = pickle.loads(pickle.dumps(crash_monitor.CrashMonitorError(-6, 'reason')))\n"
            "print(error.status, error)\n"
        )
        self.check_success(process)
        self.assertEqual(process.stdout, "-6 CM_ERR_SOCKET: reason\n")

    def test_paths_may_be_bytes_or_pathlike_and_not_ascii(self) -> None:
        self.dump_dir = self.directory / "dümps"
        self.socket_path = self.directory / "socket"
        process = self.run_host(
            "from pathlib import Path\n"
            "dump_dir = Path(dump_dir)\n"
            "crash_monitor.install(dump_dir, os.fsencode(dump_dir.parent / 'socket'),\n"
            "                      monitor_log=dump_dir.parent / 'log', deadline_ms=20000)\n"
            "ctypes.string_at(0)\n"
        )
        self.assertEqual(len(self.dumps()), 1, process.stderr)
        self.assertIn(str(self.dumps()[0]), (self.directory / "log").read_text())


class AppName(HostTest):
    """The first part of a dump's name."""

    def name_of_dump(self, *arguments: str) -> str:
        process = self.run_python(*arguments)
        self.assertEqual(len(self.dumps()), 1, process.stderr)
        return self.dumps()[0].name.rsplit("-", 2)[0]

    def write(self, path: Path, app_name: str = "None") -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "import ctypes, crash_monitor\n"
            f"crash_monitor.install({str(self.dump_dir)!r}, app_name={app_name})\n"
            "ctypes.string_at(0)\n"
        )
        return path

    def test_is_the_scripts(self) -> None:
        self.assertEqual(self.name_of_dump(str(self.write(self.directory / "my script+1.0.py"))), "my_script+1.0")

    def test_is_the_packages(self) -> None:
        self.write(self.directory / "program" / "__main__.py")
        self.assertEqual(self.name_of_dump("-m", "program"), "program")

    def test_is_the_interpreters_where_there_is_no_script(self) -> None:
        script = self.write(self.directory / "script.py").read_text()
        interpreter = os.path.realpath(sys.executable)
        self.assertEqual(self.name_of_dump("-c", script), os.path.basename(interpreter))

    def test_is_the_programs_choice(self) -> None:
        self.assertEqual(self.name_of_dump(str(self.write(self.directory / "script.py", "'shop'"))), "shop")


if __name__ == "__main__":
    unittest.main()
