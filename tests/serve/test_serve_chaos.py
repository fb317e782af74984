#!/usr/bin/env python3
"""Clients that come and go at the worst moments: random disconnects in every phase of a request, some 100 a second.

Afterwards nothing is left: no connection, no handler, no job, no body; the server answers as before and ends in order. With
sanitizers this is where a use after free, a race or a leak would show. KONTOR_CHAOS_SECONDS (60), KONTOR_CHAOS_SEED."""
import json
import os
import random
import socket
import struct
import threading
import time
import unittest

from serve_help import CHAT, EMBED, Server, kontor, read_all, status_of

SECONDS = float(os.environ.get("KONTOR_CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("KONTOR_CHAOS_SEED", str(random.randrange(1 << 30))))
THREADS = 20


def post(path, body):
    body = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: KEY\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body


TALK = [{"role": "user", "content": "Write without end about the sea."}]
REQUESTS = [
    post("/v1/chat/completions", {"model": CHAT, "messages": TALK, "stream": True, "max_tokens": 200}),
    post("/v1/chat/completions", {"model": CHAT, "messages": TALK, "max_tokens": 200}),
    post("/v1/chat/completions", {"model": CHAT, "messages": TALK, "max_tokens": 3}),
    post("/v1/messages", {"model": CHAT, "messages": TALK, "stream": True, "max_tokens": 50}),
    post("/v1/completions", {"model": CHAT, "prompt": ["a", "b", "c"], "stream": True, "max_tokens": 20}),
    post("/v1/embeddings", {"model": EMBED, "input": ["a text that is embedded"] * 64}),
    post("/tokenize", {"content": "x" * 200000}),
    post("/v1/chat/completions", {"model": CHAT}),
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: KEY\r\n\r\n",
    b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: localhost\nX\r\n\r\n",
]


class Chaos(unittest.TestCase):
    def one(self, rng):
        s = self.server.connect()
        request = rng.choice(self.requests)
        cut = len(request) if rng.random() < 0.7 else rng.randrange(len(request))
        try:
            s.sendall(request[:cut])
            s.settimeout(0.3)
            how = rng.random()
            if how < 0.5:
                time.sleep(rng.random() * 0.3)
            elif how < 0.8:
                s.recv(rng.randrange(1, 2000)) if cut == len(request) else None
            elif how < 0.9:
                s.shutdown(socket.SHUT_WR)
                time.sleep(rng.random() * 0.1)
            if rng.random() < 0.5:  # a reset instead of an orderly end
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        s.close()

    def work(self, seed):
        rng = random.Random(seed)
        while time.monotonic() < self.end:
            self.one(rng)
            self.done += 1

    def test_clients_that_come_and_go(self):
        self.server = Server(models=True)
        self.addCleanup(self.server.stop)
        # with a key: whose a connection is that is closed already, nobody could say
        kontor(self.server.home, "user", "add", "anna")
        self.key = kontor(self.server.home, "user", "key", "anna").stdout.strip()
        self.requests = [r.replace(b"KEY", self.key.encode()) for r in REQUESTS]
        self.done, self.end = 0, time.monotonic() + SECONDS
        threads = [threading.Thread(target=self.work, args=(SEED + i,)) for i in range(THREADS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        try:
            self.nothing_is_left()
        except Exception:
            print(f"seed {SEED}; the server: {self.server.process.poll()}", self.server.log()[-6000:])
            raise
        cancelled = self.server.metric("generations_cancelled_total", self.key)
        print(f"seed {SEED}: {self.done} clients in {SECONDS:.0f} s, {cancelled:.0f} answers cancelled")
        with self.server.connect() as s:
            s.sendall(self.requests[2])
            self.assertEqual(status_of(read_all(s)), 200)
        self.assertEqual(self.server.stop(), 0, self.server.log()[-3000:])

    def nothing_is_left(self):
        self.server.wait_metric("queue_waiting", 0, self.key)
        self.server.wait_metric("queue_running", 0, self.key)
        self.server.wait_metric("http_handlers", 1, self.key)
        self.server.wait_metric("http_connections", 1, self.key)
        self.server.wait_metric("http_body_bytes", 0, self.key)


if __name__ == "__main__":
    unittest.main(verbosity=2)
