"""The hook in threading.Thread: what it does, that nobody sees it, and that it goes away again."""

import unittest

from support import HostTest

# Size in bytes of the calling thread's alternate signal stack; 0 where it has none (sigaltstack(2)).
STACK_SIZE = """
class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
def stack_size():
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.size
def stack_size_in_thread():
    sizes = []
    thread = threading.Thread(target=lambda: sizes.append(stack_size()))
    thread.start()
    thread.join()
    return sizes[0]
"""


class ThreadHook(HostTest):
    def test_new_threads_have_an_alternate_stack_while_installed(self) -> None:
        process = self.run_host(
            STACK_SIZE + "original = threading.Thread._set_ident\n"
            "assert stack_size_in_thread() == 0\n"
            "for again in range(2):\n"
            "    crash_monitor.install(dump_dir)\n"
            "    crash_monitor.install(dump_dir)\n"
            "    assert stack_size_in_thread() >= 65536\n"
            "    crash_monitor.uninstall()\n"
            "    assert stack_size_in_thread() == 0\n"
            "    assert threading.Thread._set_ident is original\n"
        )
        self.check_success(process)

    def test_a_hook_that_somebody_put_over_ours_stays(self) -> None:
        process = self.run_host(
            STACK_SIZE + "crash_monitor.install(dump_dir)\n"
            "ours, seen = threading.Thread._set_ident, []\n"
            "def theirs(thread):\n"
            "    seen.append(thread)\n"
            "    ours(thread)\n"
            "threading.Thread._set_ident = theirs\n"
            "crash_monitor.uninstall()\n"
            "crash_monitor.install(dump_dir)\n"
            "assert stack_size_in_thread() >= 65536\n"
            "assert len(seen) == 1 and threading.Thread._set_ident is theirs\n"
        )
        self.check_success(process)

    def test_a_failed_install_hooks_nothing(self) -> None:
        process = self.run_host(
            "original = threading.Thread._set_ident\n"
            "try:\n"
            "    crash_monitor.install(dump_dir, deadline_ms=1)\n"
            "except crash_monitor.CrashMonitorError:\n"
            "    assert threading.Thread._set_ident is original\n"
            "else:\n"
            "    sys.exit('installed')\n"
        )
        self.check_success(process)

    def test_tracebacks_do_not_show_it(self) -> None:
        process = self.run_host(
            "import traceback\n"
            "crash_monitor.install(dump_dir)\n"
            "def fail():\n"
            "    traceback.print_stack()\n"
            "    raise RuntimeError('on purpose')\n"
            "thread = threading.Thread(target=fail)\n"
            "thread.start()\n"
            "thread.join()\n"
        )
        self.check_success(process)
        self.assertEqual(process.stderr.count("in fail"), 2, process.stderr)
        self.assertNotIn("crash_monitor", process.stderr)


if __name__ == "__main__":
    unittest.main()
