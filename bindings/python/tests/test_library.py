"""Where the package finds its library, and what it says where it does not."""

import shutil
import unittest
from typing import Optional

from support import LIBRARY, PACKAGE_ROOT, HostTest, compile_shared

FILE_NAME = "libcrash_monitor.so.0"
TELL_VERSIONS = "import crash_monitor; print(crash_monitor.version(), crash_monitor.__version__)"


class Library(HostTest):
    def check_found(self, **changes: Optional[str]) -> None:
        process = self.run_python("-c", TELL_VERSIONS, **changes)
        self.check_success(process)
        library, package = process.stdout.split()
        self.assertEqual(library, package)

    def check_import_error(self, *words: str, **changes: Optional[str]) -> None:
        process = self.run_python("-c", TELL_VERSIONS, **changes)
        self.assertEqual(process.returncode, 1)
        message = process.stderr.splitlines()[-1]
        self.assertTrue(message.startswith("ImportError: "), process.stderr)
        for word in words:
            self.assertIn(word, message)

    def test_the_variable_names_it(self) -> None:
        self.check_found(CRASH_MONITOR_LIB=str(LIBRARY))

    def test_a_wrong_path_in_the_variable_is_an_error_although_the_loader_would_find_it(self) -> None:
        self.check_import_error(
            "CRASH_MONITOR_LIB",
            "/nowhere/lib.so",
            CRASH_MONITOR_LIB="/nowhere/lib.so",
            LD_LIBRARY_PATH=str(LIBRARY.parent),
        )

    def test_the_variable_is_a_path_and_no_name_for_the_loader(self) -> None:
        self.check_import_error(
            str(self.directory / FILE_NAME), CRASH_MONITOR_LIB=FILE_NAME, LD_LIBRARY_PATH=str(LIBRARY.parent)
        )

    def test_it_lies_beside_the_package(self) -> None:
        package = self.directory / "crash_monitor"
        shutil.copytree(PACKAGE_ROOT / "crash_monitor", package)
        (package / FILE_NAME).symlink_to(LIBRARY.resolve())
        self.check_found(CRASH_MONITOR_LIB=None, PYTHONPATH=str(self.directory), LD_LIBRARY_PATH=None)

    def test_the_loader_finds_it(self) -> None:
        (self.directory / FILE_NAME).symlink_to(LIBRARY.resolve())
        self.check_found(CRASH_MONITOR_LIB=None, LD_LIBRARY_PATH=str(self.directory))

    def test_nobody_finds_it(self) -> None:
        # A file that is no library ends the loader's search, also on a machine that has one installed.
        (self.directory / FILE_NAME).touch()
        self.check_import_error(
            "CRASH_MONITOR_LIB",
            str(PACKAGE_ROOT / "crash_monitor" / FILE_NAME),
            "loader",
            "file too short",
            CRASH_MONITOR_LIB=None,
            LD_LIBRARY_PATH=str(self.directory),
        )

    def test_of_another_version(self) -> None:
        library = self.directory / "other.so"
        compile_shared('const char *cm_version(void) { return "9.8.7"; }', library)
        self.check_import_error(str(library), "9.8.7", "same release", CRASH_MONITOR_LIB=str(library))

    def test_another_library(self) -> None:
        library = self.directory / "other.so"
        compile_shared("int other;", library)
        self.check_import_error(str(library), "cm_version", CRASH_MONITOR_LIB=str(library))


if __name__ == "__main__":
    unittest.main()
