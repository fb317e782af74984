#!/usr/bin/env python3
"""The disk is full: what would have to be written is refused with 507 and leaves nothing half, the rest goes on, and when there
is room again everything works without a restart.

Method: the home lies on a small file system of its own (tmpfs, in a name space of the server's, reached through /proc), which the
test fills to the last byte and empties again, several times, also in the middle of an upload."""
import json
import os
import pathlib
import shutil
import tempfile
import unittest

from serve_help import CHAT, CHAT_MODEL, NAME_SPACE, Server, events, kontor

ROUNDS = int(os.environ.get("KONTOR_FULL_ROUNDS", "1"))


class Full(unittest.TestCase):
    def start(self, *more):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-full-"))
        self.addCleanup(shutil.rmtree, self.dir, True)
        home = self.dir / "home"
        kontor(home, "user", "add", "boss", "--admin", "--password", text="ein langes Passwort\n")
        self.key = kontor(home, "user", "key", "boss").stdout.strip()
        home.rename(self.dir / "copy")
        home.mkdir(mode=0o700)
        script = f'mount -t tmpfs -o size=16m,mode=700 none "{home}" && cp -a "{self.dir}/copy/." "{home}" && exec "$@"'
        self.server = Server(*more, home=home, before=[*NAME_SPACE, "sh", "-c", script, "sh"])
        self.addCleanup(self.server.stop)
        self.inside = pathlib.Path(f"/proc/{self.server.process.pid}/root{home}")
        self.filler = self.inside / "filler"

    def fill(self, leave=0):
        """Until nothing more can be written, but 'leave' bytes."""
        with open(self.filler, "ab", buffering=0) as f:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError:
                    pass
        if leave:
            os.truncate(self.filler, max(0, self.filler.stat().st_size - leave))

    def call(self, method, path, body=None):
        return self.server.call(method, path, body, self.key)

    def upload(self, mid, name, text):
        return self.call("PUT", f"/api/documents?matter={mid}&name={name}", text)

    def documents(self, mid):
        status, answer, _ = self.call("GET", "/api/documents?matter=" + mid)
        self.assertEqual(status, 200, answer)
        return sorted(pathlib.Path(d["path"]).name for d in answer["documents"])

    def test_a_response_that_cannot_be_kept_failed(self):
        """Streamed, it has a status already when its end cannot be written: it ends with response.failed, and is not there."""
        self.start("-m", CHAT_MODEL, "--ctx", "256", "--memory", "400")
        ask = {"model": CHAT, "input": "Hi", "max_output_tokens": 3, "temperature": 0}
        stream = lambda **more: [(n, json.loads(d)) for n, d in events(self.call("POST", "/v1/responses", {**ask, "stream": True, **more})[1])]
        self.fill()
        got = stream()
        names = [n for n, _ in got]
        self.assertEqual(names[:2], ["response.created", "response.in_progress"])
        self.assertIn("response.output_text.delta", names)
        self.assertEqual((names[-1], got[-1][1]["response"]["status"]), ("response.failed", "failed"))
        self.assertEqual([n for n in names if n.startswith("response.") and n.count(".") == 1][2:], ["response.failed"])
        self.assertEqual(got[-1][1]["response"]["error"]["code"], "server_error")
        self.assertTrue(got[-1][1]["response"]["error"]["message"])
        self.assertEqual([e["sequence_number"] for _, e in got], list(range(len(got))))
        self.assertEqual(self.call("GET", "/v1/responses/" + got[-1][1]["response"]["id"])[0], 404)
        self.assertEqual(self.call("POST", "/v1/responses", ask)[0], 507)
        self.assertEqual(stream(store=False)[-1][0], "response.incomplete")  # nothing to write; three tokens are not the whole answer
        self.filler.unlink()
        kept = stream()[-1]
        self.assertEqual(kept[0], "response.incomplete")
        self.assertEqual(self.call("GET", "/v1/responses/" + kept[1]["response"]["id"])[0], 200)

    def test_it_says_so_and_goes_on_when_there_is_room(self):
        self.start()
        mid = self.call("POST", "/api/matters", {"name": "Miete"})[1]["id"]
        self.assertEqual(self.upload(mid, "a.txt", "Die Miete beträgt 900 Euro.".encode())[0], 200)
        there = ["a.txt"]
        long = " ".join(f"Satz {i} über den Lagerraum." for i in range(6000)).encode()
        for i in range(ROUNDS):
            self.fill()
            login = {"name": "boss", "password": "ein langes Passwort"}
            for method, path, body in (("POST", "/api/matters", {"name": f"neu {i}"}), ("POST", "/api/login", login),
                                       ("PUT", f"/api/documents?matter={mid}&name=b{i}.txt", long),
                                       ("PUT", f"/api/matters/{mid}/rights", {"user": "boss", "right": "read"})):
                status, answer, _ = self.call(method, path, body)
                self.assertEqual(status, 507, f"{method} {path}: {answer}")
                self.assertIn("error", answer)
            # what needs no disk goes on
            self.assertEqual(self.call("GET", "/api/session")[0], 200)
            self.assertEqual(self.call("GET", "/ready")[0], 200)
            self.assertIn(self.call("GET", "/api/matters")[0], (200, 507))
            # room for a beginning, not for the end; reading a matter needs 32 KiB when nobody had it open
            for leave in (8192, 40960, 200000):
                os.truncate(self.filler, 0)
                self.fill(leave)
                self.assertEqual(self.upload(mid, f"b{i}.txt", long)[0], 507, leave)
                if leave > 65536:
                    self.assertEqual(self.documents(mid), there)
                    self.assertTrue(self.call("POST", f"/api/search?matter={mid}", {"query": "Miete"})[1]["hits"])
                    self.assertEqual(self.call("POST", f"/api/ask?matter={mid}", {"question": "Wie hoch ist die Miete?"})[0], 200)
            # room again: the same requests, the same server
            self.filler.unlink()
            self.assertEqual(self.upload(mid, f"b{i}.txt", long)[0], 200)
            there = sorted(there + [f"b{i}.txt"])
            self.assertEqual(self.documents(mid), there)
            self.assertEqual(self.server.call("POST", "/api/login", login)[0], 200)
            made = self.call("POST", "/api/matters", {"name": f"neu {i}"})
            self.assertEqual(made[0], 201, made)
            # the second largest thing in the office is room, and this is how one gets it
            self.fill(65536)
            self.assertEqual(self.call("DELETE", "/api/matters/" + made[1]["id"])[0], 200)
            number = [d["id"] for d in self.call("GET", "/api/documents?matter=" + mid)[1]["documents"] if d["path"].endswith(f"b{i}.txt")][0]
            removed = self.call("DELETE", f"/api/documents/{number}?matter={mid}")
            self.assertIn(removed[0], (200, 507), removed)
            self.filler.unlink()
            if removed[0] == 507:
                self.assertEqual(self.documents(mid), there)
                self.assertEqual(self.call("DELETE", f"/api/documents/{number}?matter={mid}")[0], 200)
            there.remove(f"b{i}.txt")
            self.assertEqual(self.documents(mid), there)
        self.assertEqual(self.server.stop(), 0, self.server.log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
