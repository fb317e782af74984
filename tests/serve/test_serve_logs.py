#!/usr/bin/env python3
"""What people say, write and upload never stands in the log.

Method: a server at its most talkative (KONTOR_LOG=debug) is led through every route and through its refusals, while a word of its own is
planted at each place where somebody could put content: prompts, tools, questions, file names, texts of documents, matters'
names, passwords, keys, paths, queries, header fields, broken JSON, broken heads. The words look like identifiers, the form that
the log lets through most easily. Afterwards none of them is found in it, in any spelling, and each line has the form of a line."""
import base64
import json
import os
import pathlib
import re
import shutil
import tempfile
import unittest

import scripted_model
from serve_help import EMBED, Server, kontor
from test_serve_api import routes

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (error|warn|info|debug) [a-z_]+\.[a-z_]+( [a-z_]+=[A-Za-z0-9._:/{}?-]+)*\n")
SAID = ("kontor serve: listening on ", "kontor serve: there are no users")


class Logs(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-logs-"))
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.planted = {}

    def plant(self, where):
        word = f"Vertraulich{len(self.planted):03d}x"
        self.planted[word] = where
        return word

    def test_nothing_that_was_said(self):
        scripted_model.write(self.dir / "writes", [self.plant("the answer"), " und", " Ende"])
        (self.dir / "root").mkdir()
        name = self.plant("a file's name")
        (self.dir / "root" / (name + ".txt")).write_text(f"Die Miete von {self.plant('a document')} beträgt 900 Euro.\n")
        home = self.dir / "home"
        user = "anna"
        password = self.plant("a password")
        kontor(home, "user", "add", user, "--admin", "--password", text=password + "\n")
        key = kontor(home, "user", "key", user, "--label", self.plant("a key's label")).stdout.strip()
        self.planted[key[3:]] = "a key"
        server = Server("--root", self.dir / "root", "-m", self.dir / "writes", models="embed", home=home, env={"KONTOR_LOG": "debug"})
        self.addCleanup(server.stop)

        def call(method, path, body=None, **more):
            return server.call(method, path, body, key=key, **more)

        # everybody's day
        mid = call("POST", "/api/matters", {"name": self.plant("a matter's name")})[1]["id"]
        self.assertIn(b"indexed", call("POST", "/api/documents?matter=" + mid, {"path": str(self.dir / "root")})[1].encode())
        upload = self.plant("an uploaded file's name")
        text = f"Der Lagerraum {self.plant('an uploaded text')} ist trocken.".encode()
        self.assertEqual(call("PUT", f"/api/documents?matter={mid}&name={upload}.txt", text)[0], 200)
        self.assertEqual(call("PUT", f"/api/documents?matter={mid}&name={self.plant('a name')}.pdf", b"%PDF-1.4 broken " + self.plant("a broken file").encode())[0], 200)
        self.assertTrue(call("POST", "/api/search?matter=" + mid, {"query": "Miete " + self.plant("a search")})[1]["hits"])
        for stream in (False, True):
            self.assertEqual(call("POST", "/api/ask?matter=" + mid, {"question": "Wie hoch ist die Miete? " + self.plant("a question"), "stream": stream})[0], 200)
        documents = call("GET", "/api/documents?matter=" + mid)[1]["documents"]
        self.assertGreaterEqual(len(documents), 2)
        talk = [{"role": "system", "content": self.plant("a system prompt")}, {"role": "user", "content": self.plant("a prompt")}]
        tool = {"type": "function", "function": {"name": self.plant("a tool"), "description": self.plant("its description"),
                                                 "parameters": {"type": "object", "properties": {self.plant("its parameter"): {"type": "string"}}}}}
        for stream in (False, True):
            more = {"user": self.plant("the user field"), "metadata": {"a": self.plant("metadata")}, "stop": [self.plant("a stop string")],
                    "max_tokens": 3, "stream": stream}
            self.assertEqual(call("POST", "/v1/chat/completions", {"model": "writes", "messages": talk, "tools": [tool], **more})[0], 200)
            self.assertEqual(call("POST", "/v1/messages", {"model": "writes", "system": talk[0]["content"], "messages": talk[1:], "max_tokens": 3,
                                                           "stream": stream})[0], 200)
            self.assertEqual(call("POST", "/v1/responses", {"model": "writes", "input": self.plant("an input"), "stream": stream,
                                                            "instructions": self.plant("instructions")})[0], 200)
        self.assertEqual(call("POST", "/v1/completions", {"model": "writes", "prompt": self.plant("a plain prompt"), "max_tokens": 2})[0], 200)
        self.assertEqual(call("POST", "/v1/embeddings", {"model": EMBED, "input": [self.plant("a text")]})[0], 200)
        self.assertEqual(call("POST", "/v1/rerank", {"model": EMBED, "query": self.plant("a query"), "documents": [self.plant("a passage")]})[0], 200)
        self.assertEqual(call("POST", "/tokenize", {"content": self.plant("a text of tokens")})[0], 200)
        login = {"name": user, "password": password}
        cookie = server.call("POST", "/api/login", login)[2]["Set-Cookie"]
        self.planted[re.search(r"kontor_session=([^;]+)", cookie).group(1)] = "a session"
        self.assertEqual(server.call("GET", "/api/session", headers={"Cookie": cookie.split(";")[0]})[0], 200)
        # and everybody's mistakes
        server.call("POST", "/api/login", {"name": self.plant("a wrong name"), "password": self.plant("a wrong password")})
        server.call("POST", "/api/login", {"name": user, "password": self.plant("a right name's wrong password")})
        server.call("GET", "/v1/models", key=self.plant("a wrong key"))
        picture = base64.b64encode(self.plant("a picture").encode()).decode()
        for messages in ([{"role": self.plant("a role"), "content": "a"}], [{"role": "user", "content": self.plant("a long prompt") + " a" * 9000}],
                         [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + picture}}]}],
                         [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://" + self.plant("an address")}}]}]):
            self.assertEqual(call("POST", "/v1/chat/completions", {"model": "writes", "messages": messages})[0], 400)
        call("POST", "/v1/chat/completions", {"model": self.plant("a model's name"), "messages": talk})
        call("POST", "/v1/chat/completions", {self.plant("a parameter"): 1})
        call("POST", "/v1/chat/completions", b'{"a": "' + self.plant("broken JSON").encode())
        call("POST", "/api/documents?matter=" + mid, {"path": "/" + self.plant("a folder that is none")})
        call("POST", "/api/matters", {"name": self.plant("a name that is none") + "\n" * 3})
        call("PUT", f"/api/matters/{mid}/rights", {"user": self.plant("a user who is none"), "right": "read"})
        # every route, with the words where its address has room, and where every request has
        for method, path, _, _, _ in routes():
            url = re.sub(r"\{\w+\}", lambda m: self.plant(f"{m.group(0)} of {path}"), path)
            body = {self.plant(f"the body of {path}"): self.plant(f"the value of {path}")} if method in ("POST", "PUT") else None
            call(method, f"{url}?matter={self.plant('a matter')}&{self.plant('a name')}={self.plant('a value')}", body)
        for name in ("User-Agent", "Referer", "Cookie", "X-Request-Id", "X-Forwarded-For", "Origin", "Host", "Accept-Language", "X-CSRF-Token", "Content-Type",
                     "Last-Event-ID", "OpenAI-Organization", "Sec-Fetch-Site"):
            call("GET", "/api/session", headers={name: self.plant("the field " + name)})
        call(self.plant("a method"), "/health")
        call("GET", "/" + self.plant("a path"))
        for head in ("GET /{} HTTP/1.1\r\n\r\n", "{} / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: {}\r\nHost: b\r\n\r\n",
                     "GET / {}\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n"):
            server.raw(head.format(self.plant("a broken head")).encode())
        self.assertEqual(call("DELETE", f"/api/documents/{documents[0]['id']}?matter={mid}")[0], 200)
        self.assertEqual(call("DELETE", "/api/matters/" + mid)[0], 200)
        self.assertEqual(server.stop(), 0, server.log())

        self.assertGreater(len(server.lines), 80)
        self.assertGreater(len(self.planted), 150)
        spelled = server.log().lower()
        for word, where in self.planted.items():
            for form in (word, base64.b64encode(word.encode()).decode()[:-4], word.encode().hex()):
                self.assertFalse(form.lower() in spelled, f"{where} stands in the log")
        self.assertNotIn(" status=0 ", server.log(), "every client waited for its answer")
        for line in server.lines:
            self.assertTrue(LINE.fullmatch(line) or line.startswith(SAID), f"not a line of the log: {line!r}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
