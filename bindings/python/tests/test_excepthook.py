"""Uncaught exceptions: each leaves a dump, and is shown as it would have been."""

import subprocess
import unittest

from minidump import Minidump
from support import HostTest

INSTALL = "crash_monitor.install(dump_dir, report_exceptions=True)\n"
FAIL = "def fail():\n    raise LookupError('on purpose')\n"
IN_THREAD = "thread = threading.Thread(target=fail, name='worker')\nthread.start()\nthread.join()\n"


class Exceptions(HostTest):
    def check_like_without(self, code: str) -> subprocess.CompletedProcess[str]:
        """The host says and returns what it does without us."""
        without = self.run_host(code)
        process = self.run_host(INSTALL + code)
        self.assertEqual(process.returncode, without.returncode, process.stderr)

        def words(process: subprocess.CompletedProcess[str]) -> list[str]:
            # The line numbers differ.
            return [line for line in process.stderr.splitlines() if "<string>" not in line]

        self.assertEqual(words(process), words(without))
        return process

    def check_reported(self, type_: str, what: str) -> str:
        """Gives the traceback that came with the one dump."""
        record = self.only_record()
        expected = {"exception.type": type_, "exception.what": what}
        self.assertEqual(record["annotations"], expected)
        self.assertEqual(Minidump(self.dump_dir / record["dump"]["file"]).annotations(), expected)
        self.assertEqual((record["kind"], record["reason"]), ("request", f"uncaught {type_}: {what}"[:1024]))
        return self.attached(record)["python-traceback.txt"]

    def test_in_the_main_thread(self) -> None:
        process = self.check_like_without(FAIL + "fail()")
        self.assertEqual(process.returncode, 1)
        self.assertIn("\nLookupError: on purpose\n", process.stderr)
        traceback = self.check_reported("LookupError", "on purpose")
        self.assertRegex(traceback, r"(?s)\ATraceback .*in fail\n.*LookupError: on purpose\n\nCurrent thread ")

    def test_in_another_thread(self) -> None:
        process = self.check_like_without(FAIL + IN_THREAD + "assert not crash_monitor.annotations")
        self.assertEqual(process.returncode, 0)
        self.assertIn("Exception in thread worker", process.stderr)
        traceback = self.check_reported("LookupError", "on purpose")
        self.assertRegex(traceback, r"(?s)\ATraceback .*in fail\n.*Current thread .*\nThread .*in <module>\n")

    def test_of_a_class_with_a_module(self) -> None:
        self.check_like_without("import subprocess\nraise subprocess.CalledProcessError(3, 'ls')")
        self.check_reported("subprocess.CalledProcessError", "Command 'ls' returned non-zero exit status 3.")

    def test_texts_are_cut_to_the_limits_and_hold_what_the_library_takes(self) -> None:
        self.check_like_without("raise ValueError('\\0\\udc80' + 'ä' * 20000)")
        record = self.only_record()
        what = record["annotations"]["exception.what"]
        self.assertEqual(what, ("\0\\udc80" + "ä" * 20000)[: len(what)])
        self.assertIn(len(what.encode()), (20479, 20480))
        self.assertTrue(record["reason"].startswith("uncaught ValueError: \0\\udc80ä"))
        self.assertIn(len(record["reason"].encode()), (1023, 1024))

    def test_without_a_text(self) -> None:
        self.run_host(INSTALL + "class Odd(Exception):\n    def __str__(self):\n        raise TypeError\nraise Odd")
        self.check_reported("__main__.Odd", "<str() raises TypeError>")

    def test_ends_that_are_no_errors(self) -> None:
        for end in ("sys.exit(3)", "raise SystemExit('bye')", "raise KeyboardInterrupt"):
            for code in (end, f"def fail():\n    {end}\n{IN_THREAD}"):
                with self.subTest(code):
                    self.check_like_without(code)
                    # An interrupted Python ends by the signal, which is a death.
                    self.assertNotIn("request", self.records().values())

    def test_unless_asked_for_there_is_none(self) -> None:
        process = self.run_host(
            "hook = sys.excepthook\ncrash_monitor.install(dump_dir)\nassert sys.excepthook is hook\n1/0"
        )
        self.assertEqual(process.returncode, 1)
        self.assertIn("\nZeroDivisionError: ", process.stderr)
        self.assertEqual(self.all_records(), [])

    def test_with_all_annotations_in_use_there_is_a_dump_all_the_same(self) -> None:
        self.run_host(
            INSTALL
            + "for number in range(64):\n    crash_monitor.annotations[f'{number}'] = 'x'\nraise ValueError('what')"
        )
        record = self.only_record()
        self.assertEqual((len(record["annotations"]), record["reason"]), (64, "uncaught ValueError: what"))

    def test_where_there_can_be_no_dump_the_exception_is_shown(self) -> None:
        process = self.run_host(
            "crash_monitor.install(dump_dir, os.path.dirname(dump_dir) + '/socket', report_exceptions=True)\n"
            "os.rmdir(dump_dir)\n"
            "open(dump_dir, 'w').close()\n"
            "raise ValueError('shown')\n"
        )
        self.socket_path = self.directory / "socket"
        self.assertEqual(process.returncode, 1)
        self.assertRegex(process.stderr, r"(?s)\ATraceback .*\nValueError: shown\n\Z")
        self.assertEqual(process.stderr.count("Traceback"), 1, process.stderr)


class Hooks(HostTest):
    """sys.excepthook and threading.excepthook."""

    def test_those_of_the_program_get_their_turn(self) -> None:
        process = self.run_host(
            "sys.excepthook = lambda type, value, trace: print('main', type.__name__, value, trace is not None)\n"
            "threading.excepthook = lambda args: print(args.thread.name, args.exc_type.__name__, args.exc_value)\n"
            + INSTALL
            + FAIL
            + IN_THREAD
            + "fail()"
        )
        self.assertEqual(process.stdout, "worker LookupError on purpose\nmain LookupError on purpose True\n")
        self.assertEqual((process.returncode, process.stderr), (1, ""))
        self.assertEqual(len(self.all_records()), 2)

    def test_are_as_they_were_after_uninstall(self) -> None:
        process = self.run_host(
            "hooks = sys.excepthook, threading.excepthook\n"
            f"for again in range(2):\n    {INSTALL}"
            "    assert sys.excepthook is not hooks[0] and threading.excepthook is not hooks[1]\n"
            "    crash_monitor.uninstall()\n"
            "    assert (sys.excepthook, threading.excepthook) == hooks\n" + FAIL + IN_THREAD + "fail()"
        )
        self.assertEqual(process.returncode, 1)
        self.assertEqual(self.all_records(), [])

    def test_one_that_somebody_put_over_ours_stays_and_ours_reports_no_more(self) -> None:
        process = self.run_host(
            INSTALL + "ours = sys.excepthook\n"
            "sys.excepthook = theirs = lambda *args: (print('theirs'), ours(*args))\n"
            "crash_monitor.uninstall()\n"
            "crash_monitor.install(dump_dir)\n"
            "assert sys.excepthook is theirs\n" + FAIL + "fail()"
        )
        self.assertEqual((process.returncode, process.stdout), (1, "theirs\n"))
        self.assertIn("LookupError: on purpose", process.stderr)
        self.assertEqual(self.all_records(), [])


if __name__ == "__main__":
    unittest.main()
