#!/usr/bin/env python3
"""tools/count_tests.py decides whether a check is green, so it is checked itself.

Method: a real CTest run over programs that pass, fail, crash, say nothing, or lie about their outcome."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])

CMOCKA_GOOD = "[==========] tests: Running 3 test(s).\n[  PASSED  ] 3 test(s).\n"
CMOCKA_BAD = "[==========] Running 4 test(s).\n[  PASSED  ] 2 test(s).\n[  FAILED  ] 2 test(s), listed below:\n[  FAILED  ] one\n[  FAILED  ] two\n"


class Count(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-count-"))
        self.addCleanup(shutil.rmtree, self.dir, True)

    def count(self, *programs):
        """Run (output, exit code) pairs as CTest tests; what the tool printed, and its last line as numbers."""
        lines = []
        for i, (text, code) in enumerate(programs):
            script = self.dir / f"t{i}.py"
            end = "os.kill(os.getpid(), 11)" if code < 0 else f"sys.exit({code})"
            script.write_text(f"import os, sys\nsys.stdout.write({text!r})\nsys.stdout.flush()\n{end}\n")
            lines.append(f'add_test(t{i} "{sys.executable}" "{script}")')
        (self.dir / "CTestTestfile.cmake").write_text("\n".join(lines) + "\n")
        subprocess.run(["ctest", "--test-dir", self.dir], capture_output=True)
        done = subprocess.run([sys.executable, SOURCE / "tools" / "count_tests.py", self.dir / "Testing/Temporary/LastTest.log"],
                              capture_output=True, text=True, check=True)
        return done.stdout, tuple(map(int, done.stdout.splitlines()[-1].split()))

    def test_counts_each_test_of_a_program(self):
        self.assertEqual(self.count((CMOCKA_GOOD, 0), ("anything\n", 0))[1], (4, 0))

    def test_failures(self):
        shown, n = self.count((CMOCKA_BAD, 2), (CMOCKA_GOOD, 0))
        self.assertEqual(n, (5, 2))
        self.assertIn("--- t0 failed", shown)
        self.assertNotIn("--- t1 failed", shown)

    def test_crash_after_good_news(self):
        self.assertEqual(self.count((CMOCKA_GOOD, -11))[1], (3, 1))

    def test_silent_failure(self):
        self.assertEqual(self.count(("", 1))[1], (0, 1))

    def test_unittest(self):
        good = "Ran 7 tests in 0.1s\n\nOK (skipped=1)\n"
        bad = "Ran 7 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n"
        self.assertEqual(self.count((good, 0))[1], (6, 0))
        self.assertEqual(self.count((bad, 1))[1], (4, 3))

    def test_no_log_is_nothing(self):
        done = subprocess.run([sys.executable, SOURCE / "tools" / "count_tests.py", self.dir / "none"], capture_output=True, text=True)
        self.assertEqual(done.stdout, "0 0\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
