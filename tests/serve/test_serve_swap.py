#!/usr/bin/env python3
"""Other models while requests run: several that write side by side, and an exchange of all of them by SIGHUP.

Method: a server whose models stand in settings.ini. While a long answer runs and other clients keep asking, the file is changed
and the server told. Nobody may be refused, the running answer must be whole, and what comes after must be the new model's. A change
that cannot work (no such file, a line that is none, too little memory) leaves everything as it was and says so."""
import concurrent.futures
import json
import pathlib
import shutil
import signal
import tempfile
import threading
import time
import unittest

import scripted_model
from serve_help import CHAT, CHAT_MODEL, EMBED, EMBED_MODEL, PATIENCE, Server, events


LONG = {"messages": [{"role": "user", "content": "Count from one to ninety-nine, in words."}], "max_tokens": 120, "stream": True}


def text_of(stream):
    """What was said, of a stream that came to its end."""
    got = [d for _, d in events(stream)]
    assert got[-1] == "[DONE]", stream[-300:]
    return "".join(json.loads(d)["choices"][0]["delta"].get("content") or "" for d in got[:-1])


class Swap(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-swap-"))
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.home = self.dir / "home"
        self.home.mkdir(mode=0o700)
        scripted_model.write(self.dir / "scripted", ["Good", " day"])
        scripted_model.write(self.dir / "other", ["Moin"])

    def settings(self, chat, more="", extra=""):
        (self.home / "settings.ini").write_text(f"[models]\nchat_model = {chat}\nembed_model = {EMBED_MODEL}\n"
                                                f"[serve]\nctx = 1024\nmore_models = {more}\n{extra}")

    def serve(self):
        server = Server(home=self.home)
        self.addCleanup(server.stop)
        return server

    def reload(self, server, expect):
        n = server.log().count("serve.reloaded")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while server.log().count("serve.reloaded") == n:
            self.assertLess(time.monotonic(), deadline, server.log())
            time.sleep(0.02)
        self.assertIn(f"models={expect}", server.log().rsplit("serve.reloaded", 1)[1])

    def chat(self, server, model, **more):
        body = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "temperature": 0, **more}
        return server.call("POST", "/v1/chat/completions", body)

    def test_side_by_side(self):
        self.settings(CHAT_MODEL, f"{self.dir / 'scripted'}, {self.dir / 'other'}")
        server = self.serve()
        listed = [m["id"] for m in server.call("GET", "/v1/models")[1]["data"]]
        self.assertEqual(listed, [CHAT, "scripted", "other", EMBED])
        for model, text in (("scripted", "Good day"), ("other", "Moin")):
            status, answer, _ = self.chat(server, model)
            self.assertEqual((status, answer["model"]), (200, model))
            self.assertEqual(answer["choices"][0]["message"]["content"], text)
        self.assertEqual(self.chat(server, CHAT)[1]["model"], CHAT)
        self.assertEqual(self.chat(server, EMBED)[1]["error"]["code"], "model_not_supported")
        self.assertEqual(self.chat(server, "nope")[0], 404)
        tokens = [server.call("POST", "/tokenize", {"model": m, "content": "Moin moin"})[1]["tokens"] for m in (CHAT, "other")]
        self.assertNotEqual(*tokens)  # each has its own words
        # both at once: neither waits for the other
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            slow = pool.submit(self.chat, server, CHAT, max_tokens=40, temperature=1.5)
            while server.metric("queue_running") < 1:
                time.sleep(0.01)
            self.assertEqual(self.chat(server, "other")[0], 200)
            self.assertFalse(slow.done(), "the quick model waited for the slow one")
            self.assertEqual(slow.result()[0], 200)

    def test_two_of_one_name_are_refused(self):
        (self.dir / "elsewhere").mkdir()
        shutil.copytree(self.dir / "other", self.dir / "elsewhere" / "other")
        self.settings(self.dir / "other", self.dir / "elsewhere" / "other")
        with self.assertRaisesRegex(AssertionError, "two models are called 'other'"):
            Server(home=self.home)

    def test_an_exchange_under_load_loses_nothing(self):
        self.settings(CHAT_MODEL)
        server = self.serve()
        stop, failed, answered = threading.Event(), [], []
        wanted = text_of(self.chat(server, CHAT, **LONG)[1])
        self.assertGreater(len(wanted), 100)

        def keep_asking():
            while not stop.is_set():
                listed = [m["id"] for m in server.call("GET", "/v1/models")[1]["data"]]
                status, answer, _ = server.call("POST", "/v1/embeddings", {"model": EMBED, "input": "a"})
                (answered if status == 200 else failed).append((listed[0], status, answer))
                time.sleep(0.02)

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(keep_asking) for _ in range(2)]
            running = pool.submit(self.chat, server, CHAT, **LONG)
            server.wait_metric("queue_running", 1)
            self.settings(self.dir / "scripted")
            self.reload(server, "ok")
            # new requests: the new model; the old one still writes
            status, answer, _ = self.chat(server, "scripted")
            self.assertEqual((status, answer["choices"][0]["message"]["content"]), (200, "Good day"))
            self.assertEqual(self.chat(server, CHAT)[0], 404)
            self.assertFalse(running.done(), "the answer was over before the exchange: this test showed nothing")
            status, text, _ = running.result()
            stop.set()
            for a in asking:
                a.result()
        self.assertEqual((status, text_of(text)), (200, wanted))
        self.assertEqual(failed, [])
        self.assertEqual({a[0] for a in answered} | {"scripted"}, {CHAT, "scripted"})
        # the old model is gone with its last answer
        maps = pathlib.Path(f"/proc/{server.process.pid}/maps")
        deadline = time.monotonic() + PATIENCE
        while CHAT_MODEL.name in maps.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertNotIn(CHAT_MODEL.name, maps.read_text())
        # nothing changed: nothing is opened; another file under the same name: it is
        self.reload(server, "ok")
        self.assertEqual(server.log().count("serve.models_changed"), 1)
        shutil.rmtree(self.dir / "scripted")
        scripted_model.write(self.dir / "scripted", ["Servus"])
        self.reload(server, "ok")
        self.assertEqual(self.chat(server, "scripted")[1]["choices"][0]["message"]["content"], "Servus")

    def test_what_cannot_work_changes_nothing(self):
        self.settings(self.dir / "scripted")
        server = self.serve()
        for chat, extra, why in ((self.dir / "nothing", "", "nothing"), (self.dir / "scripted", "nonsense = 1\n", "nonsense"),
                                 (self.dir / "other", "memory = 10000000\n", "GB are free"), (EMBED_MODEL, "", "does not write text")):
            self.settings(chat, extra=extra)
            self.reload(server, "failed")
            self.assertIn(why, server.log().rsplit("the models stay as they are", 1)[1])
            self.assertEqual(self.chat(server, "scripted")[1]["choices"][0]["message"]["content"], "Good day")


if __name__ == "__main__":
    unittest.main(verbosity=2)
