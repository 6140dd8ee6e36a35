"""What crashes leave behind: the dump, and the exit status that they would have had without us."""

import signal
import subprocess
import unittest

from support import SEGV_ACCERR, SEGV_MAPERR, SI_TKILL, HostTest, compile_shared

OVERFLOW_C = """
int overflow(int depth) { volatile char frame[1024]; frame[0] = (char)depth; return overflow(depth + 1) + frame[0]; }
"""
CRASH_IN_THREAD_C = """
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *crash(void *unused) {
    printf("%d\\n", (int)gettid());
    fflush(stdout);
    *(volatile int *)0xd000 = 1;
    return unused;
}
void crash_in_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, crash, NULL);
    pthread_join(thread, NULL);
}
"""
TELL_THREAD = "print(threading.get_native_id(), flush=True)\n"


class Crash(HostTest):
    def test_bad_address_in_main_thread(self) -> None:
        process = self.run_host("crash_monitor.install(dump_dir)\n" + TELL_THREAD + "ctypes.string_at(0xd000)")
        self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)

    def test_bad_address_in_another_thread(self) -> None:
        process = self.run_host(
            "crash_monitor.install(dump_dir)\n"
            "def crash():\n"
            "    print(threading.get_native_id(), flush=True)\n"
            "    ctypes.string_at(0xd000)\n"
            "thread = threading.Thread(target=crash)\n"
            "thread.start()\n"
            "thread.join()\n"
        )
        dump = self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)
        self.assertEqual(len(dump.threads()), 2)

    def test_abort(self) -> None:
        process = self.run_host("crash_monitor.install(dump_dir)\n" + TELL_THREAD + "os.abort()")
        self.check_dump(process, signal.SIGABRT, SI_TKILL)

    def test_with_the_crash_signals_blocked(self) -> None:
        block = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        thread = "thread = threading.Thread(target=crash)\nthread.start()\nthread.join()\n"
        crash = "def crash():\n    " + TELL_THREAD + "    ctypes.string_at(0xd000)\n"
        install = "crash_monitor.install(dump_dir)\n"
        for code in (block + install + "crash()\n", install + block + thread):
            with self.subTest(code):
                process = self.run_host("import signal\n" + crash + code)
                self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)
                for dump in self.dumps():
                    dump.unlink()

    def test_in_a_thread_that_an_extension_has_made(self) -> None:
        library = self.directory / "thread.so"
        compile_shared(CRASH_IN_THREAD_C, library)
        process = self.run_host(f"crash_monitor.install(dump_dir)\nctypes.CDLL({str(library)!r}).crash_in_thread()")
        dump = self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)
        self.assertEqual(len(dump.threads()), 2)

    def test_after_uninstall_a_crash_leaves_nothing(self) -> None:
        process = self.run_host("crash_monitor.install(dump_dir)\ncrash_monitor.uninstall()\nctypes.string_at(0xd000)")
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        self.assertEqual(self.dumps(), [])

    def test_after_uninstall_and_install_a_crash_is_caught_again(self) -> None:
        process = self.run_host(
            "for again in range(2):\n"
            "    crash_monitor.install(dump_dir)\n"
            "    crash_monitor.uninstall()\n"
            "crash_monitor.install(dump_dir)\n" + TELL_THREAD + "ctypes.string_at(0xd000)"
        )
        self.check_dump(process, signal.SIGSEGV, SEGV_MAPERR, 0xD000)


class StackOverflow(HostTest):
    """Unbounded recursion in C: the handler needs a stack of its own."""

    def run_overflow(self, code: str) -> subprocess.CompletedProcess[str]:
        library = self.directory / "overflow.so"
        compile_shared(OVERFLOW_C, library)
        return self.run_host(
            f"library = ctypes.CDLL({str(library)!r})\n"
            "threading.stack_size(1 << 20)\n"
            "def overflow():\n"
            "    print(threading.get_native_id(), flush=True)\n"
            "    library.overflow(0)\n"
            "class Overflowing(threading.Thread):\n"
            "    def run(self):\n"
            "        overflow()\n"
            "crash_monitor.install(dump_dir)\n" + code
        )

    def check_overflow_dump(self, process: subprocess.CompletedProcess[str], si_code: int = SEGV_ACCERR) -> None:
        dump = self.check_dump(process, signal.SIGSEGV, si_code)
        crash = dump.crash()
        distance = abs(crash.address - dump.threads()[crash.thread_id].stack_start)
        self.assertLess(distance, 65536, "the fault is not at the stack's end")

    def test_in_the_main_thread(self) -> None:
        # The kernel lets its stack grow up to the limit; below it is no guard page, but nothing.
        process = self.run_overflow(
            "import resource as r\nr.setrlimit(r.RLIMIT_STACK, (1 << 20, r.getrlimit(r.RLIMIT_STACK)[1]))\noverflow()\n"
        )
        self.check_overflow_dump(process, SEGV_MAPERR)

    def test_in_a_thread(self) -> None:
        self.check_overflow_dump(self.run_overflow("threading.Thread(target=overflow).start()"))

    def test_in_a_thread_whose_class_has_its_own_run(self) -> None:
        self.check_overflow_dump(self.run_overflow("Overflowing().start()"))

    def test_in_a_pool(self) -> None:
        self.check_overflow_dump(
            self.run_overflow("import concurrent.futures as f; f.ThreadPoolExecutor().submit(overflow).result()")
        )

    def test_in_a_thread_that_threading_did_not_start(self) -> None:
        self.check_overflow_dump(
            self.run_overflow(
                "import _thread\n"
                "def run():\n"
                "    crash_monitor.thread_init()\n"
                "    overflow()\n"
                "_thread.start_new_thread(run, ())\n"
                "threading.Event().wait()\n"
            )
        )

    def test_in_a_thread_that_nobody_initialised(self) -> None:
        process = self.run_overflow("import _thread\n_thread.start_new_thread(overflow, ())\nthreading.Event().wait()")
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        self.assertEqual(self.dumps(), [])


if __name__ == "__main__":
    unittest.main()
