"""Dumps of the living process, and what it puts into its dumps: files, memory, a heartbeat."""

import signal
import unittest

from minidump import Minidump
from support import HostTest

REFUSED = """
def refused(error_type, call, *words):
    try:
        call()
    except error_type as error:
        assert all(word in str(error) for word in words), error
    else:
        sys.exit('not refused')
"""
CRASH = "ctypes.string_at(0xd000)\n"


class DumpNow(HostTest):
    def test_of_the_calling_thread_and_the_process_goes_on(self) -> None:
        process = self.run_host(
            "crash_monitor.install(dump_dir)\n"
            "def work():\n"
            "    print(threading.get_native_id())\n"
            "    assert crash_monitor.dump_now('wär is\\0blocked').suffix == '.dmp'\n"
            "thread = threading.Thread(target=work)\n"
            "thread.start()\n"
            "thread.join()\n"
            "path = crash_monitor.dump_now()\n"
            "print(threading.get_native_id(), path)\n"
        )
        self.check_success(process)
        first, second = self.all_records()
        self.assertEqual([first["kind"], second["kind"]], ["request", "request"])
        self.assertEqual([first["reason"], second["reason"]], ["wär is\0blocked", ""])
        *threads, path = process.stdout.split()
        self.assertEqual([first["tid"], second["tid"]], list(map(int, threads)))
        self.assertEqual(path, str(self.dump_dir / second["dump"]["file"]))
        dump = Minidump(self.dump_dir / first["dump"]["file"])
        self.assertIn(first["tid"], dump.threads())

    def test_what_is_refused(self) -> None:
        process = self.run_host(
            REFUSED + "from crash_monitor import CrashMonitorError, dump_now\n"
            "refused(CrashMonitorError, dump_now, 'CM_ERR_NOT_INSTALLED')\n"
            "crash_monitor.install(dump_dir)\n"
            "refused(CrashMonitorError, lambda: dump_now('r' * 1025), 'CM_ERR_LIMIT', '1024')\n"
            "refused(TypeError, lambda: dump_now(b'reason'), 'bytes')\n"
        )
        self.check_success(process)
        self.assertEqual(self.all_records(), [])

    def test_many_threads_at_once(self) -> None:
        process = self.run_host(
            "crash_monitor.install(dump_dir)\n"
            "threads = [threading.Thread(target=crash_monitor.dump_now, args=(name,)) for name in 'abcd']\n"
            "[thread.start() for thread in threads]\n"
            "[thread.join() for thread in threads]\n"
        )
        self.check_success(process)
        self.assertEqual(sorted(record["reason"] for record in self.all_records()), ["a", "b", "c", "d"])


class Files(HostTest):
    def test_are_copied_beside_the_dump(self) -> None:
        (self.directory / "early.log").write_text("early\n")
        process = self.run_host(
            REFUSED + "from pathlib import Path\n"
            "crash_monitor.attach_file('early.log')\n"
            "crash_monitor.install(dump_dir, tracebacks=False)\n"
            "crash_monitor.attach_file(os.fsencode(Path('late.log').absolute()))\n"
            "crash_monitor.attach_file(Path('never.log'))\n"
            "os.chdir('/')\n"
            "refused(crash_monitor.CrashMonitorError, lambda: crash_monitor.attach_file(''), 'CM_ERR_INVALID_ARGUMENT')\n"
            "refused(ValueError, lambda: crash_monitor.attach_file('a\\0b'))\n"
            f"Path({str(self.directory)!r}, 'late.log').write_text('late\\n')\n" + CRASH
        )
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        record = self.only_record()
        self.assertEqual(self.attached(record), {"early.log": "early\n", "late.log": "late\n"})
        (failed,) = record["failed"]
        self.assertIn(str(self.directory / "never.log"), failed)


class Memory(HostTest):
    def dump_of_crash(self, code: str) -> tuple[Minidump, list[int]]:
        """Of a host that printed addresses and crashed."""
        process = self.run_host(REFUSED + "crash_monitor.install(dump_dir)\n" + code + CRASH)
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        (dump,) = self.dumps()
        return Minidump(dump), list(map(int, process.stdout.split()))

    def test_of_objects_and_addresses_is_in_the_dump(self) -> None:
        dump, (buffer, number, cut, address) = self.dump_of_crash(
            "buffer, number, cut = bytearray(b'before'), ctypes.c_uint64(1), bytearray(b'0123456789')\n"
            "array = ctypes.create_string_buffer(b'at an address')\n"
            "crash_monitor.add_memory(buffer)\n"
            "crash_monitor.add_memory(number)\n"
            "crash_monitor.add_memory(cut, 4)\n"
            "crash_monitor.add_memory(ctypes.addressof(array), 5)\n"
            "buffer[:], number.value = b'behind', 0x1122334455667788\n"
            "start = lambda of: ctypes.addressof(ctypes.c_char.from_buffer(of))\n"
            "print(start(buffer), ctypes.addressof(number), start(cut), ctypes.addressof(array), flush=True)\n"
        )
        self.assertEqual(dump.memory(buffer), b"behind")
        self.assertEqual(dump.memory(number), bytes.fromhex("8877665544332211"))
        self.assertEqual(dump.memory(cut), b"0123")
        self.assertEqual(dump.memory(address), b"at an")

    def test_is_kept_until_it_is_removed(self) -> None:
        dump, (kept, removed) = self.dump_of_crash(
            "def add(text):\n"
            "    buffer = bytearray(text)\n"
            "    crash_monitor.add_memory(buffer)\n"
            "    print(ctypes.addressof(ctypes.c_char.from_buffer(buffer)), flush=True)\n"
            "    return buffer\n"
            "add(b'nobody else has it' * 1000)\n"
            "buffer = add(b'removed' * 1000)\n"
            "refused(BufferError, lambda: buffer.append(1))\n"
            "crash_monitor.remove_memory(buffer)\n"
            "buffer.append(1)\n"
            "reused = [bytearray(18000) for _ in range(100)]\n"
        )
        self.assertEqual(dump.memory(kept), b"nobody else has it" * 1000)
        with self.assertRaises(KeyError):
            dump.memory(removed)

    def test_what_is_refused(self) -> None:
        self.check_success(
            self.run_host(
                REFUSED + "from crash_monitor import CrashMonitorError, add_memory, remove_memory\n"
                "refused(TypeError, lambda: add_memory(b'read only'), 'not writable')\n"
                "refused(TypeError, lambda: add_memory(memoryview(bytearray(9))[::2]), 'contiguous')\n"
                "refused(TypeError, lambda: add_memory('text'))\n"
                "refused(TypeError, lambda: add_memory(0x1000), 'length')\n"
                "refused(ValueError, lambda: add_memory(bytearray(3), 4), '3 bytes')\n"
                "refused(ValueError, lambda: add_memory(bytearray(3), -1))\n"
                "refused(ValueError, lambda: add_memory(1 << 64, 1))\n"
                "refused(CrashMonitorError, lambda: add_memory(bytearray()), 'CM_ERR_INVALID_ARGUMENT')\n"
                "refused(CrashMonitorError, lambda: add_memory(0, 1), 'CM_ERR_NULL_ARGUMENT')\n"
                "refused(CrashMonitorError, lambda: add_memory(bytearray(1048577)), 'CM_ERR_LIMIT')\n"
                "refused(CrashMonitorError, lambda: remove_memory(bytearray(1)), 'CM_ERR_INVALID_ARGUMENT')\n"
                "refused(CrashMonitorError, lambda: remove_memory(0x1000), 'CM_ERR_INVALID_ARGUMENT')\n"
            )
        )


class Heartbeat(HostTest):
    def test_a_broken_promise_leaves_a_dump_and_the_next_sign_of_life_is_a_new_promise(self) -> None:
        process = self.run_host(
            "import glob, time\n"
            "crash_monitor.install(dump_dir)\n"
            "crash_monitor.heartbeat_start(50)\n"
            "def hang(dumps):\n"
            "    deadline = time.monotonic() + 20\n"
            "    while len(glob.glob(dump_dir + '/*.json')) < dumps:\n"
            "        assert time.monotonic() < deadline\n"
            "        time.sleep(0.01)\n"
            "hang(1)\n"
            "crash_monitor.heartbeat()\n"
            "hang(2)\n"
        )
        self.check_success(process)
        self.assertEqual([record["kind"] for record in self.all_records()], ["hang", "hang"])
        self.assertEqual([record["silent_for_milliseconds"] >= 50 for record in self.all_records()], [True, True])

    def test_what_is_refused(self) -> None:
        self.check_success(
            self.run_host(
                REFUSED + "from crash_monitor import CrashMonitorError, heartbeat, heartbeat_start\n"
                "refused(CrashMonitorError, lambda: heartbeat_start(100), 'CM_ERR_NOT_INSTALLED')\n"
                "refused(CrashMonitorError, heartbeat, 'CM_ERR_INVALID_ARGUMENT')\n"
                "crash_monitor.install(dump_dir)\n"
                "refused(CrashMonitorError, heartbeat, 'CM_ERR_INVALID_ARGUMENT')\n"
                "refused(CrashMonitorError, lambda: heartbeat_start(9), 'CM_ERR_INVALID_ARGUMENT')\n"
                "refused(ValueError, lambda: heartbeat_start(1 << 32))\n"
                "heartbeat_start(600000)\n"
                "heartbeat()\n"
                "heartbeat_start(0)\n"
                "refused(CrashMonitorError, heartbeat, 'CM_ERR_INVALID_ARGUMENT')\n"
            )
        )
        self.assertEqual(self.all_records(), [])


if __name__ == "__main__":
    unittest.main()
