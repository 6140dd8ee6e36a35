"""`faulthandler` and the library both have their say, whichever of them comes first."""

import signal
import subprocess
import unittest

from minidump import Minidump
from support import SEGV_ACCERR, SEGV_MAPERR, HostTest, compile_shared
from test_crash import OVERFLOW_C, TELL_THREAD

FATAL = "Fatal Python error: "


class Faulthandler(HostTest):
    def run_crash(self, code: str) -> subprocess.CompletedProcess[str]:
        return self.run_host(
            f"import faulthandler\ninstall = lambda: crash_monitor.install(dump_dir)\n{code}\n"
            + TELL_THREAD
            + "ctypes.string_at(0xd000)"
        )

    def check_both(self, process: subprocess.CompletedProcess[str]) -> Minidump:
        """One dump, of the fault itself and not of the signal that faulthandler raises, and one traceback."""
        dump = self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)
        self.assertEqual(process.stderr.count(FATAL + "Segmentation fault"), 1, process.stderr)
        self.assertEqual(process.stderr.count("in string_at"), 1, process.stderr)
        return dump

    def check_dump_alone(self, process: subprocess.CompletedProcess[str]) -> None:
        self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)
        self.assertNotIn(FATAL, process.stderr)

    def check_traceback_alone(self, process: subprocess.CompletedProcess[str]) -> None:
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        self.assertEqual(process.stderr.count(FATAL + "Segmentation fault"), 1, process.stderr)
        self.assertEqual(self.dumps(), [])

    def test_enabled_before(self) -> None:
        self.check_both(self.run_crash("faulthandler.enable(); install()"))

    def test_enabled_by_an_option(self) -> None:
        process = self.run_python(
            "-X",
            "faulthandler",
            "-c",
            "import ctypes, sys, threading, crash_monitor\ncrash_monitor.install(sys.argv[1])\n"
            + TELL_THREAD
            + "ctypes.string_at(0xd000)",
            str(self.dump_dir),
        )
        self.check_both(process)

    def test_enabled_after(self) -> None:
        self.check_both(self.run_crash("install(); faulthandler.enable(); assert crash_monitor.is_armed()"))

    def test_enabled_before_and_after(self) -> None:
        log = self.directory / "log"
        process = self.run_crash(f"faulthandler.enable(); install(); faulthandler.enable(file=open({str(log)!r}, 'w'))")
        self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)
        self.assertNotIn(FATAL, process.stderr)
        self.assertIn(FATAL, log.read_text())

    def test_a_crash_in_a_thread(self) -> None:
        process = self.run_host(
            "import faulthandler\n"
            "crash_monitor.install(dump_dir)\n"
            "faulthandler.enable()\n"
            "def crash():\n"
            "    print(threading.get_native_id(), flush=True)\n"
            "    ctypes.string_at(0xd000)\n"
            "thread = threading.Thread(target=crash)\n"
            "thread.start()\n"
            "thread.join()\n"
        )
        self.assertEqual(len(self.check_both(process).threads()), 2)

    def test_abort(self) -> None:
        for order in ("faulthandler.enable(); install()", "install(); faulthandler.enable()"):
            with self.subTest(order):
                self.use_dump_dir(order[:5])
                process = self.run_crash(order + "; " + TELL_THREAD + "os.abort()")
                self.check_dump(process, signal.SIGABRT, -6)
                self.assertEqual(process.stderr.count(FATAL + "Aborted"), 1, process.stderr)

    def test_overflow_of_the_main_thread(self) -> None:
        # Enabling gives the thread an alternate stack of faulthandler's, too small for us.
        library = self.directory / "overflow.so"
        compile_shared(OVERFLOW_C, library)
        process = self.run_host(
            "import faulthandler\n"
            "threading.stack_size(1 << 20)\n"
            "def overflow():\n"
            "    crash_monitor.install(dump_dir)\n"
            "    faulthandler.enable()\n"
            "    print(threading.get_native_id(), flush=True)\n"
            f"    ctypes.CDLL({str(library)!r}).overflow(0)\n"
            "threading.Thread(target=overflow).start()\n"
        )
        self.check_dump(process, signal.SIGSEGV, SEGV_ACCERR)
        self.assertIn(FATAL + "Segmentation fault", process.stderr)

    def test_enabled_and_disabled_again(self) -> None:
        for steps in (
            "install(); faulthandler.enable(); faulthandler.disable()",
            "faulthandler.enable(); install(); faulthandler.disable()",
        ):
            with self.subTest(steps):
                self.use_dump_dir(steps[:5])
                self.check_dump_alone(self.run_crash(steps + "; assert crash_monitor.is_armed()"))

    def test_enabled_disabled_and_enabled_again(self) -> None:
        self.check_both(
            self.run_crash("faulthandler.enable(); install(); faulthandler.disable(); faulthandler.enable()")
        )

    def test_uninstalled_it_is_alone(self) -> None:
        self.check_traceback_alone(self.run_crash("install(); faulthandler.enable(); crash_monitor.uninstall()"))

    def test_the_module_is_as_it_was_after_uninstall(self) -> None:
        process = self.run_host(
            "import faulthandler\n"
            "functions = faulthandler.enable, faulthandler.disable\n"
            "for again in range(2):\n"
            "    crash_monitor.install(dump_dir)\n"
            "    crash_monitor.install(dump_dir)\n"
            "    assert faulthandler.enable is not functions[0]\n"
            "    assert faulthandler.disable() is False\n"
            "    faulthandler.enable()\n"
            "    assert faulthandler.is_enabled() and faulthandler.disable() is True\n"
            "    crash_monitor.uninstall()\n"
            "    assert (faulthandler.enable, faulthandler.disable) == functions\n"
        )
        self.check_success(process)
        self.assertEqual(self.records(), {})

    def test_a_hook_of_somebody_else_over_ours_stays(self) -> None:
        self.check_traceback_alone(
            self.run_crash(
                "install()\n"
                "ours, seen = faulthandler.enable, []\n"
                "faulthandler.enable = theirs = lambda: (seen.append(1), ours())\n"
                "crash_monitor.uninstall()\n"
                "faulthandler.enable()\n"
                "assert seen == [1] and faulthandler.enable is theirs and not crash_monitor.is_armed()"
            )
        )

    def test_its_errors_pass_through(self) -> None:
        self.check_dump_alone(
            self.run_crash(
                "install()\n"
                "try:\n"
                "    faulthandler.enable(file='no file')\n"
                "except AttributeError:\n"
                "    assert crash_monitor.is_armed()\n"
                "else:\n"
                "    sys.exit('enabled')"
            )
        )

    def test_where_we_cannot_come_back_it_says_so(self) -> None:
        self.socket_path = self.directory / "socket"
        process = self.run_crash(
            "crash_monitor.install(dump_dir, 'socket', tracebacks=False)\n"
            "os.rmdir(dump_dir)\n"
            "open(dump_dir, 'w').close()\n"
            "faulthandler.enable()\n"
            "assert not crash_monitor.is_armed()"
        )
        self.check_traceback_alone(process)
        self.assertIn("RuntimeWarning: crash_monitor is not installed any more: CM_ERR_DUMP_DIR: ", process.stderr)


class Armed(HostTest):
    def test_says_so_and_can_be_again(self) -> None:
        process = self.run_host(
            "import signal\n"
            "assert not crash_monitor.is_armed()\n"
            "crash_monitor.install(dump_dir)\n"
            "assert crash_monitor.is_armed()\n"
            "signal.signal(signal.SIGFPE, signal.default_int_handler)\n"
            "assert not crash_monitor.is_armed()\n"
            "crash_monitor.install(dump_dir)\n"
            "assert crash_monitor.is_armed()\n"
            "crash_monitor.uninstall()\n"
            "assert not crash_monitor.is_armed()\n"
        )
        self.check_success(process)

    def test_from_another_directory_the_same_is_still_the_same(self) -> None:
        self.use_dump_dir("relative")
        process = self.run_host(
            "import faulthandler\n"
            "crash_monitor.install('relative')\n"
            "os.chdir('/')\n"
            "faulthandler.enable()\n" + TELL_THREAD + "ctypes.string_at(0xd000)"
        )
        self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)


if __name__ == "__main__":
    unittest.main()
