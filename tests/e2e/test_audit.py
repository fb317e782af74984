#!/usr/bin/env python3
"""What is done with the program is in the record, by whom and with what numbers, and nothing of what it was done with.

Method: add, search, ask, remove, make and destroy a matter, people and their rights, by the commands and through a server; the
record's lines are then what was done. Words of files, paths, names and questions are looked for in the record's bytes."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "serve"))
from serve_help import Server  # noqa: E402

KONTOR = os.environ["KONTOR_BIN"]
SECRET = ["Mustermann", "Kaution", "akte-huber", "anna", "Zeugin"]


class Audit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kontor-audit-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.home = self.dir / "home"
        docs = self.dir / "akte-huber"
        docs.mkdir()
        (docs / "a.txt").write_text("Die Kaution von Erika Mustermann ist am 31. Mai 2026 fällig.\n")
        (docs / "b.txt").write_text("Die Zeugin wohnt in Köln.\n")
        self.docs = docs

    def kontor(self, *args, code=0, stdin=""):
        p = subprocess.run([KONTOR, *map(str, args)], env={**os.environ, "KONTOR_HOME": str(self.home)}, capture_output=True, text=True,
                           input=stdin)
        self.assertEqual(p.returncode, code, p.stderr)
        return p.stdout

    def lines(self):
        return [json.loads(x) for x in self.kontor("audit", "list", "--json").splitlines()]

    def events(self, after=0):
        return [x["event"] for x in self.lines() if x["n"] > after]

    def verify(self, code=0):
        return json.loads(self.kontor("audit", "verify", "--json", code=code))

    def test_commands(self):
        self.kontor("add", self.docs, "--json")
        self.kontor("search", "Kaution")
        self.kontor("ask", "Wann ist die Kaution fällig?")
        self.kontor("remove", self.docs / "a.txt")
        self.kontor("matter", "create", "akte-huber")
        self.kontor("matter", "destroy", "akte-huber", "--yes")
        lines = self.lines()
        self.assertEqual([x["event"] for x in lines],
                         ["matter.made", "document.stored", "document.stored", "searched", "searched", "answered", "document.removed",
                          "matter.erased", "matter.made", "matter.destroyed"])
        self.assertEqual([x["n"] for x in lines], list(range(1, 11)))
        self.assertEqual({x["user"] for x in lines}, {0})
        self.assertEqual((lines[3]["count"], lines[5]["count"], lines[6]["count"]), (1, 1, 1))
        self.assertEqual(len({x["matter"] for x in lines}), 2)
        self.assertEqual([x["document"] for x in lines if x["event"] == "document.stored"], [1, 2])
        self.assertEqual([x["document"] for x in lines if x["event"] == "document.removed"], [1])
        self.assertEqual([x["n"] for x in map(json.loads, self.kontor("audit", "list", "--json", "--from", 9).splitlines())], [9, 10])
        whole = self.verify()
        self.assertEqual((whole["whole"], whole["records"], whole["lost"], whole["unsealed"]), (True, 10, 0, 0))
        self.assertEqual(whole["hash"], lines[-1]["hash"])

        record = self.home / "audit" / "audit.log"
        before = record.read_bytes()
        for word in SECRET:
            self.assertNotIn(word.encode(), before)
        record.write_bytes(before.replace(b'"document.removed"', b'"document.renamed"'))
        self.assertEqual(self.verify(code=1)["fault"], "record 7 was changed")
        record.write_bytes(b"".join(before.splitlines(True)[:8]))
        self.assertEqual(self.verify(code=1)["fault"], "records 9 to 10 are missing: the end was cut off")
        self.kontor("search", "Zeugin")  # what is done afterwards hides nothing
        self.assertEqual(self.verify(code=1)["fault"], "records 9 to 10 are missing")
        for bad in (["audit"], ["audit", "look"], ["audit", "list", "--from", "x"], ["audit", "verify", "--from", "1"]):
            self.kontor(*bad, code=2)

    def test_people(self):
        self.kontor("matter", "create", "akte-huber")
        self.kontor("user", "add", "anna", "--password", stdin="a long password\n")
        self.kontor("user", "grant", "anna", "--matter", "akte-huber")
        key = self.kontor("user", "key", "anna", "--label", "mail").split()[-1]
        self.kontor("add", self.docs, "--matter", "akte-huber", "--json")
        n = self.lines()[-1]["n"]
        server = Server(home=str(self.home))
        self.addCleanup(server.stop)
        matter = server.call("GET", "/api/matters", key=key)[1]["matters"][0]["id"]
        found = server.call("POST", f"/api/search?matter={matter}", {"query": "Kaution"}, key=key)
        self.assertEqual(found[0], 200, found)
        path = urllib.parse.quote(found[1]["hits"][0]["path"])
        self.assertEqual(server.call("GET", f"/api/passage?matter={matter}&path={path}&start=0&end=5", key=key)[0], 200)
        self.assertEqual(server.call("POST", "/api/login", {"name": "anna", "password": "a wrong password"})[0], 401)
        self.assertEqual(server.call("POST", "/api/login", {"name": "anna", "password": "a long password"})[0], 200)
        server.stop()
        lines = [x for x in self.lines() if x["n"] > n]
        self.assertEqual([(x["event"], x["user"], x.get("subject")) for x in lines],
                         [("searched", 1, None), ("document.read", 1, None), ("login.refused", 0, 1), ("login", 0, 1)])
        early = [(x["event"], x.get("subject")) for x in self.lines() if x["n"] <= n and x["event"][:8] not in ("matter.m", "document")]
        self.assertEqual(early, [("user.changed", 1), ("right.changed", 1), ("key.changed", 1)])
        self.assertTrue(self.verify()["whole"])
        for word in SECRET:
            self.assertNotIn(word.encode(), (self.home / "audit" / "audit.log").read_bytes())


if __name__ == "__main__":
    unittest.main()
