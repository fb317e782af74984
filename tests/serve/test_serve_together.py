#!/usr/bin/env python3
"""Several users at once get, each, the bytes that they get alone; a background answer makes room and is not hurt by it."""
import http.client
import json
import threading
import unittest

import serve_help
from serve_help import CHAT, CHAT_MODEL, Server

TEXT = "Each party may end the contract with a notice of three months. "


def body(i, n_max=16, **more):
    return {"model": CHAT, "prompt": f"{i}. " + TEXT * (1 + i % 3), "max_tokens": n_max, "temperature": i % 2, "seed": i, **more}


class Together(unittest.TestCase):
    def serve(self, *args):
        server = Server("-m", CHAT_MODEL, "--ctx", "512", "--memory", "500", *args)
        self.addCleanup(server.stop)
        return server

    def text(self, server, request):
        status, answer, _ = server.call("POST", "/v1/completions", request)
        self.assertEqual(status, 200, answer)
        return answer["choices"][0]["text"]

    def test_the_same_bytes(self):
        server = self.serve("--streams", "3")
        n = 5
        alone = [self.text(server, body(i)) for i in range(n)]
        got = [None] * n

        def ask(i):
            got[i] = self.text(server, body(i))

        clients = [threading.Thread(target=ask, args=(i,)) for i in range(n)]
        for c in clients:
            c.start()
        for c in clients:
            c.join()
        self.assertEqual(got, alone)

    def makes_room(self, server, chat, **class_of):
        """An answer that is read as it is written is paused for a question that is typed meanwhile, and is the same answer."""
        alone = server.call("POST", "/v1/chat/completions", chat)[1]["choices"][0]["message"]["content"]
        paused = server.metric("answers_paused_total")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=serve_help.PATIENCE)
        connection.request("POST", "/v1/chat/completions", json.dumps({**chat, "stream": True, **class_of}))
        response = connection.getresponse()
        first = response.readline()
        self.assertTrue(first.startswith(b"data: {"), first)
        self.text(server, body(2, 4))
        lines = [first, *response]
        connection.close()
        events = [json.loads(x[6:]) for x in lines if x.startswith(b"data: {")]
        self.assertEqual("".join(c["delta"].get("content") or "" for e in events for c in e["choices"]), alone)
        return server.metric("answers_paused_total") - paused

    def test_who_makes_room(self):
        server = self.serve("--streams", "1")
        asked = {"role": "user", "content": "Write a long letter. " + TEXT}
        chat = {"model": CHAT, "messages": [asked], "max_tokens": 40, "temperature": 1, "seed": 5}
        self.assertEqual(self.makes_room(server, chat, service_tier="flex"), 1)
        self.assertEqual(self.makes_room(server, chat, service_tier="auto"), 0)


if __name__ == "__main__":
    unittest.main()
