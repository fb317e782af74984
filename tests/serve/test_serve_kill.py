#!/usr/bin/env python3
"""kill -9 in the middle of everything: what was acknowledged is there afterwards, and what was taken away stays away.

Method: in each cycle several clients make and change things at once: matters, rights, documents, kept responses over HTTP;
users and keys with `kontor user`, as processes of their own. Each keeps a book of what it was told has happened. At a
random moment the server is killed, with the programs beside it. It is started again on the same home, which must open at once, and
everything in the book is looked up: users and rights by using them, documents by listing and finding them. An action that was
under way may have happened or not, nothing else may have. KONTOR_KILL_CYCLES (3), KONTOR_KILL_SEED."""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from serve_help import PROGRAM, Server

CYCLES = int(os.environ.get("KONTOR_KILL_CYCLES", "3"))
SEED = int(os.environ.get("KONTOR_KILL_SEED", str(random.randrange(1 << 30))))


class Book:
    """What was acknowledged: name -> value, or None when it was taken away. 'open': begun and not acknowledged."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sure, self.open = {}, set()

    def begin(self, what):
        with self.lock:
            self.open.add(what)

    def done(self, what, value):
        with self.lock:
            self.sure[what] = value
            self.open.discard(what)

    def certain(self):
        return {k: v for k, v in self.sure.items() if k not in self.open}


class Kill(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-kill-"))
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.home = self.dir / "home"
        self.books = {"users": Book(), "keys": Book(), "matters": Book(), "documents": Book(), "rights": Book()}
        self.n = 0
        self.rng = random.Random(SEED)
        self.boss = None
        self.acknowledged = 0

    def user(self, *args):
        """kontor user ...; None when it was killed."""
        if self.stop.is_set():
            return None
        p = subprocess.Popen([PROGRAM, "user", *args, "--home", str(self.home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with self.lock:
            self.running.add(p)
        out, err = p.communicate()
        with self.lock:
            self.running.discard(p)
        if p.returncode == 0:
            return out.strip()
        self.assertTrue(self.stop.is_set(), f"kontor user {args}: {p.returncode} {err}")
        return None

    def http(self, method, path, body=None):
        """(status, answer), or None when nobody was there any more."""
        try:
            answer = self.server.call(method, path, body, self.boss)[:2]
        except OSError:
            answer = None
        except Exception:  # half an answer is none
            answer = None
        if answer is None:
            self.assertTrue(self.stop.is_set() or self.server.process.poll() is not None, f"{method} {path}: no answer")
        return answer

    def name(self):
        with self.lock:
            self.n += 1
            return f"n{self.n}"

    # ---- what the clients do

    def change_users(self, rng):
        users, keys = self.books["users"], self.books["keys"]
        name = self.name()
        users.begin(name)
        if self.user("add", name) is None:
            return
        users.done(name, True)
        keys.begin(name)
        key = self.user("key", name)
        if key is None:
            return
        keys.done(name, key)
        old = [n for n, v in users.certain().items() if v]
        if len(old) > 4 and rng.random() < 0.5:
            gone = rng.choice(old)
            users.begin(gone)
            keys.begin(gone)
            if self.user("remove", gone) is not None:
                users.done(gone, None)
                keys.done(gone, None)

    def change_matters(self, rng):
        matters, documents, rights = (self.books[b] for b in ("matters", "documents", "rights"))
        name = self.name()
        made = self.http("POST", "/api/matters", {"name": name})
        if made is None:
            return
        self.assertEqual(made[0], 201, made)
        mid = made[1]["id"]
        with self.lock:
            self.in_use.add(mid)
        matters.done(mid, name)
        self.change_one(rng, mid, name)
        with self.lock:
            self.in_use.discard(mid)

    def change_one(self, rng, mid, name):
        matters, documents, rights = (self.books[b] for b in ("matters", "documents", "rights"))
        for i in range(rng.randrange(1, 4)):
            file = f"{name}-{i}.txt"
            documents.begin((mid, file))
            sent = self.http("PUT", f"/api/documents?matter={mid}&name={file}", f"Das Wort dieser Datei ist wort{name}x{i}.".encode())
            if sent is None:
                return
            self.assertTrue(sent[0] == 200 and sent[1]["indexed"], sent)
            documents.done((mid, file), f"wort{name}x{i}")
        known = [n for n, v in self.books["users"].certain().items() if v]
        if known:
            user = rng.choice(known)
            rights.begin((mid, user))
            given = self.http("PUT", f"/api/matters/{mid}/rights", {"user": user, "right": "read"})
            if given is None:
                return
            if given[0] == 200:
                rights.done((mid, user), "read")
        if rng.random() < 0.3:
            file = f"{name}-0.txt"
            listed = self.http("GET", f"/api/documents?matter={mid}")
            if listed is None:
                return
            number = [d["id"] for d in listed[1]["documents"] if d["path"].endswith(file)][0]
            documents.begin((mid, file))
            removed = self.http("DELETE", f"/api/documents/{number}?matter={mid}")
            if removed is None:
                return
            self.assertEqual(removed[0], 200, removed)
            documents.done((mid, file), None)
        old = [m for m, v in matters.certain().items() if v and m not in self.in_use]
        if len(old) > 4 and rng.random() < 0.4:
            gone = rng.choice(old)
            with self.lock:
                if gone in self.in_use:
                    return
                self.in_use.add(gone)
            matters.begin(gone)
            for what in [k for k in documents.sure if k[0] == gone]:
                documents.begin(what)
            for what in [k for k in rights.sure if k[0] == gone]:
                rights.begin(what)
            destroyed = self.http("DELETE", "/api/matters/" + gone)
            if destroyed is None:
                return
            self.assertEqual(destroyed[0], 200, destroyed)
            matters.done(gone, None)

    def work(self, what, seed):
        rng = random.Random(seed)
        try:
            while not self.stop.is_set():
                what(rng)
        except Exception as e:
            self.errors.append(e)

    # ---- and what must be true afterwards

    def check(self):
        users, keys, matters, documents, rights = (self.books[b] for b in ("users", "keys", "matters", "documents", "rights"))
        status, answer, _ = self.server.call("GET", "/api/matters", key=self.boss)
        self.assertEqual(status, 200, f"seed {SEED}: {answer} {self.server.log()}")
        there = {m["id"]: m for m in answer["matters"]}
        for mid, name in matters.certain().items():
            if name:
                self.assertEqual(there[mid]["name"], name)
            else:
                self.assertNotIn(mid, there)
        for user, key in keys.certain().items():
            if user in users.open:
                continue
            if key:
                status, who, _ = self.server.call("GET", "/api/session", key=key)
                self.assertEqual((status, who.get("user")), (200, user))
        listed = subprocess.run([PROGRAM, "user", "list", "--home", str(self.home)], capture_output=True, text=True, check=True).stdout
        names = {line.split()[0] for line in listed.splitlines()}
        for user, value in users.certain().items():
            self.assertEqual(user in names, bool(value), user)
        for mid in [m for m, name in matters.certain().items() if name]:
            status, answer, _ = self.server.call("GET", f"/api/documents?matter={mid}", key=self.boss)
            self.assertEqual(status, 200, answer)
            paths = {d["path"].rsplit("/", 1)[1]: d for d in answer["documents"]}
            for (m, file), word in documents.certain().items():
                if m != mid:
                    continue
                self.assertEqual(file in paths, word is not None, (mid, file))
                if word:
                    hits = self.server.call("POST", f"/api/search?matter={mid}", {"query": word, "k": 1}, self.boss)[1]["hits"]
                    self.assertTrue(hits and word in hits[0]["text"], (file, hits))
        for (mid, user), right in rights.certain().items():
            key = keys.certain().get(user)
            if right and key and user not in users.open and matters.certain().get(mid):
                self.assertEqual(self.server.call("GET", f"/api/documents?matter={mid}", key=key)[0], 200)
        self.acknowledged = sum(len(b.sure) for b in self.books.values())
        for b in self.books.values():  # how those ended is not known; they are not spoken of again
            for what in b.open:
                b.sure.pop(what, None)
            b.open.clear()
        # what grew is cut back, so that a long campaign stays quick
        for mid in list(m for m, name in matters.certain().items() if name)[:-6]:
            self.assertEqual(self.server.call("DELETE", "/api/matters/" + mid, key=self.boss)[0], 200)
            matters.sure[mid] = None
            for b in (documents, rights):
                for what in [k for k in b.sure if k[0] == mid]:
                    b.sure.pop(what)

    def test_nothing_acknowledged_is_lost(self):
        self.lock, self.running, self.stop, self.errors = threading.Lock(), set(), threading.Event(), []
        self.server = Server(home=self.home)
        self.user("add", "boss", "--admin")
        self.boss = self.user("key", "boss")
        total = 0
        for cycle in range(CYCLES):
            self.stop, self.in_use = threading.Event(), set()
            threads = [threading.Thread(target=self.work, args=(what, self.rng.randrange(1 << 30)))
                       for what in (self.change_users, self.change_matters, self.change_matters)]
            for t in threads:
                t.start()
            time.sleep(0.15 + self.rng.random() * 0.7)
            self.stop.set()
            self.server.process.kill()
            with self.lock:
                for p in self.running:
                    p.kill()
            for t in threads:
                t.join()
            self.assertEqual(self.errors, [], f"seed {SEED}, cycle {cycle}")
            self.assertEqual(self.server.stop(), -signal.SIGKILL)
            self.server = Server(home=self.home)
            self.check()
            total += self.acknowledged
        print(f"seed {SEED}: {CYCLES} kills, {total} facts looked up, {self.n} names given")
        self.assertGreater(total, CYCLES * 4)
        self.assertEqual(self.server.stop(), 0, self.server.log()[-2000:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
