#!/usr/bin/env python3
"""The tree is what docs/ARCHITECTURE.md says: arrows go down only, headers stand alone, symbols carry the prefix.

Method: read the arrows ("office -> engine, store") from that page, every #include from the sources, and the symbol tables
from the built libraries. An arrow that the page does not allow, directly or through what lies below, is a failure."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])
PROGRAM = pathlib.Path(os.environ["KONTOR_BIN"])
OWNER = {"status.h": "base", "version.h": "base", "engine.h": "engine", "store.h": "store", "office.h": "office", "media.h": "media", "chat.h": "engine",
         "constrain.h": "constrain", "schema.h": "constrain", "cache.h": "engine"}


def arrows():
    """{module: everything it may use}, itself included."""
    page = (SOURCE / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    direct = {}
    for source, targets in re.findall(r"\b([a-z]+) -> ([a-z]+(?:, [a-z]+)*)", page):
        direct.setdefault(source, set()).update(targets.split(", "))
    below = direct.pop("all", set())
    modules = {p.name for p in (SOURCE / "src").iterdir() if p.is_dir()}
    allowed = {}
    for module in modules:
        seen, todo = set(), [module]
        while todo:
            m = todo.pop()
            if m not in seen:
                seen.add(m)
                todo += direct.get(m, set()) | (below if m not in below else set())
        allowed[module] = seen
    return allowed


def sources(*folders):
    for folder in folders:
        for path in sorted((SOURCE / folder).rglob("*.[ch]")):
            yield path


def includes(path):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(encoding="utf-8"), flags=re.M)


class Structure(unittest.TestCase):
    def test_the_page_names_every_module(self):
        allowed = arrows()
        self.assertGreaterEqual(len(allowed), 9, allowed)
        for module in allowed:
            self.assertIn("base", allowed[module], f"{module} has no arrow in docs/ARCHITECTURE.md")
        self.assertEqual(allowed["base"], {"base"})

    def test_no_circle(self):
        allowed = arrows()
        for a in allowed:
            for b in allowed[a] - {a}:
                self.assertNotIn(a, allowed[b], f"{a} and {b} use each other")

    def test_includes_follow_the_arrows(self):
        allowed, wrong, n = arrows(), [], 0
        for path in sources("src"):
            module = path.relative_to(SOURCE / "src").parts[0]
            for name in includes(path):
                first, _, rest = name.partition("/")
                target = OWNER.get(rest, rest) if first == "kontor" else first if rest else module
                n += 1
                if target not in allowed[module]:
                    wrong.append(f"{path.relative_to(SOURCE)} includes {name}: {module} -> {target} is not in the list")
        self.assertGreater(n, 200, "found too few includes to have looked at all")
        self.assertEqual(wrong, [])

    def test_private_headers_stay_at_home(self):
        wrong = []
        for path in sources("src", "apps"):
            for name in includes(path):
                if name.endswith("_priv.h") and "/" in name:
                    home = SOURCE / "src" / pathlib.PurePath(name).parts[0]
                    if home not in path.parents:
                        wrong.append(f"{path.relative_to(SOURCE)} includes {name}")
        self.assertEqual(wrong, [])

    def test_only_pull_reaches_the_network(self):
        """The client library in one module, which loads it when `kontor pull` runs."""
        wrong, n = [], 0
        for path in sources("src", "apps"):
            for name in re.findall(r"^\s*#\s*include\s+<([^>]+)>", path.read_text(encoding="utf-8"), flags=re.M):
                if name.startswith("curl/"):
                    n += 1
                    if path.relative_to(SOURCE).parts[:2] != ("src", "hub"):
                        wrong.append(f"{path.relative_to(SOURCE)} includes {name}")
        self.assertGreaterEqual(n, 1)
        self.assertEqual(wrong, [])

    def test_nobody_includes_a_source_file(self):
        wrong = [f"{p.relative_to(SOURCE)}: {i}" for p in sources("src", "apps", "tests") for i in includes(p) if i.endswith(".c")]
        self.assertEqual(wrong, [])

    def test_public_headers_compile_alone(self):
        headers = sorted((SOURCE / "include" / "kontor").glob("*.h"))
        self.assertGreaterEqual(len(headers), 4)
        for header in headers:
            with self.subTest(header=header.name):
                code = f'#include "kontor/{header.name}"\n#include "kontor/{header.name}"\nint main(void) {{ return 0; }}\n'
                done = subprocess.run(["cc", "-std=c17", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                                       "-I", SOURCE / "include", "-x", "c", "-"], input=code, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
                for name in includes(header):
                    self.assertTrue(name.startswith("kontor/"), f"{header.name} includes {name}; public headers only their own kind")


class Symbols(unittest.TestCase):
    def test_visible_symbols_carry_the_prefix(self):
        """Hidden ones may be called anything; what a program that links us can see starts with kt_."""
        libraries = sorted(PROGRAM.parent.rglob("libkt_*.a"))
        self.assertGreaterEqual(len(libraries), 9, f"no libraries under {PROGRAM.parent}")
        wrong, n = [], 0
        for library in libraries:
            table = subprocess.run(["readelf", "-sW", library], check=True, capture_output=True, text=True).stdout
            for line in table.splitlines():
                f = line.split()
                if len(f) == 8 and f[4] in ("GLOBAL", "WEAK") and f[5] == "DEFAULT" and f[6] not in ("UND", "Ndx"):
                    n += 1
                    if not f[7].startswith("kt_"):
                        wrong.append(f"{library.name}: {f[7]}")
        self.assertGreater(n, 20)
        self.assertEqual(wrong, [])

    def test_program_exports_nothing_else(self):
        table = subprocess.run(["nm", "-D", "--defined-only", PROGRAM], check=True, capture_output=True, text=True).stdout
        names = [line.split()[-1].split("@")[0] for line in table.splitlines() if line.split()[-2] in "TDRV"]
        self.assertEqual([n for n in names if not n.startswith(("kt_", "_"))], [])


class Install(unittest.TestCase):
    def test_installed_program_runs(self):
        where = pathlib.Path(tempfile.mkdtemp(prefix="kontor-install-"))
        self.addCleanup(shutil.rmtree, where, True)
        subprocess.run(["cmake", "--install", PROGRAM.parent, "--prefix", where], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([where / "bin" / "kontor", "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("ask", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
