"""Processes that a Python program makes: a crash leaves one dump under its own pid, a clean end leaves nothing."""

import signal
import unittest

from support import SEGV_MAPERR, HostTest

CRASH = "ctypes.string_at(0xd000)"


class ProcessTest(HostTest):
    def check_crashes(self, *pids: int) -> None:
        """These processes crashed, in their main threads, and nothing else happened."""
        self.assertEqual(self.records(), {pid: "crash" for pid in pids})
        self.assertEqual(len(self.dumps()), len(pids))
        for pid in pids:
            self.assertEqual(self.dump_of(pid).crash(), (pid, signal.SIGSEGV, SEGV_MAPERR, 0xD000))


class Fork(ProcessTest):
    def run_fork(self, child: str) -> tuple[int, int, int]:
        """Forks, waits for the child, and crashes; gives the child, its exit code, and the parent."""
        process = self.run_host(
            "crash_monitor.install(dump_dir)\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            f"    {child}\n"
            "    sys.exit()\n"
            f"print(child, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), os.getpid(), flush=True)\n{CRASH}"
        )
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        child_pid, status, parent = map(int, process.stdout.split())
        return child_pid, status, parent

    def test_child_and_parent_crash(self) -> None:
        child, status, parent = self.run_fork(CRASH)
        self.assertEqual(status, -signal.SIGSEGV)
        self.check_crashes(child, parent)

    def test_child_that_installs_once_more(self) -> None:
        child, status, parent = self.run_fork(f"crash_monitor.install(dump_dir); {CRASH}")
        self.assertEqual(status, -signal.SIGSEGV)
        self.check_crashes(child, parent)

    def test_child_that_exits(self) -> None:
        for end, expected in (("pass", 0), ("sys.exit(3)", 3), ("os._exit(3)", 3), ("crash_monitor.uninstall()", 0)):
            with self.subTest(end):
                self.use_dump_dir(end)
                _, status, parent = self.run_fork(end)
                self.assertEqual(status, expected)
                self.check_crashes(parent)

    def test_child_that_enables_faulthandler(self) -> None:
        child, status, parent = self.run_fork(f"import faulthandler; faulthandler.enable(); {CRASH}")
        self.assertEqual(status, -signal.SIGSEGV)
        self.check_crashes(child, parent)


class Subprocess(ProcessTest):
    def test_child_that_does_not_install_is_not_covered(self) -> None:
        process = self.run_host(
            "import subprocess\n"
            "crash_monitor.install(dump_dir)\n"
            f"child = subprocess.run([sys.executable, '-c', 'import ctypes; {CRASH}'])\n"
            f"print(child.returncode, os.getpid(), flush=True)\n{CRASH}"
        )
        status, parent = map(int, process.stdout.split())
        self.assertEqual(status, -signal.SIGSEGV)
        self.check_crashes(parent)

    def test_child_that_installs_is(self) -> None:
        process = self.run_host(
            "import subprocess\n"
            "crash_monitor.install(dump_dir)\n"
            "code = 'import ctypes, crash_monitor, sys; crash_monitor.install(sys.argv[1]); ' \\\n"
            f"       '{CRASH}'\n"
            "child = subprocess.Popen([sys.executable, '-c', code, dump_dir])\n"
            f"print(child.pid, child.wait(), os.getpid(), flush=True)\n{CRASH}"
        )
        child, status, parent = map(int, process.stdout.split())
        self.assertEqual(status, -signal.SIGSEGV)
        self.check_crashes(child, parent)


class Multiprocessing(ProcessTest):
    # A file: the start methods other than fork import it again.
    SCRIPT = """
import ctypes, multiprocessing.util, os, sys, threading, crash_monitor

def work(install, status, late):
    if install:
        crash_monitor.install(sys.argv[1])
    if late:
        ended = threading.Event()
        multiprocessing.util.Finalize(None, ended.set, exitpriority=-1000)
        threading.Thread(target=crash_late, args=(ended,)).start()
    elif status < 0:
        ctypes.string_at(0xd000)
    else:
        sys.exit(status)

def crash_late(ended):
    # From 3.13 on that comes only after this thread's end.
    ended.wait(1)
    ctypes.string_at(0xd000)

if __name__ == "__main__":
    crash_monitor.install(sys.argv[1])
    context = multiprocessing.get_context(sys.argv[2])
    child = context.Process(target=work, args=(sys.argv[3] == "True", int(sys.argv[4]), sys.argv[5] == "True"))
    child.start()
    child.join()
    print(child.pid, child.exitcode, os.getpid(), flush=True)
    ctypes.string_at(0xd000)
"""

    def run_child(self, method: str, *, install: bool, status: int, late: bool = False) -> tuple[int, int]:
        self.use_dump_dir(f"{method}-{install}-{status}-{late}")
        script = self.directory / "script.py"
        script.write_text(self.SCRIPT)
        arguments = (method, str(install), str(status), str(late))
        process = self.run_python(str(script), str(self.dump_dir), *arguments)
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        child, ended, parent = map(int, process.stdout.split())
        self.assertEqual(ended, status)
        return child, parent

    def test_forked_child(self) -> None:
        self.check_crashes(*self.run_child("fork", install=False, status=-signal.SIGSEGV))

    def test_child_that_is_a_new_interpreter_and_installs(self) -> None:
        for method in ("spawn", "forkserver"):
            with self.subTest(method):
                self.check_crashes(*self.run_child(method, install=True, status=-signal.SIGSEGV))

    def test_child_that_is_a_new_interpreter_and_does_not(self) -> None:
        for method in ("spawn", "forkserver"):
            with self.subTest(method):
                _, parent = self.run_child(method, install=False, status=-signal.SIGSEGV)
                self.check_crashes(parent)

    def test_crash_of_a_thread_after_the_child_has_done_its_work(self) -> None:
        for method in ("fork", "spawn"):
            with self.subTest(method):
                child, _ = self.run_child(method, install=True, status=-signal.SIGSEGV, late=True)
                crash = self.dump_of(child).crash()
                self.assertEqual((crash.signal, crash.address), (signal.SIGSEGV, 0xD000))
                self.assertNotEqual(crash.thread_id, child)

    def test_end_that_is_no_crash(self) -> None:
        for method in ("fork", "spawn", "forkserver"):
            for install, status in ((False, 0), (True, 0), (True, 3)):
                with self.subTest(method=method, install=install, status=status):
                    _, parent = self.run_child(method, install=install, status=status)
                    self.check_crashes(parent)


if __name__ == "__main__":
    unittest.main()
