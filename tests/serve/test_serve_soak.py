#!/usr/bin/env python3
"""A thousand mixed requests leave the memory where the sum said it would be.

Eight clients send chats (whole, streamed, continued, in the background, left in the middle), completions, embeddings and
rankings, with the small models. Then: what is resident is below the limit of --memory (and 2 %), what came after the first three
tenths of the requests did not add more than 2 % of it, nothing runs or waits any more, and the server still answers.

    test_serve_soak.py [REQUESTS]
"""
import http.client
import json
import random
import sys
import threading
import unittest

import serve_help
from serve_help import CHAT, EMBED, Server

CLIENTS = 8
LIMIT = 600


class Soak(unittest.TestCase):
    n_requests = 1000

    def setUp(self):
        self.server = Server("-m", serve_help.CHAT_MODEL, "--embed-model", serve_help.EMBED_MODEL, "--ctx", "1024", "--memory", LIMIT,
                             "--streams", "4")
        self.addCleanup(self.server.stop)
        self.lock = threading.Lock()
        self.left, self.statuses, self.errors, self.early = self.n_requests, {}, [], None

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def note(self, kind, status):
        with self.lock:
            key = f"{kind} {status}"
            self.statuses[key] = self.statuses.get(key, 0) + 1

    def leave(self, body):
        """Read a few events of a stream and hang up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=serve_help.PATIENCE)
        connection.request("POST", "/v1/chat/completions", json.dumps({**body, "stream": True}))
        response = connection.getresponse()
        for _ in range(3):
            response.readline()
        connection.close()
        return response.status

    def wait_long(self, body):
        """Somebody better waits nearly all the time."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20 * serve_help.PATIENCE)
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    def one(self, rng, said):
        words = " ".join(rng.choice(("contract", "court", "notice", "party", "cost", "clause")) for _ in range(rng.randrange(4, 120)))
        kind = rng.choice(("chat", "chat", "talk", "stream", "flex", "leave", "completion", "embed", "rank"))
        body = {"model": CHAT, "max_tokens": rng.randrange(1, 24), "temperature": rng.choice((0, 1)), "seed": rng.randrange(100)}
        if kind == "talk" and len(said) < 7:
            said.append({"role": "user", "content": words[:60]})
            body["messages"] = said
        else:
            body["messages"] = [{"role": "user", "content": words}]
        if kind == "embed":
            return kind, self.server.call("POST", "/v1/embeddings", {"model": EMBED, "input": [words] * rng.randrange(1, 5)})[0]
        if kind == "rank":
            return kind, self.server.call("POST", "/v1/rerank", {"model": EMBED, "query": words[:50], "documents": [words, "else"]})[0]
        if kind == "completion":
            del body["messages"]
            return kind, self.server.call("POST", "/v1/completions", {**body, "prompt": words})[0]
        if kind == "leave":
            return kind, self.leave(body)
        if kind == "stream":
            body["stream"] = True
        if kind == "flex":
            return kind, self.wait_long({**body, "service_tier": "flex"})
        status, answer, _ = self.server.call("POST", "/v1/chat/completions", body)
        if kind == "talk" and status == 200:
            said.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"] or "."})
            if len(said) > 6:
                said.clear()
        return kind, status

    def client(self, seed):
        rng, said = random.Random(seed), []
        try:
            while self.take():
                self.note(*self.one(rng, said))
                with self.lock:
                    early = self.early is None and self.left <= self.n_requests * 7 // 10
                    self.early = 0 if early else self.early
                if early:
                    self.early = self.server.metric("resident_memory_bytes")
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(repr(e))

    def test_memory_stays(self):
        clients = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        for c in clients:
            c.start()
        for c in clients:
            c.join()
        self.assertEqual(self.errors, [])
        self.server.wait_metric("queue_running", 0)
        self.server.wait_metric("queue_waiting", 0)
        limit, end = self.server.metric("memory_limit_bytes"), self.server.metric("resident_memory_bytes")
        print(f"{self.n_requests} requests: {end / 1e6:.1f} MB resident, {self.early / 1e6:.1f} after three tenths, limit {limit / 1e6:.1f}; "
              f"paused {self.server.metric('answers_paused_total'):.0f}; "
              f"checkpoints {self.server.metric('checkpoint_bytes') / 1e6:.1f} of {self.server.metric('checkpoint_bytes_max') / 1e6:.1f} MB, "
              f"{self.server.metric('checkpoint_hits_total'):.0f} hits; {self.statuses}", file=sys.stderr)
        self.assertGreater(self.server.metric("checkpoint_hits_total"), 0)
        self.assertEqual(limit, LIMIT * 1e6)
        self.assertTrue(all(k.endswith(" 200") for k in self.statuses), self.statuses)
        self.assertLess(end, limit * 1.02)
        self.assertLess(end - self.early, limit * 0.02)
        self.assertEqual(self.server.call("POST", "/v1/completions", {"model": CHAT, "prompt": "A", "max_tokens": 1})[0], 200)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Soak.n_requests = int(sys.argv.pop())
    unittest.main()
