"""What the server keeps of prompts: second questions, edited messages and second tries cost their own tokens; nothing crosses
from one user or matter to another, neither in the counters nor in time; a matter's survive a restart and go with it."""
import pathlib
import time
import unittest

from serve_help import CHAT, CHAT_MODEL, Server, kontor

SAMPLES = pathlib.Path(__file__).resolve().parents[1] / "data" / "documents"
SYSTEM = {"role": "system", "content": "You answer in one word."}


def document(word, n):
    return " ".join(f"The {word} of part {i} is in drawer {i * 7 % 31}." for i in range(n))


class Cache(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("-m", CHAT_MODEL, "--ctx", "2048", "--memory", "900")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log()

    def chat(self, messages, key=None, **more):
        status, answer, _ = self.server.call("POST", "/v1/chat/completions", {
            "model": CHAT, "messages": messages, "temperature": 0, "max_tokens": 4, **more}, key)
        assert status == 200, answer
        usage = answer["usage"]
        return answer["choices"][0]["message"]["content"], usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]

    def test_only_what_is_new_is_computed(self):
        text = document("key", 30)
        ask = lambda question: [SYSTEM, {"role": "user", "content": text + "\n\n" + question}]
        first, n_first, cached = self.chat(ask("Where is the key of part 3?"))
        self.assertLess(cached, 64)
        _, n, cached = self.chat(ask("Where is the key of part 17?"))  # another question about it
        self.assertLess(n - cached, 24)
        again, n, cached = self.chat(ask("Where is the key of part 3?"))  # a second try
        self.assertLessEqual(n - cached, 1)
        self.assertEqual(again, first)
        talk = ask("Where is the key of part 3?") + [{"role": "assistant", "content": first}]
        _, n, cached = self.chat(talk + [{"role": "user", "content": "And of part 4?"}])
        self.assertLess(n - cached, 40)
        edited, n_edited, cached = self.chat(talk + [{"role": "user", "content": "Say nothing at all."}])
        self.assertLess(n_edited - cached, 40)
        # the answer is a cold server's
        cold = Server("-m", CHAT_MODEL, "--ctx", "2048", "--memory", "900")
        self.addCleanup(cold.stop)
        status, answer, _ = cold.call("POST", "/v1/chat/completions", {
            "model": CHAT, "temperature": 0, "max_tokens": 4, "messages": talk + [{"role": "user", "content": "Say nothing at all."}]})
        self.assertEqual(answer["usage"]["prompt_tokens"], n_edited)
        self.assertEqual(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
        self.assertEqual(answer["choices"][0]["message"]["content"], edited)
        self.assertGreater(self.server.metric("checkpoint_hits_total"), 3)
        self.assertLessEqual(self.server.metric("checkpoint_bytes"), self.server.metric("checkpoint_bytes_max"))


class Wall(unittest.TestCase):
    def test_users_do_not_feel_each_other(self):
        """A secret that one has asked about is as new to another as one that nobody ever had."""
        server = Server("-m", CHAT_MODEL, "--ctx", "2048", "--memory", "900")
        self.addCleanup(server.stop)
        keys = {}
        for name in ("anna", "bert"):
            kontor(server.home, "user", "add", name, *(["--admin"] if name == "anna" else []))
            keys[name] = kontor(server.home, "user", "key", name).stdout.strip()

        def ask(name, word):
            body = {"model": CHAT, "temperature": 0, "max_tokens": 1,
                    "messages": [SYSTEM, {"role": "user", "content": document(word, 28)}]}
            start = time.monotonic()
            status, answer, _ = server.call("POST", "/v1/chat/completions", body, keys[name])
            self.assertEqual(status, 200, answer)
            return time.monotonic() - start, answer["usage"]["prompt_tokens_details"]["cached_tokens"]

        ask("bert", "pencil")  # what is the same in all of the prompts
        ask("anna", "secret")
        guessed, new, known = [], [], []
        for i in range(2):
            seconds, cached = ask("bert", "secret" if i == 0 else f"secret{i}")
            guessed.append(seconds)
            self.assertLess(cached, 40, "a guess of another's prompt was felt")
            new.append(ask("bert", f"lemon{i}")[0])
            seconds, cached = ask("anna", "secret")
            self.assertGreater(cached, 250)
            known.append(seconds)
        # what is known takes a fraction; what another knows takes what is new takes
        self.assertLess(max(known), min(guessed[0], min(new)), (known, guessed, new))


class Disk(unittest.TestCase):
    def test_a_matter_keeps_its_own(self):
        server = Server("--root", SAMPLES, models=True)
        home, server.own_home = server.home, False
        mid = server.call("POST", "/api/matters", {"name": "Miete"})[1]["id"]
        folder = home / "matters" / mid
        server.call("POST", "/api/documents?matter=" + mid, {"path": str(SAMPLES / "lease.txt")})
        question = {"question": "Wie groß ist die Gesamtfläche der vermieteten Räume?", "passages": 1}
        kept = lambda: sorted(p.name for p in folder.glob("cache-*"))
        first = server.call("POST", "/api/ask?matter=" + mid, question)[1]
        again = server.call("POST", "/api/ask?matter=" + mid, question)[1]  # of use: worth a file
        self.assertEqual(first, again)
        server.call("POST", "/api/ask?matter=" + mid, question)
        self.assertEqual(server.stop(), 0, server.log())
        files = kept()
        self.assertTrue(files and all(f.endswith(".kc") for f in files), files)
        for f in files:
            self.assertEqual((folder / f).stat().st_mode & 0o777, 0o600)
        (folder / files[0]).write_bytes((folder / files[0]).read_bytes()[:-9])  # damaged meanwhile

        server = Server("--root", SAMPLES, models=True, home=home)
        self.addCleanup(server.stop)
        self.assertEqual(server.call("POST", "/api/ask?matter=" + mid, question)[1], first)
        if len(files) > 1:
            self.assertGreater(server.metric("checkpoint_hits_total"), 0)
        document = server.call("GET", "/api/documents?matter=" + mid)[1]["documents"][0]
        self.assertEqual(server.call("DELETE", f"/api/documents/{document['id']}?matter={mid}")[0], 200)
        self.assertEqual(kept(), [], "what a model made of a document goes with it")
        self.assertEqual(server.metric("checkpoints"), 0)
        server.call("POST", "/api/documents?matter=" + mid, {"path": str(SAMPLES / "lease.txt")})
        for _ in range(2):
            server.call("POST", "/api/ask?matter=" + mid, question)
        self.assertEqual(server.call("DELETE", "/api/matters/" + mid)[0], 200)
        self.assertFalse(folder.exists())
        self.assertEqual(server.metric("checkpoints"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
