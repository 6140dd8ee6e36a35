"""Annotations: a mapping like a dict, and always what the dumps hold."""

import signal
import unittest

from minidump import Minidump
from support import HostTest


class Annotations(HostTest):
    def check_annotations(self, code: str, expected: dict[str, str]) -> None:
        """The host runs `code`, and crashes; the mapping, the dump and its record then hold what is expected."""
        process = self.run_host(
            f"annotations = crash_monitor.annotations\n{code}\n"
            f"assert annotations == {expected!r}, annotations\n"
            "ctypes.string_at(0xd000)\n"
        )
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        (dump,) = self.dumps()
        self.assertEqual(Minidump(dump).annotations(), expected)
        self.assertEqual(self.only_record()["annotations"], expected)

    def test_are_set_replaced_and_removed(self) -> None:
        self.check_annotations(
            "annotations.update(early='bird', colour='red', gone='soon', cleared='')\n"
            "crash_monitor.install(dump_dir)\n"
            "annotations['colour'] = 'grün'\n"
            "annotations['naïve'] = ''\n"
            "annotations['n\\0l'] = 'o\\0e'\n"
            "annotations['n\\0'] = 'gone'\n"
            "del annotations['n\\0']\n"
            "del annotations['gone']\n"
            "assert annotations.pop('cleared') == ''\n"
            "assert annotations.setdefault('early', 'worm') == 'bird'\n"
            "assert annotations.pop('never', 'there') == 'there'\n",
            {"early": "bird", "colour": "grün", "naïve": "", "n\0l": "o\0e"},
        )

    def test_outlast_uninstall(self) -> None:
        self.check_annotations(
            "crash_monitor.install(dump_dir)\n"
            "annotations['kept'] = 'yes'\n"
            "crash_monitor.uninstall()\n"
            "crash_monitor.install(dump_dir)",
            {"kept": "yes"},
        )

    def test_what_is_over_a_limit_changes_nothing(self) -> None:
        self.check_annotations(
            "crash_monitor.install(dump_dir)\n"
            "def refused(key, value, name='CM_ERR_LIMIT'):\n"
            "    try:\n"
            "        annotations[key] = value\n"
            "    except crash_monitor.CrashMonitorError as error:\n"
            "        assert error.name == name, error\n"
            "    else:\n"
            "        sys.exit('taken')\n"
            "annotations['key'] = 'v' * 20480\n"
            "refused('key', 'v' * 20481)\n"
            "refused('k' * 257, 'value')\n"
            "refused('', 'value', 'CM_ERR_INVALID_ARGUMENT')\n"
            "for number in range(63):\n"
            "    annotations[f'{number}'] = 'one of 64'\n"
            "refused('one too many', 'value')\n"
            "annotations['key'] = 'replaced'\n"
            "for number in range(63):\n"
            "    del annotations[f'{number}']\n",
            {"key": "replaced"},
        )

    def test_what_is_no_text_changes_nothing(self) -> None:
        self.check_annotations(
            "crash_monitor.install(dump_dir)\n"
            "annotations['key'] = 'value'\n"
            "for key, value, error in (('key', 1, TypeError), (b'key', 'x', TypeError), ('key', None, TypeError),\n"
            "                          ('key', '\\udc80', ValueError)):\n"
            "    try:\n"
            "        annotations[key] = value\n"
            "    except error:\n"
            "        pass\n"
            "    else:\n"
            "        sys.exit(f'took {key!r}: {value!r}')\n"
            "for remove in (lambda: annotations['nowhere'], lambda: annotations.pop('nowhere'),\n"
            "               lambda: annotations.__delitem__('nowhere')):\n"
            "    try:\n"
            "        remove()\n"
            "    except KeyError:\n"
            "        pass\n"
            "    else:\n"
            "        sys.exit('removed')",
            {"key": "value"},
        )

    def test_no_monitor_is_needed_and_one_that_the_crash_starts_has_them(self) -> None:
        self.check_annotations(
            "import select, signal, socket, struct\n"
            "crash_monitor.install(dump_dir)\n"
            "annotations['old'] = 'removed'\n"
            "with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:\n"
            "    probe.connect(dump_dir + '/monitor.sock')\n"
            "    pid, _, _ = struct.unpack('iII', probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))\n"
            "monitor = os.pidfd_open(pid)\n"
            "os.kill(pid, signal.SIGKILL)\n"
            "assert select.select([monitor], [], [], 10)[0]\n"
            "annotations.update(new='kept')\n"
            "del annotations['old']\n",
            {"new": "kept"},
        )

    def test_set_before_a_fork_are_in_the_childs_dump_and_each_has_its_own_then(self) -> None:
        process = self.run_host(
            "crash_monitor.install(dump_dir)\n"
            "crash_monitor.annotations.update(before='fork', who='parent')\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    crash_monitor.annotations['who'] = 'child'\n"
            "else:\n"
            "    os.waitpid(child, 0)\n"
            "ctypes.string_at(0xd000)\n"
        )
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        of_child, of_parent = (record["annotations"] for record in self.all_records())
        self.assertEqual(of_child, {"before": "fork", "who": "child"})
        self.assertEqual(of_parent, {"before": "fork", "who": "parent"})

    def test_threads_do_not_disturb_each_other(self) -> None:
        self.check_annotations(
            "crash_monitor.install(dump_dir)\n"
            "sys.setswitchinterval(1e-6)\n"
            "failures = []\n"
            "def work(name):\n"
            "    try:\n"
            "        for number in range(200):\n"
            "            annotations['shared'] = annotations[name] = str(number)\n"
            "            annotations.pop('popped', None)\n"
            "            annotations['popped'] = name\n"
            "            assert len([key for key in annotations]) <= 6\n"
            "    except BaseException as error:\n"
            "        failures.append(error)\n"
            "threads = [threading.Thread(target=work, args=(name,)) for name in 'abcd']\n"
            "[thread.start() for thread in threads]\n"
            "[thread.join() for thread in threads]\n"
            "assert not failures, failures\n"
            "for key in annotations:\n"
            "    del annotations[key]\n"
            "annotations.update(a='1', b='2')\n",
            {"a": "1", "b": "2"},
        )


if __name__ == "__main__":
    unittest.main()
