"""The process's log, by `log` and by `logging`, in dumps and records."""

import re
import signal
import unittest
from typing import Any

from minidump import Minidump
from support import HostTest

CRASH = "ctypes.string_at(0xd000)\n"
LOGGER = (
    "import logging\n"
    "logger = logging.getLogger('shop')\n"
    "logger.setLevel(logging.DEBUG)\n"
    "logger.propagate = False\n"
    "handler = crash_monitor.LogHandler()\n"
    "logger.addHandler(handler)\n"
)


def lines(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(line["level"], line["text"]) for line in record["log"]]


class LogTest(HostTest):
    def crash(self, code: str) -> dict[str, Any]:
        """The record of a host that runs `code` and crashes."""
        process = self.run_host(code + CRASH)
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        return self.only_record()


class Log(LogTest):
    def test_levels_and_texts_before_install_and_after(self) -> None:
        record = self.crash(
            "import logging\n"
            "from crash_monitor import log\n"
            "log(logging.CRITICAL, 'early')\n"
            "crash_monitor.install(dump_dir)\n"
            "for level in (logging.ERROR, logging.WARNING, logging.WARNING + 1, logging.INFO, logging.DEBUG, 1):\n"
            "    log(level, str(level))\n"
            "log(logging.INFO, 'sch\\0ön' + '\\udc80')\n"
            "log(logging.INFO, '')\n"
            "log(logging.INFO, 'ü' * 600)\n"
        )
        levels = [("error", "40"), ("warning", "30"), ("warning", "31"), ("info", "20"), ("debug", "10"), ("debug", "1")]
        texts = [("info", "sch\0ön\\udc80"), ("info", ""), ("info", "ü" * 512)]
        self.assertEqual(lines(record), [("error", "early"), *levels, *texts])

    def test_what_is_no_text_is_refused(self) -> None:
        process = self.run_host("crash_monitor.log(20, b'bytes')\n")
        self.assertEqual(process.returncode, 1)
        self.assertIn("TypeError: expected str, not bytes", process.stderr)

    def test_its_size_is_an_option(self) -> None:
        for option, kept in (("0", []), ("256", ["3", "4"])):
            with self.subTest(option):
                self.use_dump_dir(option)
                record = self.crash(
                    f"crash_monitor.install(dump_dir, log_bytes={option})\n"
                    "for number in range(5):\n"
                    "    crash_monitor.log(20, str(number))\n"
                )
                self.assertEqual(lines(record), [("info", text) for text in kept])

    def test_a_size_that_cannot_be_is_refused(self) -> None:
        for option, error in (("1048577", "CM_ERR_INVALID_ARGUMENT"), ("1 << 32", "ValueError"), ("-1", "ValueError")):
            with self.subTest(option):
                process = self.run_host(f"crash_monitor.install(dump_dir, log_bytes={option})\n")
                self.assertEqual(process.returncode, 1)
                self.assertIn(error, process.stderr)


class Handler(LogTest):
    def test_records_are_lines_of_dump_and_record(self) -> None:
        record = self.crash(
            LOGGER + "logger.info('%s apples', 7)\n"
            "crash_monitor.install(dump_dir)\n"
            "def work():\n"
            "    handler.setFormatter(logging.Formatter('%(name)s: %(message)s'))\n"
            "    logger.critical('no more')\n"
            "thread = threading.Thread(target=work)\n"
            "thread.start()\n"
            "thread.join()\n"
            "logger.debug('on')\n"
        )
        self.assertEqual(lines(record), [("info", "7 apples"), ("error", "shop: no more"), ("debug", "shop: on")])
        first, of_thread, last = record["log"]
        self.assertEqual((first["tid"], last["tid"]), (record["pid"], record["pid"]))
        self.assertNotEqual(of_thread["tid"], record["pid"])
        self.assertTrue(first["time"] <= of_thread["time"] <= record["happened"])
        text = Minidump(self.dump_dir / record["dump"]["file"]).annotations()["log"]
        shown = [re.sub(r" +", " ", line.partition(" ")[2]) for line in text.splitlines()]
        tids = [line["tid"] for line in record["log"]]
        self.assertEqual(
            shown,
            [f"info {tids[0]} 7 apples", f"error {tids[1]} shop: no more", f"debug {tids[2]} shop: on"],
        )

    def test_a_traceback_has_a_line_for_each_of_its_own(self) -> None:
        record = self.crash(
            LOGGER + "crash_monitor.install(dump_dir)\n"
            "try:\n"
            "    1 / 0\n"
            "except ZeroDivisionError:\n"
            "    logger.exception('cannot divide')\n"
            "logger.info('')\n"
        )
        (first, *_, last, empty) = lines(record)
        self.assertEqual((first, empty), (("error", "cannot divide"), ("info", "")))
        self.assertEqual(last, ("error", "ZeroDivisionError: division by zero"))

    def test_its_level_is_that_of_a_handler(self) -> None:
        record = self.crash(
            LOGGER + "crash_monitor.install(dump_dir)\n"
            "handler.setLevel(logging.WARNING)\n"
            "logger.info('left out')\n"
            "logger.warning('kept')\n"
        )
        self.assertEqual(lines(record), [("warning", "kept")])

    def test_nothing_is_raised_into_the_program(self) -> None:
        record = self.crash(
            LOGGER + "crash_monitor.install(dump_dir)\n"
            "class Bad:\n"
            "    def __init__(self, error): self.error = error\n"
            "    def __str__(self): raise self.error\n"
            "logger.info('%d', 'no number')\n"
            "logger.info('%s', Bad(ValueError('refuses')))\n"
            "logger.info('%s', Bad(RecursionError('too deep')))\n"
            "logger.info('lone \\udc80 surrogate')\n"
        )
        self.assertEqual(lines(record), [("info", "lone \\udc80 surrogate")])

    def test_an_error_of_the_programs_own_is_shown_as_ever(self) -> None:
        process = self.run_host(LOGGER + "logger.info('%d', 'no number')\n")
        self.check_success(process)
        self.assertIn("--- Logging error ---", process.stderr)

    def test_a_killed_process_leaves_its_lines_in_its_record(self) -> None:
        process = self.run_host(
            LOGGER + "crash_monitor.install(dump_dir)\n"
            "logger.warning('memory is short')\n"
            "os.kill(os.getpid(), 9)\n"
        )
        self.assertEqual(process.returncode, -signal.SIGKILL, process.stderr)
        record = self.only_record()
        self.assertEqual((record["kind"], lines(record)), ("death", [("warning", "memory is short")]))

    def test_threads_that_log_at_once_lose_no_line(self) -> None:
        record = self.crash(
            LOGGER + "crash_monitor.install(dump_dir)\n"
            "sys.setswitchinterval(1e-6)\n"
            "def work(name):\n"
            "    for number in range(100):\n"
            "        logger.info('%s%d', name, number)\n"
            "threads = [threading.Thread(target=work, args=(name,)) for name in 'abcd']\n"
            "[thread.start() for thread in threads]\n"
            "[thread.join() for thread in threads]\n"
        )
        texts = [text for _, text in lines(record)]
        for name in "abcd":
            of_thread = [text for text in texts if text.startswith(name)]
            self.assertEqual(of_thread, [f"{name}{number}" for number in range(100)])


if __name__ == "__main__":
    unittest.main()
