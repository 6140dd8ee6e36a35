"""Options of install that say what a dump holds and what happens at a crash."""

import signal
import struct
import subprocess
import unittest

from minidump import Minidump
from support import HostTest, compile_shared

CRASH = "ctypes.string_at(0xd000)\n"
CALLBACK_C = """
#include <stdint.h>
#include <unistd.h>
int32_t callback(int32_t signal, const void *siginfo, const void *context, void *data) {
    (void)signal; (void)siginfo; (void)context;
    if (write(1, "called\\n", 7) != 7) return 0;
    return data ? *(int32_t *)data : 0;
}
"""
# After a fault it goes on elsewhere, as runtimes do.
RECOVER_C = """
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
static sigjmp_buf there;
static void handler(int signal) { (void)signal; siglongjmp(there, 1); }
void start(void) { struct sigaction action = {0}; action.sa_handler = handler; sigaction(SIGSEGV, &action, NULL); }
int recover(void) { return sigsetjmp(there, 1) ? 1 : *(volatile int *)0xd000; }
"""
SANITIZED = struct.pack("<Q", 0x0DEFACED0DEFACED)


class Contents(HostTest):
    def dump(self, options: str) -> Minidump:
        process = self.run_python(
            "-c",
            f"import ctypes, sys, crash_monitor\ncrash_monitor.install(sys.argv[1]{options})\n" + CRASH,
            str(self.dump_dir),
            SECRET="hush",
        )
        self.assertEqual(process.returncode, -signal.SIGSEGV, process.stderr)
        (dump,) = self.dumps()
        return Minidump(dump)

    def test_no_environment_unless_it_is_asked_for(self) -> None:
        self.assertEqual(self.dump("").environment(), b"")

    def test_environment(self) -> None:
        self.assertIn(b"SECRET=hush\0", self.dump(", environment=True").environment())

    def test_stacks_are_as_they_are(self) -> None:
        self.assertEqual(self.sanitized_words(self.dump("")), 0)

    def test_sanitized_stacks(self) -> None:
        self.assertGreater(self.sanitized_words(self.dump(", sanitize_stacks=True")), 0)

    def sanitized_words(self, dump: Minidump) -> int:
        return dump.threads()[dump.crash().thread_id].stack.count(SANITIZED)


class CrashCallback(HostTest):
    def run_with(self, callback: str, data: str = "0") -> subprocess.CompletedProcess[str]:
        library = self.directory / "callback.so"
        compile_shared(CALLBACK_C, library)
        return self.run_host(
            f"library = ctypes.CDLL({str(library)!r})\n"
            "prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32, *[ctypes.c_void_p] * 3)\n"
            "address = ctypes.cast(library.callback, ctypes.c_void_p).value\n"
            "yes, no = ctypes.c_int32(0), ctypes.c_int32(1)\n"
            f"crash_monitor.install(dump_dir, crash_callback={callback}, crash_callback_data={data})\n" + CRASH
        )

    def test_a_c_function_is_called(self) -> None:
        for callback in ("library.callback", "prototype(('callback', library))", "prototype(address)", "address"):
            with self.subTest(callback):
                self.use_dump_dir(callback.partition("(")[0] + str(len(callback)))
                process = self.run_with(callback, "ctypes.addressof(yes)")
                self.assertEqual((process.returncode, process.stdout), (-signal.SIGSEGV, "called\n"), process.stderr)
                self.assertEqual(len(self.dumps()), 1)

    def test_it_can_prevent_the_report(self) -> None:
        process = self.run_with("library.callback", "ctypes.addressof(no)")
        self.assertEqual((process.returncode, process.stdout), (-signal.SIGSEGV, "called\n"), process.stderr)
        self.assertEqual(self.dumps(), [])

    def test_python_functions_are_refused_and_it_says_why(self) -> None:
        for callback in ("lambda *_: 0", "prototype(lambda *_: 0)", "ctypes.cast(prototype(lambda *_: 0), prototype)"):
            with self.subTest(callback):
                process = self.run_with(callback)
                self.assertEqual(process.returncode, 1)
                self.assertRegex(process.stderr, r"\nTypeError: .*signal handler.*Python")
                self.assertFalse(self.dump_dir.exists())

    def test_null_and_numbers_that_are_no_address_are_refused(self) -> None:
        for callback in ("0", "prototype()", "1 << 64", "-1"):
            with self.subTest(callback):
                process = self.run_with(callback)
                self.assertEqual(process.returncode, 1)
                self.assertIn("\nValueError: ", process.stderr)


class Strategy(HostTest):
    def run_with(self, strategy: str) -> subprocess.CompletedProcess[str]:
        library = self.directory / "recover.so"
        compile_shared(RECOVER_C, library)
        return self.run_host(
            f"library = ctypes.CDLL({str(library)!r})\n"
            "library.start()\n"
            f"crash_monitor.install(dump_dir, tracebacks=False, strategy={strategy})\n"
            "print(library.recover())\n"
        )

    def test_previous_first_leaves_a_runtime_its_faults(self) -> None:
        process = self.run_with("crash_monitor.Strategy.PREVIOUS_FIRST")
        self.check_success(process)
        self.assertEqual(process.stdout, "1\n")
        self.assertEqual(self.all_records(), [])

    def test_report_first_reports_them(self) -> None:
        self.run_with("crash_monitor.Strategy.REPORT_FIRST")
        self.assertEqual(self.only_record()["kind"], "crash")

    def test_there_is_no_other(self) -> None:
        process = self.run_with("2")
        self.assertEqual(process.returncode, 1)
        self.assertIn("ValueError: 2 is not a valid Strategy", process.stderr)


if __name__ == "__main__":
    unittest.main()
