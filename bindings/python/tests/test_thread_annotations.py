"""Annotations of a thread: whose they are, how long they last, and where they are shown."""

import signal
import unittest
from typing import Any

from minidump import Minidump
from support import HostTest
from test_dumps import CRASH, REFUSED

BEGIN = "from crash_monitor import set_thread_annotation, thread_annotation\ncrash_monitor.install(dump_dir)\n"


class ThreadAnnotations(HostTest):
    def crash(self, code: str) -> dict[str, Any]:
        """The record of a host that runs `code` and crashes."""
        process = self.run_host(BEGIN + code)
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        return self.only_record()

    def check_main_thread(self, code: str, expected: dict[str, str]) -> None:
        """What dump and record hold of a process whose main thread runs `code` is expected to be its own alone."""
        record = self.crash(code)
        tid = record["tid"]
        self.assertEqual(record["thread_annotations"], {str(tid): expected} if expected else {})
        annotations = Minidump(self.dump_dir / record["dump"]["file"]).annotations()
        self.assertEqual(annotations, {f"thread.{tid}.{key}": value for key, value in expected.items()})

    def test_are_set_replaced_and_removed(self) -> None:
        self.check_main_thread(
            "set_thread_annotation('request', 'old')\n"
            "set_thread_annotation('request', 'GET /schön')\n"
            "set_thread_annotation('n\\0l', 'o\\0e')\n"
            "set_thread_annotation('empty', '')\n"
            "set_thread_annotation('gone', 'soon')\n"
            "set_thread_annotation('gone', None)\n"
            "set_thread_annotation('never', None)\n" + CRASH,
            {"request": "GET /schön", "n\0l": "o\0e", "empty": ""},
        )

    def test_a_block_has_its_own(self) -> None:
        self.check_main_thread(
            "set_thread_annotation('request', 'outside')\n"
            "with thread_annotation(request='first', user='anna'), thread_annotation(**{'request': 'second', 'a.b': 'c'}):\n"
            "    " + CRASH,
            {"request": "second", "user": "anna", "a.b": "c"},
        )

    def test_after_a_block_there_is_what_was_before(self) -> None:
        self.check_main_thread(
            "set_thread_annotation('request', 'outside')\n"
            "@thread_annotation(request='decorated')\n"
            "def work():\n"
            "    with thread_annotation(request='inside', user='anna'):\n"
            "        raise KeyError('passes through')\n"
            "for again in range(2):\n"
            "    try:\n"
            "        work()\n"
            "    except KeyError:\n"
            "        pass\n"
            "    else:\n"
            "        sys.exit('swallowed')\n" + CRASH,
            {"request": "outside"},
        )

    def test_what_is_refused_changes_nothing(self) -> None:
        self.check_main_thread(
            REFUSED + "from crash_monitor import CrashMonitorError\n"
            "def block(**annotations):\n"
            "    with thread_annotation(**annotations):\n"
            "        sys.exit('entered')\n"
            "set_thread_annotation('request', 'before')\n"
            "refused(CrashMonitorError, lambda: set_thread_annotation('request', 'v' * 513), 'CM_ERR_LIMIT', '512')\n"
            "refused(CrashMonitorError, lambda: set_thread_annotation('k' * 65, 'v'), 'CM_ERR_LIMIT', '64')\n"
            "refused(CrashMonitorError, lambda: set_thread_annotation('', 'v'), 'CM_ERR_INVALID_ARGUMENT')\n"
            "refused(TypeError, lambda: set_thread_annotation('request', 1), 'int')\n"
            "refused(CrashMonitorError, lambda: block(request='new', other='v' * 513), 'CM_ERR_LIMIT')\n"
            "refused(TypeError, lambda: block(request='new', other=1), 'int')\n"
            "refused(TypeError, lambda: block(request='new', other=None), 'NoneType')\n" + CRASH,
            {"request": "before"},
        )

    def test_each_thread_has_its_own_until_it_ends(self) -> None:
        record = self.crash(
            "set_thread_annotation('request', 'of main')\n"
            "ended = threading.Thread(target=set_thread_annotation, args=('request', 'ended'))\n"
            "ended.start()\n"
            "ended.join()\n"
            "def wait():\n"
            "    set_thread_annotation('request', 'waits')\n"
            "    ready.set()\n"
            "    threading.Event().wait()\n"
            "ready = threading.Event()\n"
            "waiting = threading.Thread(target=wait, daemon=True)\n"
            "waiting.start()\n"
            "ready.wait()\n" + CRASH
        )
        annotations = record["thread_annotations"]
        self.assertEqual(annotations.pop(str(record["pid"])), {"request": "of main"})
        self.assertEqual(list(annotations.values()), [{"request": "waits"}])

    def test_a_forked_child_has_them_under_its_own_id(self) -> None:
        self.check_main_thread(
            "set_thread_annotation('user', 'anna')\n"
            "with thread_annotation(request='GET /'):\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        " + CRASH + "os.waitpid(child, 0)\n"
            "crash_monitor.uninstall()\n"
            "os.kill(os.getpid(), 11)\n",
            {"user": "anna", "request": "GET /"},
        )

    def test_a_killed_process_leaves_them_in_its_record(self) -> None:
        process = self.run_host(BEGIN + "with thread_annotation(request='GET /'):\n    os.kill(os.getpid(), 9)\n")
        self.assertEqual(process.returncode, -signal.SIGKILL, process.stderr)
        record = self.only_record()
        self.assertEqual(record["kind"], "death")
        self.assertEqual(record["thread_annotations"], {str(record["pid"]): {"request": "GET /"}})


if __name__ == "__main__":
    unittest.main()
