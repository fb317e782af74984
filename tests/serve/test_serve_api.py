#!/usr/bin/env python3
"""What the server answers to whom, without any client library.

Routes: the table of routes, read from the running server's own source of truth (/openapi.json, compared with
src/api/routes.c), is tried as every role, with and without a right to the matter. Office: search and ask over HTTP give
what the command line gives."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import scripted_model
from serve_help import CHAT, EMBED, EMBED_MODEL, PATIENCE, Server, events, kontor, status_of

SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])
ROUTE = re.compile(r'\{\s*"(\w+)",\s*"([^"]+)",\s*(\w+),\s*(\w+),\s*NEED_(\w+),\s*ACCESS_(\w+),\s*handle_(\w+)\s*\}')


def routes():
    """[(method, path, need, right, handler)] of the table."""
    text = (SOURCE / "src" / "api" / "routes.c").read_text(encoding="utf-8")
    found = [(m[0], m[1], m[4], m[5], m[6]) for m in ROUTE.findall(text)]
    table = text[text.index("routes[] = {"):text.index("};", text.index("routes[] = {"))]
    assert len(found) == len(re.findall(r"\bhandle_\w+ \}", table)) >= 25, "a line of the table is written in another way"
    return found


class Openapi(unittest.TestCase):
    def test_the_file_and_the_table_are_equal(self):
        server = Server()
        self.addCleanup(server.stop)
        status, served, _ = server.call("GET", "/openapi.json")
        self.assertEqual(status, 200)
        self.assertEqual(served, json.loads((SOURCE / "docs" / "openapi.json").read_text(encoding="utf-8")))
        described = {(method.upper(), path, not operation.get("security", True) == [],
                      any(p["name"] == "matter" for p in operation.get("parameters", [])))
                     for path, operations in served["paths"].items() for method, operation in operations.items()}
        table = {(method, path, need != "NOTHING", right != "NONE" or "{matter}" in path)
                 for method, path, need, right, _ in routes()}
        self.assertEqual(described, table)
        # every $ref has a target, every path parameter a description
        text = json.dumps(served)
        for name in re.findall(r'"#/components/schemas/(\w+)"', text):
            self.assertIn(name, served["components"]["schemas"])
        for path, operations in served["paths"].items():
            for operation in operations.values():
                named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
                self.assertEqual(named, set(re.findall(r"\{(\w+)\}", path)), path)
                self.assertTrue({"200", "201"} & set(operation["responses"]), path)


    def test_the_file_names_what_is_read(self):
        """Each parameter that a handler reads stands in the file, and none that is unknown to it."""
        served = json.loads((SOURCE / "docs" / "openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]
        for schema, places in {"ChatRequest": [("openai_answer.c", "COMMON"), ("openai_chat.c", "PARAMS")],
                               "CompletionRequest": [("openai_answer.c", "COMMON"), ("openai_completions.c", "PARAMS")],
                               "ResponsesRequest": [("responses.c", "PARAMS")], "MessagesRequest": [("anthropic.c", "MESSAGE_PARAMS")],
                               "EmbeddingRequest": [("openai_texts.c", "EMBED_PARAMS")], "RerankRequest": [("openai_texts.c", "RERANK_PARAMS")]}.items():
            known = {}
            for file, table in places:
                text = (SOURCE / "src" / "api" / file).read_text(encoding="utf-8")
                body = re.search(r"struct param %s\[\] = \{(.*?)\n\};" % table, text, re.S).group(1)
                known |= dict(re.findall(r'\{\s*"(\w+)",\s*PARAM_(\w+)', body))
            used = {name for name, kind in known.items() if kind == "USED"}
            described = set(served[schema]["properties"])
            self.assertEqual(used - described, set(), f"{schema} lacks them")
            self.assertEqual(described - set(known), set(), f"{schema} has what no handler knows")


class Rights(unittest.TestCase):
    """Every route as every role, with a matter of the caller's, a foreign one, and one that is not.

    Roles: an administrator, members by key, a member by a browser's session with and without its token, and those who were somebody: a
    key that was taken back, a session that was ended, the key of a user who was removed. Each route is also asked under another
    host's name and from another page."""

    @classmethod
    def setUpClass(cls):
        cls.server = server = Server()
        server.key = {}
        for name, admin in (("boss", True), ("anna", False), ("bert", False)):
            kontor(server.home, "user", "add", name, *(["--admin"] if admin else []))
            server.key[name] = kontor(server.home, "user", "key", name).stdout.strip()
        kontor(server.home, "matter", "create", "Anna ./. Bert")
        kontor(server.home, "matter", "create", "fremd")
        kontor(server.home, "user", "grant", "anna", "--matter", "Anna ./. Bert")
        kontor(server.home, "user", "grant", "bert", "--matter", "fremd", "--write")
        listed = server.call("GET", "/api/matters", key=server.key["boss"])[1]["matters"]
        server.matter = {m["name"]: m["id"] for m in listed}
        kontor(server.home, "user", "passwd", "anna", "--password", text="ein langes Passwort\n")
        server.headers = {"nobody": {}, "wrong key": {"Authorization": "Bearer kt-" + "A" * 43}}
        for name, key in server.key.items():
            server.headers[name] = {"Authorization": "Bearer " + key}
        for role in ("anna's browser", "ended session"):
            who, headers = server.call("POST", "/api/login", {"name": "anna", "password": "ein langes Passwort"})[1:]
            server.headers[role] = {"Cookie": headers["Set-Cookie"].split(";")[0], "X-CSRF-Token": who["csrf_token"]}
        server.headers["no token"] = {"Cookie": server.headers["anna's browser"]["Cookie"]}
        assert server.call("POST", "/api/logout", {}, headers=server.headers["ended session"])[0] == 200
        for role, name in (("key taken back", "anna"), ("removed user", "carl")):
            if name == "carl":
                kontor(server.home, "user", "add", name, "--admin")
            server.headers[role] = {"Authorization": "Bearer " + kontor(server.home, "user", "key", name, "--label", "b").stdout.strip()}
            assert server.call("GET", "/api/session", headers=server.headers[role])[0] == 200
        kontor(server.home, "user", "key", "anna", "--label", "b", "--delete")
        kontor(server.home, "user", "remove", "carl")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log()

    NOBODIES = ("nobody", "wrong key", "ended session", "key taken back", "removed user")
    MEMBERS = ("boss", "anna", "bert", "no token", "anna's browser")

    def expected(self, method, need, right, role, may):
        """The status the gatekeeper gives, or None: the handler's business."""
        if need == "NOTHING":
            return None
        if role in self.NOBODIES:
            return 401
        if role == "no token" and method != "GET":
            return 403
        if need == "ADMIN" and role != "boss":
            return 403
        if right == "NONE":
            return None
        if may == "none":
            return 404
        return 403 if right == "WRITE" and may == "read" else None

    def test_matrix(self):
        tried = 0
        rights = {"bert": {"fremd": "write"}}
        rights["anna"] = rights["no token"] = rights["anna's browser"] = {"Anna ./. Bert": "read"}
        for method, path, need, right, handler in routes():
            if handler in ("matter_destroy", "logout"):
                continue  # have their own tests
            for role in self.NOBODIES + self.MEMBERS:
                for matter in ("Anna ./. Bert", "fremd", "no such") if right != "NONE" else ("no such",):
                    may = rights.get(role, {}).get(matter, "none")
                    mid = self.server.matter.get(matter, "0" * 32)
                    url = re.sub(r"\{\w+\}", "1", path.replace("{matter}", mid))
                    if right != "NONE" and "{matter}" not in path:
                        url += "?matter=" + mid
                    body = {} if method in ("POST", "PUT") else None
                    status, answer, _ = self.server.call(method, url, body, headers=self.server.headers[role])
                    wanted = self.expected(method, need, right, role, may)
                    tried += 1
                    with self.subTest(f"{method} {path} as {role} on '{matter}'"):
                        if wanted:
                            self.assertEqual(status, wanted, answer)
                        else:
                            self.assertNotIn(status, (401, 500, 403), answer)
        self.assertGreater(tried, 500)

    def test_no_route_answers_under_another_name_or_to_another_page(self):
        for method, path, _, _, _ in routes():
            url = re.sub(r"\{\w+\}", "1", path)
            body = {} if method in ("POST", "PUT") else None
            for bad, wanted in (({"Host": "evil.example"}, 421), ({"Origin": "http://evil.example"}, 403),
                                ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403)):
                headers = {**self.server.headers["anna's browser"], **bad}
                self.assertEqual(self.server.call(method, url, body, headers=headers)[0], wanted, f"{method} {path} {bad}")
        # a key in the address would stand in logs and histories: it is none
        self.assertEqual(self.server.call("GET", "/api/session?key=" + self.server.key["anna"])[0], 401)

    def test_a_matter_of_others_is_not_even_there(self):
        for name, sees in (("anna", ["Anna ./. Bert"]), ("bert", ["fremd"])):
            listed = self.server.call("GET", "/api/matters", key=self.server.key[name])[1]["matters"]
            self.assertEqual([m["name"] for m in listed], sees)
        listed = self.server.call("GET", "/api/matters", key=self.server.key["boss"])[1]["matters"]
        for m in listed:
            if m["name"] in self.server.matter:
                self.assertEqual(m["right"], "none")
                self.assertNotIn("documents", m)
        a = self.server.call("GET", "/api/documents?matter=" + self.server.matter["fremd"], key=self.server.key["anna"])
        b = self.server.call("GET", "/api/documents?matter=" + "0" * 32, key=self.server.key["anna"])
        self.assertEqual(a[:2], b[:2])

    def test_rights_are_given_and_taken(self):
        mid, boss, bert = self.server.matter["Anna ./. Bert"], self.server.key["boss"], self.server.key["bert"]
        for right, status in (("read", 200), ("none", 404)):
            given = self.server.call("PUT", f"/api/matters/{mid}/rights", {"user": "bert", "right": right}, boss)
            self.assertEqual(given[0], 200, given)
            self.assertEqual(self.server.call("GET", "/api/documents?matter=" + mid, key=bert)[0], status)
        self.assertEqual(self.server.call("PUT", f"/api/matters/{mid}/rights", {"user": "nobody", "right": "read"}, boss)[0], 404)
        self.assertEqual(self.server.call("PUT", f"/api/matters/{'0' * 32}/rights", {"user": "bert", "right": "read"}, boss)[0], 404)

    def test_a_matter_made_again_under_its_name_is_another(self):
        boss, anna = self.server.key["boss"], self.server.key["anna"]
        status, made, _ = self.server.call("POST", "/api/matters", {"name": "kurz"}, boss)
        self.assertEqual((status, made["right"]), (201, "write"))
        self.assertEqual(self.server.call("POST", "/api/matters", {"name": "kurz"}, boss)[0], 409)
        kontor(self.server.home, "user", "grant", "anna", "--matter", "kurz", "--write")
        self.assertEqual(self.server.call("GET", "/api/documents?matter=" + made["id"], key=anna)[0], 200)
        self.assertEqual(self.server.call("DELETE", "/api/matters/" + made["id"], key=anna)[0], 403)
        self.assertEqual(self.server.call("DELETE", "/api/matters/" + made["id"], key=boss)[0], 200)
        self.assertEqual(self.server.call("GET", "/api/documents?matter=" + made["id"], key=anna)[0], 404)
        again = self.server.call("POST", "/api/matters", {"name": "kurz"}, boss)[1]
        self.assertNotEqual(again["id"], made["id"])
        self.assertEqual(self.server.call("GET", "/api/documents?matter=" + again["id"], key=anna)[0], 404)

    def test_keys_end(self):
        key = kontor(self.server.home, "user", "key", "anna", "--label", "zweiter").stdout.strip()
        self.assertEqual(self.server.call("GET", "/api/session", key=key)[1]["user"], "anna")
        self.assertEqual(self.server.call("GET", "/api/session", headers={"X-Api-Key": key})[1]["user"], "anna")
        kontor(self.server.home, "user", "key", "anna", "--label", "zweiter", "--delete")
        self.assertEqual(self.server.call("GET", "/api/session", key=key)[0], 401)
        for bad in ("", " ", key[:-1], key + "A", key.lower(), "Bearer " + key):
            self.assertEqual(self.server.call("GET", "/api/session", key=bad or " ")[0], 401)

    def test_secrets_are_not_on_the_disk_and_not_in_the_log(self):
        data = b"".join(p.read_bytes() for p in self.server.home.rglob("*") if p.is_file())
        for key in self.server.key.values():
            self.assertNotIn(key.encode(), data)
            self.assertNotIn(key[3:20], self.server.log())
        self.assertNotIn(b"SQLite format", (self.server.home / "access.db").read_bytes())
        self.assertEqual((self.server.home / "access.db").stat().st_mode & 0o777, 0o600)


class Browser(unittest.TestCase):
    """Passwords, sessions, and what other pages may not do."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        kontor(cls.server.home, "user", "add", "anna", "--admin", "--password", text="ein langes Passwort\n")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log()

    def test_a_session(self):
        origin = {"Origin": self.server.url, "Sec-Fetch-Site": "same-origin"}
        login = {"name": "anna", "password": "ein langes Passwort"}
        status, who, headers = self.server.call("POST", "/api/login", login, headers=origin)
        self.assertEqual(status, 200, who)
        cookie = headers["Set-Cookie"]
        for word in ("HttpOnly", "SameSite=Strict", "Path=/"):
            self.assertIn(word, cookie)
        h = {**origin, "Cookie": cookie.split(";")[0]}
        self.assertEqual(self.server.call("GET", "/api/session", headers=h)[1]["user"], "anna")
        # a cookie alone changes nothing
        self.assertEqual(self.server.call("POST", "/api/matters", {"name": "a"}, headers=h)[0], 403)
        self.assertEqual(self.server.call("POST", "/api/matters", {"name": "a"}, headers={**h, "X-CSRF-Token": "A" * 43})[0], 403)
        h["X-CSRF-Token"] = who["csrf_token"]
        self.assertEqual(self.server.call("POST", "/api/matters", {"name": "a"}, headers=h)[0], 201)
        for other in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
                      {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            self.assertEqual(self.server.call("GET", "/api/session", headers={**h, **other})[0], 403, other)
        self.assertEqual(self.server.call("GET", "/api/session", headers={**h, "Host": "evil.example"})[0], 421)
        self.assertEqual(self.server.call("POST", "/api/logout", {}, headers=h)[0], 200)
        self.assertEqual(self.server.call("GET", "/api/session", headers=h)[0], 401)

    def test_too_many_tries(self):
        seen = []
        for i in range(8):
            status, _, headers = self.server.call("POST", "/api/login", {"name": "nobody", "password": f"geraten {i}"})
            seen.append(status)
        self.assertEqual(seen[:5], [401] * 5)
        self.assertIn(429, seen[5:])
        self.assertNotIn("geraten", self.server.log())


class Models(unittest.TestCase):
    """Answers, parameters and cancelling, with the small models."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(models=True)

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log()

    def chat(self, messages, **more):
        return self.server.call("POST", "/v1/chat/completions",
                                {"model": CHAT, "messages": messages, "temperature": 0, "max_tokens": 4, **more})

    def test_the_next_message_costs_only_its_own_tokens(self):
        talk = [{"role": "user", "content": "Count: one, two,"}]
        first = self.chat(talk, max_tokens=8)[1]
        # the layout's own beginning may have been read for another test
        self.assertLess(first["usage"]["prompt_tokens_details"]["cached_tokens"], first["usage"]["prompt_tokens"] - 8)
        self.assertEqual(first["choices"][0]["finish_reason"], "length", first)
        talk += [first["choices"][0]["message"], {"role": "user", "content": "And more?"}]
        for m in talk:
            m.pop("refusal", None)
        second = self.chat(talk)[1]
        used = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"] - 1
        self.assertEqual(second["usage"]["prompt_tokens_details"]["cached_tokens"], used)

    def test_streams_and_whole_answers_are_equal(self):
        talk = [{"role": "user", "content": "Say hi"}]
        whole = self.chat(talk)[1]["choices"][0]["message"]["content"]
        status, text, headers = self.chat(talk, stream=True, stream_options={"include_usage": True})
        self.assertEqual((status, headers["Content-Type"]), (200, "text/event-stream; charset=utf-8"))
        got = [data for _, data in events(text)]
        self.assertEqual(got[-1], "[DONE]")
        chunks = [json.loads(d) for d in got[:-1]]
        self.assertEqual("".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]), whole)
        self.assertEqual(chunks[-1]["usage"]["completion_tokens"], 4)

    def test_parameters_that_are_refused_are_named(self):
        talk = [{"role": "user", "content": "a"}]
        for name, value, code in [
            ("tools", [{"type": "function", "function": {"name": "f", "parameters": {}}}], "unsupported_parameter"),
            ("tool_choice", "required", "invalid_value"),  # of no tools
            ("tool_choice", {"type": "function"}, "invalid_value"),
            ("tool_choice", 1, "invalid_value"),
            ("response_format", {"type": "json_schema"}, "invalid_value"),
            ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "http://example.com/x"}}}, "invalid_value"),
            ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}, "invalid_value"),
            ("response_format", {"type": "regex", "pattern": "("}, "invalid_value"),
            ("response_format", {"type": "regex"}, "invalid_value"),
            ("response_format", {"type": "grammar", "grammar": "root ::= x"}, "invalid_value"),
            ("response_format", {"type": "choice", "choices": []}, "invalid_value"),
            ("response_format", {"type": "choice", "choices": [1]}, "invalid_value"),
            ("response_format", {"type": "much"}, "invalid_value"),
            ("response_format", "json", "invalid_value"),
            ("logprobs", 3, "invalid_type"),
            ("top_logprobs", 2, "invalid_value"),
            ("reasoning_effort", "much", "invalid_value"),
            ("thinking_budget", 0, "invalid_value"),
            ("parallel_tool_calls", 1, "invalid_type"),
            ("frequency_penalty", 2.5, "invalid_value"),
            ("logit_bias", [5], "invalid_value"),
            ("logit_bias", {"5": 101}, "invalid_value"),
            ("logit_bias", {"5": "much"}, "invalid_value"),
            ("logit_bias", {"05": 1}, "invalid_value"),
            ("logit_bias", {"word": 1}, "invalid_value"),
            ("logit_bias", {"49152": 1}, "invalid_value"),  # one more than the model has
            ("logit_bias", {str(i): 1 for i in range(1025)}, "invalid_value"),
            ("store", True, "unsupported_parameter"),
            ("nonsense", 1, "unknown_parameter"),
            ("temperature", 3, "invalid_value"),
            ("temperature", "hot", "invalid_value"),
            ("temperature", -1, "invalid_value"),
            ("max_tokens", 0, "invalid_value"),
            ("max_tokens", -1, "invalid_value"),
            ("max_tokens", 2**31, "invalid_value"),
            ("max_tokens", 2**53 + 1, "invalid_value"),
            ("max_tokens", 1.5, "invalid_value"),
            ("n", 9, "invalid_value"),
            ("n", 0, "invalid_value"),
            ("seed", 1.5, "invalid_value"),
            ("stop", [""], "invalid_value"),
            ("stop", ["a"] * 17, "invalid_value"),
            ("stop", [1], "invalid_value"),
            ("stream", "yes", "invalid_type"),
            ("stream_options", {"include_usage": True}, "invalid_value"),
            ("model", "gpt-4", "model_not_found"),
            ("model", EMBED, "model_not_supported"),
        ]:
            with self.subTest(f"{name}={value}"):
                status, answer, _ = self.chat(talk, **{name: value})
                self.assertEqual(status, 404 if code == "model_not_found" else 400, answer)
                self.assertEqual((answer["error"]["code"], answer["error"]["param"]), (code, name), answer)
        for harmless in ({"user": "me"}, {"logit_bias": None}, {"logprobs": False}, {"tools": []}, {"store": None},
                         {"response_format": {"type": "text"}}, {"metadata": {"a": "b"}}):
            self.assertEqual(self.chat(talk, max_tokens=1, **harmless)[0], 200, harmless)

    def test_what_a_message_cannot_say_is_not_counted(self):
        talk = {"model": CHAT, "messages": [{"role": "user", "content": "a"}]}
        self.assertEqual(self.server.call("POST", "/v1/messages/count_tokens", talk)[0], 200)
        for bad in ({"output_config": 138}, {"output_format": 5}, {"output_config": {"format": {"type": "much"}}}):
            self.assertEqual(self.server.call("POST", "/v1/messages/count_tokens", {**talk, **bad})[0], 400, bad)

    def test_biases_and_penalties(self):
        talk = [{"role": "user", "content": "Say something about contracts."}]
        ask = {"max_tokens": 12, "temperature": 0}
        text = lambda **more: self.chat(talk, **{**ask, **more})[1]["choices"][0]["message"]["content"]
        free = text()
        self.assertEqual(text(logit_bias={}, frequency_penalty=0), free)
        # the one token that 100 leaves, again and again; every answer also begins without the one that -100 takes away
        ids = self.server.call("POST", "/tokenize", {"content": " law", "model": CHAT})[1]["tokens"]
        self.assertEqual(len(ids), 1)
        self.assertEqual(text(logit_bias={str(ids[0]): 100}), " law" * 12)
        first = self.server.call("POST", "/tokenize", {"content": free, "model": CHAT})[1]["tokens"][0]
        without = text(logit_bias={str(first): -100})
        self.assertNotEqual(self.server.call("POST", "/tokenize", {"content": without, "model": CHAT})[1]["tokens"][0], first)
        # a word that comes for the n-th time has lost n times as much
        often = {"logit_bias": {str(ids[0]): 30}, "max_tokens": 20}
        self.assertEqual(text(**often), " law" * 20)
        self.assertLess(text(frequency_penalty=2, **often).count(" law"), 20)  # 30 - 2 * 19 < 0
        # what a form forbids stays forbidden
        form = {"response_format": {"type": "choice", "choices": ["yes", "no"]}}
        self.assertIn(text(logit_bias={str(ids[0]): 100}, **form), ("yes", "no"))

    def test_conversations_that_are_none(self):
        for talk in ([], "a", [1], [{"role": "user"}] * 5000, [{"role": "king", "content": "a"}],
                     [{"role": "tool", "content": "a"}], [{"role": "user", "content": [{"type": "image_url"}]}],
                     [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}]}],
                     [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}],
                     [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": 1}}]}],
                     [{"role": "user", "content": 1}], None):
            self.assertEqual(self.chat(talk)[0], 400, talk)
        status, answer, _ = self.chat([{"role": "user", "content": "word " * 2000}])
        self.assertEqual((status, answer["error"]["code"]), (400, "context_length_exceeded"))

    def test_tokens(self):
        text = "Grüße, 世界 <|im_end|>"
        tokens = self.server.call("POST", "/tokenize", {"content": text})[1]["tokens"]
        self.assertEqual(self.server.call("POST", "/detokenize", {"tokens": tokens})[1]["content"], text)
        special = self.server.call("POST", "/tokenize", {"content": "<|im_end|>", "special": True})[1]["tokens"]
        self.assertEqual(len(special), 1)
        for bad in ([-1], [2**31], [10**6], ["a"], "a"):
            self.assertEqual(self.server.call("POST", "/detokenize", {"tokens": bad})[0], 400)

    def test_a_client_that_leaves_stops_the_work(self):
        for stream in (True, False):
            body = json.dumps({"model": CHAT, "stream": stream, "max_tokens": 900, "temperature": 1.5,
                               "messages": [{"role": "user", "content": "Write without end."}]}).encode()
            before = self.server.metric("generations_cancelled_total")
            s = self.server.connect()
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            if stream:
                s.recv(100)
            self.server.wait_metric("queue_running", 1)
            s.close()
            self.server.wait_metric("queue_running", 0)
            self.assertEqual(self.server.metric("generations_cancelled_total"), before + 1)
            self.server.wait_metric("http_handlers", 1)

    def test_who_leaves_before_being_looked_at_is_not_worked_for(self):
        """The request and the client's end arrive together: there is no second sign of it. (They were worked for to the last token.)"""
        body = json.dumps({"model": CHAT, "max_tokens": 900, "temperature": 1.5, "messages": [{"role": "user", "content": "Write without end."}]}).encode()
        for _ in range(40):
            with self.server.connect() as s:
                s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        before = self.server.metric("generated_tokens_total")
        self.server.wait_metric("http_handlers", 1)
        # forty whole answers would be tens of thousands of tokens
        self.assertLess(self.server.metric("generated_tokens_total") - before, 4000)

    def test_metrics_are_well_formed(self):
        text = self.server.call("GET", "/metrics")[1]
        names = re.findall(r"^# HELP (\S+) \S", text, re.M)
        self.assertEqual(names, [t.split()[2] for t in text.splitlines() if t.startswith("# TYPE")])
        for line in text.splitlines():
            if not line.startswith("#"):
                self.assertRegex(line, r'^kontor_[a-z_]+(\{[a-z]+="[\w.]+"\})? [0-9.e+-]+$')
        for counter in re.findall(r"^# TYPE (\S+) counter", text, re.M):
            self.assertTrue(counter.endswith("_total"), counter)


class Tools(unittest.TestCase):
    """Thoughts and calls of tools, in both dialects, whole and streamed: what the model writes is known."""

    SCRIPT = ["<think>\nHm", "m.\n</th", "ink>\n\nLet me", " look.", "\n<tool_call>\n<func", "tion=get_weather>\n<para",
              "meter=city>\nMün", "chen\n</parameter>\n<parameter=days>\n3\n</para", "meter>\n</function>\n</tool_call>"]
    SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    ARGUMENTS = {"city": "München", "days": 3}

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory(prefix="kontor-scripted-")
        scripted_model.write(cls.dir.name + "/scripted", cls.SCRIPT)
        cls.server = Server("-m", cls.dir.name + "/scripted", "--ctx", "2048", "--memory", "100")

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        cls.dir.cleanup()
        assert code == 0, cls.server.log()

    def openai(self, messages=None, **more):
        tool = {"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": self.SCHEMA}}
        body = {"model": "scripted", "messages": messages or [{"role": "user", "content": "Weather?"}], "tools": [tool], **more}
        status, answer, _ = self.server.call("POST", "/v1/chat/completions", body)
        self.assertEqual(status, 200, answer)
        return answer

    def anthropic(self, path="/v1/messages", messages=None, **more):
        tool = {"name": "get_weather", "description": "d", "input_schema": self.SCHEMA}
        body = {"model": "scripted", "max_tokens": 100, "messages": messages or [{"role": "user", "content": "Weather?"}],
                "tools": [tool], **more}
        status, answer, _ = self.server.call("POST", path, body)
        self.assertEqual(status, 200, answer)
        return answer

    def test_openai(self):
        whole = self.openai()["choices"][0]
        message = whole["message"]
        self.assertEqual(whole["finish_reason"], "tool_calls")
        self.assertEqual((message["content"], message["reasoning_content"]), ("Let me look.", "Hmm."))
        call = message["tool_calls"][0]
        self.assertEqual((call["type"], call["function"]["name"]), ("function", "get_weather"))
        self.assertEqual(json.loads(call["function"]["arguments"]), self.ARGUMENTS)
        text, thought, calls, reasons = "", "", [], []
        for _, data in events(self.openai(stream=True))[:-1]:
            choice = json.loads(data)["choices"][0]
            text += choice["delta"].get("content") or ""
            thought += choice["delta"].get("reasoning_content") or ""
            calls += choice["delta"].get("tool_calls", [])
            reasons.append(choice["finish_reason"])
        self.assertEqual((text, thought, reasons[-1]), ("Let me look.", "Hmm.", "tool_calls"))
        self.assertEqual([(c["index"], json.loads(c["function"]["arguments"])) for c in calls], [(0, self.ARGUMENTS)])

    def test_anthropic(self):
        whole = self.anthropic()
        self.assertEqual(whole["stop_reason"], "tool_use")
        self.assertEqual([b["type"] for b in whole["content"]], ["thinking", "text", "tool_use"])
        self.assertEqual((whole["content"][2]["name"], whole["content"][2]["input"]), ("get_weather", self.ARGUMENTS))
        got = [(name, json.loads(data)) for name, data in events(self.anthropic(stream=True))]
        self.assertTrue(all(name == data["type"] for name, data in got))
        starts = [(d["index"], d["content_block"]["type"]) for n, d in got if n == "content_block_start"]
        self.assertEqual(starts, [(0, "thinking"), (1, "text"), (2, "tool_use")])
        self.assertEqual([d["index"] for n, d in got if n == "content_block_stop"], [0, 1, 2])
        deltas = [d["delta"] for n, d in got if n == "content_block_delta"]
        self.assertEqual("".join(d.get("thinking", "") for d in deltas), "Hmm.")
        self.assertEqual("".join(d.get("text", "") for d in deltas), "Let me look.")
        self.assertEqual(json.loads("".join(d.get("partial_json", "") for d in deltas)), self.ARGUMENTS)
        self.assertEqual([d["delta"]["stop_reason"] for n, d in got if n == "message_delta"], ["tool_use"])

    def test_responses(self):
        tool = {"type": "function", "name": "get_weather", "description": "d", "parameters": self.SCHEMA}
        body = {"model": "scripted", "input": "Weather?", "tools": [tool]}
        whole = self.server.call("POST", "/v1/responses", body)[1]
        self.assertEqual([i["type"] for i in whole["output"]], ["reasoning", "message", "function_call"])
        self.assertEqual(whole["output"][1]["content"][0]["text"], "Let me look.")
        self.assertEqual(json.loads(whole["output"][2]["arguments"]), self.ARGUMENTS)
        got = [(n, json.loads(d)) for n, d in events(self.server.call("POST", "/v1/responses", {**body, "stream": True})[1])]
        self.assertEqual([d["sequence_number"] for _, d in got], list(range(len(got))))
        self.assertTrue(all(n == d["type"] for n, d in got))
        self.assertEqual((got[0][0], got[-1][0]), ("response.created", "response.completed"))
        without_ids = lambda items: [{k: v for k, v in i.items() if k not in ("id", "call_id")} for i in items]
        self.assertEqual(without_ids(got[-1][1]["response"]["output"]), without_ids(whole["output"]))
        done = [d["item"] for n, d in got if n == "response.output_item.done"]
        self.assertEqual(done, got[-1][1]["response"]["output"])
        # the same conversation as in the older route is the same prompt
        items = [{"role": "user", "content": "Weather?"}, whole["output"][1], whole["output"][2],
                 {"type": "function_call_output", "call_id": whole["output"][2]["call_id"], "output": "12 degrees"}]
        n = self.server.call("POST", "/v1/responses", {**body, "input": items, "max_output_tokens": 1})[1]["usage"]["input_tokens"]
        call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": json.dumps(self.ARGUMENTS)}}
        older = self.openai([{"role": "user", "content": "Weather?"},
                             {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
                             {"role": "tool", "content": "12 degrees"}], max_tokens=1)
        self.assertEqual(older["usage"]["prompt_tokens"], n)
        for bad in ({"input": []}, {"input": [1]}, {"input": [{"type": "file_search_call"}]}, {"store": 1}, {"include": ["x"]},
                    {"metadata": {"a": 1}}, {"top_logprobs": 21}, {"reasoning": {"effort": "much"}}, {"previous_response_id": 7},
                    {"tools": [{"type": "web_search"}]}, {"text": {"format": {"type": "json_schema"}}}):
            self.assertEqual(self.server.call("POST", "/v1/responses", {**body, **bad})[0], 400, bad)

    def test_what_was_called_and_answered_goes_back(self):
        """The same conversation in both dialects is the same prompt; without the tools it is a shorter one."""
        call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": json.dumps(self.ARGUMENTS)}}
        openai = [{"role": "user", "content": "Weather?"},
                  {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
                  {"role": "tool", "tool_call_id": "1", "content": "12 degrees"}]
        anthropic = [{"role": "user", "content": "Weather?"},
                     {"role": "assistant", "content": [{"type": "text", "text": "Let me look."},
                                                       {"type": "tool_use", "id": "1", "name": "get_weather", "input": self.ARGUMENTS}]},
                     {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "12 degrees"}]}]
        a = self.openai(openai, max_tokens=1)["usage"]["prompt_tokens"]
        self.assertEqual(self.anthropic("/v1/messages/count_tokens", anthropic)["input_tokens"], a)
        self.assertLess(self.openai(openai, max_tokens=1, tool_choice="none")["usage"]["prompt_tokens"], a)
        thinking = self.openai(chat_template_kwargs={"enable_thinking": True}, max_tokens=1)["usage"]["prompt_tokens"]
        self.assertNotEqual(self.openai(reasoning_effort="none", max_tokens=1)["usage"]["prompt_tokens"], thinking)

    def test_a_thought_ends_when_it_has_had_its_tokens(self):
        """After one token, "<think>\\nHm", it is closed for the model, which begins anew after the new line that ends it."""
        free = self.openai()
        self.assertEqual(free["usage"]["completion_tokens_details"]["reasoning_tokens"], 3)
        bounded = self.openai(thinking_budget=1, max_tokens=40)
        message = bounded["choices"][0]["message"]
        self.assertEqual(message["reasoning_content"], "Hm")
        self.assertTrue(message["content"].endswith("Let me look."), message)
        self.assertEqual(bounded["choices"][0]["finish_reason"], "tool_calls")
        thought = bounded["usage"]["completion_tokens_details"]["reasoning_tokens"]
        self.assertLess(thought, bounded["usage"]["completion_tokens"])
        whole = self.anthropic(thinking={"type": "enabled", "budget_tokens": 1})
        self.assertEqual(whole["content"][0]["thinking"], "<think>\nHm")  # this prompt ends in a thought, the mark is of its text
        got = [json.loads(data) for _, data in events(self.anthropic(thinking={"type": "enabled", "budget_tokens": 1}, stream=True))]
        self.assertEqual("".join(d["delta"].get("thinking", "") for d in got if d["type"] == "content_block_delta"), "<think>\nHm")
        answer = self.server.call("POST", "/v1/responses", {"model": "scripted", "input": "Weather?", "thinking_budget": 1, "max_output_tokens": 40})[1]
        self.assertEqual(answer["output"][0]["content"][0]["text"], "Hm", answer)
        self.assertEqual(self.server.call("POST", "/v1/responses", {"model": "scripted", "input": "a", "thinking_budget": 0})[0], 400)
        for bad in ({"type": "enabled"}, {"type": "enabled", "budget_tokens": 100}, {"type": "much"}):
            status, answer, _ = self.server.call("POST", "/v1/messages", {
                "model": "scripted", "max_tokens": 100, "messages": [{"role": "user", "content": "a"}], "thinking": bad})
            self.assertEqual((status, answer["error"]["type"]), (400, "invalid_request_error"), answer)
            self.assertIn("thinking", answer["error"]["message"])

    def test_one_call_at_a_time(self):
        """A model that calls without end is stopped after the first call when the client wants no more."""
        with tempfile.TemporaryDirectory(prefix="kontor-scripted-") as d:
            call = "<tool_call>\n<function=get_weather>\n<parameter=city>\n%s\n</parameter>\n</function>\n</tool_call>"
            scripted_model.write(d + "/twice", [call % "Bonn", call % "Ulm"])
            server = Server("-m", d + "/twice", "--ctx", "2048", "--memory", "100")
            self.addCleanup(server.stop)
            tool = {"name": "get_weather", "description": "d", "parameters": self.SCHEMA}
            talk = [{"role": "user", "content": "Weather?"}]
            for parallel in (True, False):
                n = 2 if parallel else 1
                body = {"model": "twice", "messages": talk, "tools": [{"type": "function", "function": tool}],
                        "parallel_tool_calls": parallel}
                choice = server.call("POST", "/v1/chat/completions", body)[1]["choices"][0]
                self.assertEqual((len(choice["message"]["tool_calls"]), choice["finish_reason"]), (n, "tool_calls"))
                body = {"model": "twice", "input": "Weather?", "tools": [{"type": "function", **tool}], "parallel_tool_calls": parallel}
                answer = server.call("POST", "/v1/responses", body)[1]
                self.assertEqual([i["type"] for i in answer["output"]], ["function_call"] * n, answer)
                self.assertIs(answer["parallel_tool_calls"], parallel)
                body = {"model": "twice", "messages": talk, "max_tokens": 50, "tools": [{"name": "get_weather", "input_schema": self.SCHEMA}],
                        "tool_choice": {"type": "auto", "disable_parallel_tool_use": not parallel}}
                answer = server.call("POST", "/v1/messages", body)[1]
                self.assertEqual(([b["type"] for b in answer["content"]], answer["stop_reason"]), (["tool_use"] * n, "tool_use"))
            self.assertEqual(server.metric("queue_running"), 0)

    def test_tools_that_are_none(self):
        for tools in ("a", [1], [{"type": "function"}], [{"function": {"name": 1}}]):
            body = {"model": "scripted", "messages": [{"role": "user", "content": "a"}], "tools": tools}
            self.assertEqual(self.server.call("POST", "/v1/chat/completions", body)[0], 400, tools)
            self.assertEqual(self.server.call("POST", "/v1/messages", {**body, "max_tokens": 1})[0], 400, tools)


class Office(unittest.TestCase):
    """Search and ask over HTTP, the wall between matters, deleting."""

    def test_documents_search_ask_and_forgetting(self):
        samples = SOURCE / "tests" / "data" / "documents"
        server = Server("--root", samples, models="embed")  # with the model that writes: test_serve_clients.py
        self.addCleanup(server.stop)
        mid = server.call("POST", "/api/matters", {"name": "Miete"})[1]["id"]
        other = server.call("POST", "/api/matters", {"name": "leer"})[1]["id"]
        for path in ("/etc/hostname", str(samples) + "/../../../README.md", "/nope"):
            self.assertEqual(server.call("POST", "/api/documents?matter=" + mid, {"path": path})[0], 403)
        status, text, _ = server.call("POST", "/api/documents?matter=" + mid, {"path": str(samples / "lease.txt")})
        name, data = events(text)[-1]
        self.assertEqual((status, name, json.loads(data)["indexed"]), (200, "done", 1), text)
        documents = server.call("GET", "/api/documents?matter=" + mid)[1]["documents"]
        self.assertEqual([pathlib.Path(d["path"]).name for d in documents], ["lease.txt"])
        found = server.call("POST", "/api/search?matter=" + mid, {"query": "Gesamtfläche", "k": 3})[1]["hits"]
        self.assertTrue(found)
        self.assertEqual(server.call("POST", "/api/search?matter=" + other, {"query": "Gesamtfläche"})[1]["hits"], [])
        question = {"question": "Wie groß ist die Gesamtfläche der vermieteten Räume?", "passages": 1}
        stream = events(server.call("POST", "/api/ask?matter=" + mid, {**question, "stream": True})[1])
        self.assertEqual(stream[-1][0], "answer")
        answer = json.loads(stream[-1][1])
        nothing = server.call("POST", "/api/ask?matter=" + other, question)[1]
        self.assertEqual((nothing["supported"], nothing["citations"]), (False, []))
        for c in answer["citations"]:
            self.assertIn(" ".join(c["quote"].split()), " ".join((samples / "lease.txt").read_text().split()))
        # sent instead of pointed at: nothing of it lies on a disk in the clear
        letter = (samples / "letter.libreoffice.pdf").read_bytes()
        for _ in range(2):
            sent = server.call("PUT", f"/api/documents?matter={other}&name=Aufz%C3%BCge%202.pdf", letter)
            self.assertEqual(sent[:2], (200, {"indexed": True, "path": "/upload/Aufzüge 2.pdf", "reason": None}))
        # kept as it came: to be saved, and to be read again
        document = server.call("GET", "/api/documents?matter=" + other)[1]["documents"][0]
        self.assertTrue(document["has_file"])
        at = f"/api/matters/{other}/documents/{document['id']}"
        raw = server.raw(f"GET {at}/file HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, saved = raw.partition(b"\r\n\r\n")
        self.assertEqual(saved, letter)
        self.assertIn(b"Content-Disposition: attachment; filename*=UTF-8''Aufz%C3%BCge%202.pdf", head)
        self.assertIn(b"Content-Type: application/octet-stream", head)
        self.assertEqual(server.call("POST", at + "/reindex", {})[:2], (200, {"indexed": True, "path": "/upload/Aufzüge 2.pdf", "reason": None}))
        self.assertEqual(server.call("GET", at + "/file")[0], 404, "a document that was read again is a new one")
        again = server.call("GET", "/api/documents?matter=" + other)[1]["documents"][0]
        self.assertEqual((again["has_file"], again["chunks"]), (True, document["chunks"]))
        for path in (f"/api/matters/{mid}/documents/{again['id']}", f"/api/matters/{other}/documents/x", f"/api/matters/{other}/documents/99"):
            self.assertEqual(server.call("GET", path + "/file")[0], 404)
            self.assertEqual(server.call("POST", path + "/reindex", {})[0], 404)
        # what lies in a folder is not kept: the folder has it
        self.assertFalse(documents[0]["has_file"])
        self.assertEqual(server.call("GET", f"/api/matters/{mid}/documents/{documents[0]['id']}/file")[0], 404)
        found_there = server.call("POST", "/api/search?matter=" + other, {"query": "Wartungsvertrag", "k": 3})[1]["hits"]
        self.assertEqual({h["path"] for h in found_there}, {"/upload/Aufzüge 2.pdf"})
        self.assertGreater(found_there[0]["page"], 0)
        refused = server.call("PUT", f"/api/documents?matter={other}&name=x.bin", bytes(range(256)) * 10)[1]
        unread = [d for d in server.call("GET", "/api/documents?matter=" + other)[1]["documents"] if d["path"].endswith("x.bin")][0]
        self.assertEqual((unread["state"], unread["has_file"]), ("skipped", True), "kept for a better reader")
        self.assertFalse(refused["indexed"])
        self.assertTrue(refused["reason"])
        for name in ("", "..%2Fx", ".x", "a%2Fb", "a%0Ab", "a" * 300):
            self.assertEqual(server.call("PUT", f"/api/documents?matter={other}&name={name}", b"x")[0], 400, name)
        self.assertEqual(list(pathlib.Path("/dev/shm").glob(f"kontor-{server.process.pid}-*")), [])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            sent = list(pool.map(lambda i: server.call("PUT", f"/api/documents?matter={other}&name={i}.txt", f"Text {i}".encode())[0], range(4)))
        self.assertEqual(sent, [200] * 4)
        removed = server.call("DELETE", f"/api/documents/999?matter={mid}")
        self.assertEqual(removed[0], 404)
        removed = server.call("DELETE", f"/api/documents/{documents[0]['id']}?matter={mid}")
        self.assertEqual(removed[0], 200)
        self.assertEqual(server.call("POST", "/api/search?matter=" + mid, {"query": "Gesamtfläche"})[1]["hits"], [])
        self.assertNotIn("Gesamtfläche", server.log())


    def test_what_a_killed_server_left_in_memory_goes(self):
        dead = subprocess.Popen(["true"])
        dead.wait()
        left = [pathlib.Path(tempfile.mkdtemp(prefix=f"kontor-{pid}-", dir="/dev/shm")) for pid in (dead.pid, os.getpid())]
        for folder in left:
            (folder / "letter.txt").write_text("in the clear")
        server = Server()
        self.addCleanup(server.stop)
        self.assertEqual([f.exists() for f in left], [False, True], "of those that live nothing is taken")
        shutil.rmtree(left[1])


class Ranker(unittest.TestCase):
    def test_three_models_side_by_side(self):
        """A ranking model beside the finding one: the same weights under another name, so that the scores are known."""
        with tempfile.TemporaryDirectory(prefix="kontor-ranker-") as d:
            os.symlink(EMBED_MODEL, d + "/ranker")
            server = Server("--rerank-model", d + "/ranker", models="embed")
            self.addCleanup(server.stop)
            self.assertEqual([m["id"] for m in server.call("GET", "/v1/models")[1]["data"]], [EMBED, "ranker"])
            body = {"query": "Wie hoch ist die Miete?", "documents": ["Der Himmel ist blau.", "Die Miete beträgt 900 Euro."], "top_n": 1,
                    "return_documents": True}
            a, b = (server.call("POST", "/v1/rerank", {**body, "model": m})[1] for m in (EMBED, "ranker"))
            self.assertEqual((a["model"], b["model"]), (EMBED, "ranker"))
            self.assertEqual(a["results"], b["results"])
            self.assertEqual([(r["index"], r["document"]["text"]) for r in a["results"]], [(1, body["documents"][1])])
            for model, status in (("ranker", 400), ("nope", 404)):
                self.assertEqual(server.call("POST", "/v1/embeddings", {"model": model, "input": "a"})[0], status)


class Neighbours(unittest.TestCase):
    """Users at once, fairly, and never one's tokens for another."""

    def test_several_users(self):
        server = Server("--waiting", "3", models=True)
        self.addCleanup(server.stop)
        keys = []
        for name in ("anna", "bert"):
            kontor(server.home, "user", "add", name)
            keys.append(kontor(server.home, "user", "key", name).stdout.strip())

        def ask(key, n=4, text="The secret word is tulip. What is it?"):
            body = {"model": CHAT, "temperature": 0, "max_tokens": n, "messages": [{"role": "user", "content": text}]}
            return server.call("POST", "/v1/chat/completions", body, key)

        first = ask(keys[0], n=1)
        again = ask(keys[0], n=1)
        foreign = ask(keys[1], n=1)
        cached = [a[1]["usage"]["prompt_tokens_details"]["cached_tokens"] for a in (first, again, foreign)]
        self.assertEqual(cached[0], 0)
        self.assertGreater(cached[1], 10)
        self.assertEqual(cached[2], 0, "another user's tokens were used")
        self.assertEqual(foreign[1]["choices"], first[1]["choices"])
        # more at once than may wait: some are told to come back, nobody hangs
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            answers = list(pool.map(lambda i: ask(keys[i % 2], n=3), range(9)))
        statuses = [a[0] for a in answers]
        self.assertTrue(set(statuses) <= {200, 503}, statuses)
        self.assertGreaterEqual(statuses.count(200), 3)
        self.assertEqual(len({a[1]["choices"][0]["message"]["content"] for a in answers if a[0] == 200}), 1)
        for a in answers:
            if a[0] == 503:
                self.assertEqual(a[2]["Retry-After"], "1")

    def test_it_lets_what_runs_finish(self):
        server = Server(models=True)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            body = {"model": CHAT, "max_tokens": 12, "seed": 1, "messages": [{"role": "user", "content": "Count to ten."}]}
            running = pool.submit(server.call, "POST", "/v1/chat/completions", body)
            server.wait_metric("queue_running", 1)
            self.assertEqual(server.stop(), 0)
            self.assertEqual(running.result()[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
