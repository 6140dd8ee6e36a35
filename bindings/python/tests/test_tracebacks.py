"""Tracebacks of all threads beside the dump, and that their making disturbs nobody."""

import signal
import subprocess
import unittest
from typing import Any

from support import HostTest, compile_shared

FATAL = "Fatal Python error: "
CRASH = "ctypes.string_at(0xd000)\n"
INSTALL = "import faulthandler\ncrash_monitor.install(dump_dir)\n"
# Waits in a thread while the main thread goes on.
WAITING = """
waits = threading.Event()
def waiting():
    waits.set()
    threading.Event().wait()
threading.Thread(target=waiting, daemon=True).start()
waits.wait()
"""
DESTRUCTOR_C = "__attribute__((destructor)) static void end(void) { *(volatile int *)0xd000 = 1; }"


class TracebackTest(HostTest):
    def traceback(self, record: dict[str, Any]) -> str:
        """The one attachment of a dump."""
        attached = self.attached(record)
        self.assertEqual(list(attached), ["python-traceback.txt"], record)
        traceback = attached["python-traceback.txt"]
        self.assertNotIn("\0", traceback, "a gap where another one was")
        return traceback

    def check_died(self, process: subprocess.CompletedProcess[str], by: signal.Signals = signal.SIGSEGV) -> None:
        """Of the signal, and without a word."""
        self.assertEqual((process.returncode, process.stderr), (-by, ""))


class Crash(TracebackTest):
    def test_shows_all_threads(self) -> None:
        process = self.run_host(INSTALL + WAITING + f"def crash():\n    {CRASH}crash()")
        self.check_died(process)
        traceback = self.traceback(self.only_record())
        self.assertEqual(traceback.count(FATAL + "Segmentation fault"), 1, traceback)
        current, waiting = traceback.index("Current thread"), traceback.index("in waiting")
        self.assertLess(waiting, current)
        self.assertIn("in crash\n", traceback[current:])

    def test_of_other_signals(self) -> None:
        for crash, number, says in (
            ("os.abort()", signal.SIGABRT, "Aborted"),
            ("os.kill(os.getpid(), 7)", signal.SIGBUS, "Bus error"),
        ):
            with self.subTest(crash):
                self.use_dump_dir(crash[:6])
                self.check_died(self.run_host(INSTALL + crash), number)
                self.assertIn(FATAL + says, self.traceback(self.only_record()))

    def test_none_of_a_trap(self) -> None:
        self.check_died(self.run_host(INSTALL + "os.kill(os.getpid(), 5)"), signal.SIGTRAP)
        self.assertEqual(self.only_record()["attachments"], [])

    def test_none_where_they_are_not_wanted(self) -> None:
        process = self.run_host(
            "import faulthandler\n"
            "enabled = faulthandler.is_enabled\n"
            "crash_monitor.install(dump_dir, tracebacks=False)\n"
            "assert not enabled()\n"
            "crash_monitor.dump_now()\n" + CRASH
        )
        self.check_died(process)
        self.assertEqual([record["attachments"] for record in self.all_records()], [[], []])

    def test_none_where_previous_handlers_come_first(self) -> None:
        process = self.run_host(
            "crash_monitor.install(dump_dir, strategy=crash_monitor.Strategy.PREVIOUS_FIRST)\n"
            "crash_monitor.dump_now()\n" + CRASH
        )
        self.check_died(process)
        request, crash = self.all_records()
        self.assertIn("in dump_now", self.traceback(request))
        self.assertEqual((crash["kind"], crash["attachments"]), ("crash", []))

    def test_without_room_for_another_attachment_there_is_a_dump_all_the_same(self) -> None:
        process = self.run_host(
            "for number in range(16):\n"
            "    crash_monitor.attach_file(f'{number}')\n" + INSTALL + "crash_monitor.dump_now()\n" + CRASH
        )
        self.check_died(process)
        self.assertEqual([record["attachments"] for record in self.all_records()], [[], []])


class DumpNow(TracebackTest):
    def test_shows_all_threads_and_each_dump_has_its_own(self) -> None:
        process = self.run_host(
            INSTALL + WAITING + "def first():\n"
            "    crash_monitor.dump_now('first')\n"
            "def second():\n"
            "    crash_monitor.dump_now('second')\n"
            "def crash():\n"
            f"    {CRASH}"
            "first(); second(); crash()\n"
        )
        self.check_died(process)
        records = self.all_records()
        self.assertEqual([record["kind"] for record in records], ["request", "request", "crash"])
        for record, function in zip(records, ("first", "second", "crash")):
            traceback = self.traceback(record)
            for name in ("first", "second", "crash"):
                self.assertEqual(traceback.count(f"in {name}\n"), int(name == function), traceback)
            self.assertIn("in waiting\n", traceback)


class Fork(TracebackTest):
    def test_a_childs_crash_is_not_in_its_parents_traceback(self) -> None:
        process = self.run_host(
            INSTALL + "def crash_of_child():\n"
            f"    {CRASH}"
            "def crash_of_parent():\n"
            f"    {CRASH}"
            "if os.fork() == 0:\n"
            "    crash_of_child()\n"
            "assert os.WTERMSIG(os.wait()[1]) == 11\n"
            "crash_of_parent()\n"
        )
        self.check_died(process)
        _, parent = self.all_records()
        traceback = self.traceback(parent)
        self.assertEqual(traceback.count(FATAL), 1, traceback)
        self.assertIn("in crash_of_parent\n", traceback)
        self.assertNotIn("crash_of_child", traceback)

    def test_a_child_that_installs_once_more_has_its_own(self) -> None:
        process = self.run_host(
            INSTALL + f"if os.fork() == 0:\n    crash_monitor.install(dump_dir)\n    {CRASH}"
            "assert os.WTERMSIG(os.wait()[1]) == 11\n"
        )
        self.check_success(process)
        record = self.only_record()
        self.assertEqual((len(record["attachments"]), record["failed"]), (1, []), "its own and not its parent's")
        traceback = self.traceback(record)
        self.assertEqual((traceback.count(FATAL), traceback.count("in string_at\n")), (1, 1), traceback)

    def test_a_childs_dump_on_demand_has_its_own(self) -> None:
        process = self.run_host(
            INSTALL + "if os.fork() == 0:\n"
            "    crash_monitor.dump_now('child')\n"
            "    os._exit(0)\n"
            "os.wait()\n"
            "crash_monitor.dump_now('parent')\n"
        )
        self.check_success(process)
        requests = [record for record in self.all_records() if record["kind"] == "request"]
        self.assertEqual([record["reason"] for record in requests], ["child", "parent"])
        for record in requests:
            self.assertEqual(self.traceback(record).count("in dump_now"), 1)


class Descriptors(TracebackTest):
    def test_files_opened_where_ours_were_closed_are_left_alone(self) -> None:
        # As a daemon does that closes all of its descriptors.
        process = self.run_host(
            INSTALL + "os.closerange(3, 4096)\n"
            "files = [open(f'file{number}', 'w+') for number in range(20)]\n"
            "for file in files:\n"
            "    print('text', file=file, flush=True)\n"
            "crash_monitor.dump_now('after')\n" + CRASH
        )
        self.check_died(process)
        for number in range(20):
            self.assertEqual((self.directory / f"file{number}").read_text(), "text\n")
        request, _ = self.all_records()
        self.assertIn("in dump_now", self.traceback(request))

    def test_installed_once_more_after_that_it_has_a_file_again(self) -> None:
        process = self.run_host(
            INSTALL + "os.closerange(3, 4096)\n"
            "files = [open('file', 'w')]\n"
            "for number in range(960, 1000):\n"
            "    os.dup2(files[0].fileno(), number)\n" + INSTALL + CRASH
        )
        self.check_died(process)
        self.assertIn("in string_at", self.traceback(self.only_record()))
        self.assertEqual((self.directory / "file").read_text(), "")

    def test_a_file_under_the_same_number_is_not_cut_off(self) -> None:
        process = self.run_host(
            INSTALL + "import crash_monitor._tracebacks as ours\n"
            "number = ours.file._descriptor\n"
            "file = open('file', 'w+')\n"
            "file.write('text'); file.flush()\n"
            "os.dup2(file.fileno(), number)\n"
            "crash_monitor.dump_now('after')\n"
            "if os.fork() == 0:\n"
            "    os._exit(os.fstat(number).st_ino != os.fstat(file.fileno()).st_ino)\n"
            "assert os.wait()[1] == 0\n"
        )
        self.check_success(process)
        self.assertEqual((self.directory / "file").read_text(), "text")


class End(TracebackTest):
    def test_a_crash_after_the_interpreters_end_leaves_a_dump(self) -> None:
        library = self.directory / "destructor.so"
        compile_shared(DESTRUCTOR_C, library)
        process = self.run_host(INSTALL + f"ctypes.CDLL({str(library)!r})\n")
        self.check_died(process)
        record = self.only_record()
        self.assertEqual((record["kind"], record["address"]), ("crash", "0xd000"))

    def test_of_atexit_functions_there_is_a_traceback(self) -> None:
        process = self.run_host(INSTALL + f"import atexit\ndef at_the_end():\n    {CRASH}atexit.register(at_the_end)\n")
        self.check_died(process)
        self.assertIn("in at_the_end\n", self.traceback(self.only_record()))


if __name__ == "__main__":
    unittest.main()
