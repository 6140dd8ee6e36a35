"""Our own use of `faulthandler`, which takes nothing away from its user and ends with `uninstall`."""

import signal
import unittest

from test_tracebacks import CRASH, FATAL, INSTALL, TracebackTest


class User(TracebackTest):
    """Who uses faulthandler himself."""

    def test_has_it_where_he_wants_it_and_nothing_is_attached(self) -> None:
        log = self.directory / "log"
        enable = f"faulthandler.enable(file=open({str(log)!r}, 'w'))\n"
        for order in ("import faulthandler\n" + enable + INSTALL, INSTALL + enable):
            with self.subTest(order):
                self.use_dump_dir(order.partition("\n")[2][:5])
                self.check_died(self.run_host(order + CRASH))
                self.assertEqual(log.read_text().count(FATAL + "Segmentation fault"), 1)
                self.assertEqual(self.only_record()["attachments"], [])

    def test_gives_it_back_when_he_disables_it(self) -> None:
        for steps in (INSTALL + "faulthandler.enable()\n", "import faulthandler\nfaulthandler.enable()\n" + INSTALL):
            with self.subTest(steps):
                self.use_dump_dir(steps.partition("\n")[2][:5])
                self.check_died(self.run_host(steps + "assert faulthandler.disable() is True\n" + CRASH))
                self.assertIn("in string_at", self.traceback(self.only_record()))

    def test_is_told_of_his_own_use_alone(self) -> None:
        process = self.run_host(
            INSTALL + "assert faulthandler.is_enabled() is False\n"
            "assert faulthandler.disable() is False\n"
            "faulthandler.enable()\n"
            "assert faulthandler.is_enabled() is True\n"
            "assert faulthandler.disable() is True\n"
            "assert faulthandler.is_enabled() is False and faulthandler.disable() is False\n"
            "assert crash_monitor.is_armed()\n"
        )
        self.check_success(process)

    def test_may_enable_it_where_we_could_not(self) -> None:
        process = self.run_host(
            INSTALL + "try:\n"
            "    faulthandler.enable(file='no file')\n"
            "except AttributeError:\n"
            "    assert not faulthandler.is_enabled()\n" + CRASH
        )
        self.check_died(process)
        self.assertIn("in string_at", self.traceback(self.only_record()))


class Uninstall(TracebackTest):
    def test_leaves_nothing(self) -> None:
        process = self.run_host(
            "import faulthandler\n"
            "functions = faulthandler.enable, faulthandler.disable, faulthandler.is_enabled\n"
            "for again in range(3):\n"
            "    crash_monitor.install(dump_dir)\n"
            "    crash_monitor.uninstall()\n"
            "    assert (faulthandler.enable, faulthandler.disable, faulthandler.is_enabled) == functions\n"
            "    assert not faulthandler.is_enabled()\n" + INSTALL + CRASH
        )
        self.check_died(process)
        self.assertEqual(self.traceback(self.only_record()).count(FATAL), 1)

    def test_leaves_a_failed_install_nothing(self) -> None:
        process = self.run_host(
            "import faulthandler\n"
            "try:\n"
            "    crash_monitor.install(dump_dir, monitor_path='/nowhere/monitor')\n"
            "except crash_monitor.CrashMonitorError:\n"
            "    assert not faulthandler.is_enabled()\n" + CRASH
        )
        self.check_died(process)

    def test_leaves_the_user_his(self) -> None:
        for steps in (INSTALL + "faulthandler.enable()\n", "import faulthandler\nfaulthandler.enable()\n" + INSTALL):
            with self.subTest(steps):
                process = self.run_host(steps + "crash_monitor.uninstall()\nassert faulthandler.is_enabled()\n" + CRASH)
                self.assertEqual(process.returncode, -signal.SIGSEGV)
                self.assertEqual(process.stderr.count(FATAL), 1, process.stderr)

    def test_leaves_nothing_where_the_user_has_disabled_his(self) -> None:
        process = self.run_host(
            "import faulthandler\nfaulthandler.enable()\n" + INSTALL + "faulthandler.disable()\n"
            "crash_monitor.uninstall()\n"
            "assert not faulthandler.is_enabled()\n" + CRASH
        )
        self.check_died(process)

    def test_leaves_others_their_handlers(self) -> None:
        process = self.run_host(
            "import signal\n" + INSTALL + "called = []\n"
            "signal.signal(signal.SIGFPE, lambda *_: called.append(1))\n"
            "crash_monitor.install(dump_dir)\n"
            "crash_monitor.uninstall()\n"
            "os.kill(os.getpid(), signal.SIGFPE)\n"
            "assert called == [1]\n" + INSTALL + CRASH
        )
        self.check_died(process)
        self.assertIn("in string_at", self.traceback(self.only_record()))

    def test_with_other_settings_it_comes_first(self) -> None:
        process = self.run_host(
            INSTALL + "for other in ({'tracebacks': False}, {'report_exceptions': True}):\n"
            "    try:\n"
            "        crash_monitor.install(dump_dir, **other)\n"
            "    except crash_monitor.CrashMonitorError as error:\n"
            "        assert error.name == 'CM_ERR_ALREADY_INSTALLED' and list(other)[0] in error.message\n"
            "    else:\n"
            "        sys.exit('installed')\n"
        )
        self.check_success(process)


if __name__ == "__main__":
    unittest.main()
