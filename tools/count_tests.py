#!/usr/bin/env python3
"""Count the tests in a CTest log (Testing/Temporary/LastTest.log) and show what failed.

A cmocka program and a Python unittest report how many of their tests passed and failed; anything else counts as one. A program that CTest
calls failed counts at least one failure, whatever it printed: it may have crashed. The last line is "PASSED FAILED".
"""
import re
import sys

SHOWN_LINES = 120  # of one failed program's output: the end, where the failure is


def count(output, verdict):
    ran = re.search(r"^Ran (\d+) tests? in ", output, flags=re.M)
    if ran:
        ended = re.search(r"^FAILED \((.*)\)$", output, flags=re.M)
        bad = sum(int(n) for what, n in re.findall(r"(failures|errors)=(\d+)", ended[1] if ended else ""))
        skipped = re.search(r"^(?:OK|FAILED) \(.*skipped=(\d+)", output, flags=re.M)
        passed = bool(re.search(r"^Test Passed\.", verdict, flags=re.M))
        bad = bad if passed else max(bad, 1)
        return max(int(ran[1]) - bad - int(skipped[1] if skipped else 0), 0), bad
    good = sum(map(int, re.findall(r"^\[  PASSED  \] (?:\S+: )?(\d+) test", output, flags=re.M)))
    bad = sum(map(int, re.findall(r"^\[  FAILED  \] (?:\S+: )?(\d+) test", output, flags=re.M)))
    cmocka = re.search(r"^\[={10}\] ", output, flags=re.M)
    if re.search(r"^Test Passed\.", verdict, flags=re.M):
        return (good if cmocka else 1), bad
    return good, max(bad, 1)


def parse(text):
    """[(name, output, passed, failed)]: CTest writes a header with the name, a line of dashes, the output, the verdict."""
    tests = []
    name = "?"
    for match in re.finditer(
            r"^\d+/\d+ Test(?:ing)?: (?P<name>[^\n]*)\n|^Output:\n-+\n(?P<out>.*?)^<end of output>\n(?P<verdict>.*?) time elapsed: ",
            text, flags=re.M | re.S):
        if match["name"] is not None:
            name = match["name"]
        else:
            tests.append((name, match["out"], *count(match["out"], match["verdict"])))
    return tests


def main(argv):
    if len(argv) != 2:
        sys.exit(__doc__)
    try:
        with open(argv[1], encoding="utf-8", errors="replace") as log:
            tests = parse(log.read())
    except FileNotFoundError:
        tests = []
    for name, output, _, bad in tests:
        if bad:
            print(f"--- {name} failed; the end of its output:")
            print("\n".join(output.splitlines()[-SHOWN_LINES:]))
    print(sum(t[2] for t in tests), sum(t[3] for t in tests))


if __name__ == "__main__":
    main(sys.argv)
