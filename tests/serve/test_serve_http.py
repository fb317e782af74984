#!/usr/bin/env python3
"""The HTTP server under requests that are ambiguous, slow, too large or many.

Method: raw sockets against the real program (no models needed). The table of ambiguous requests is that of
docs/SERVER.md; each must get the status given and the connection must end, also when a well-formed second request
follows on the same connection, which must never be answered."""
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

from serve_help import PATIENCE, Server, kontor, read_all, status_of

GOOD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"

AMBIGUOUS = [
    # name, bytes, status
    ("length and chunked", HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked and length", HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    ("two lengths", HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400),
    ("the same length twice", HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    ("a list of lengths", HEAD + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    ("plus", HEAD + b"Content-Length: +2\r\n\r\n{}", 400),
    ("minus", HEAD + b"Content-Length: -2\r\n\r\n{}", 400),
    ("letters", HEAD + b"Content-Length: 2a\r\n\r\n{}", 400),
    ("hex", HEAD + b"Content-Length: 0x2\r\n\r\n{}", 400),
    ("no digits", HEAD + b"Content-Length: \r\n\r\n", 400),
    ("19 digits", HEAD + b"Content-Length: 1111111111111111111\r\n\r\n", 400),
    ("another coding", HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    ("two codings", HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("chunked twice", HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a vertical tab in a coding", HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked in 1.0", b"POST /tokenize HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("no host", b"GET /health HTTP/1.1\r\n\r\n", 400),
    ("two hosts", b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ("an empty host", b"GET /health HTTP/1.1\r\nHost: \r\n\r\n", 400),
    ("space before the colon", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX : b\r\n\r\n", 400),
    ("no name", b"GET /health HTTP/1.1\r\nHost: localhost\r\n: b\r\n\r\n", 400),
    ("no colon", b"GET /health HTTP/1.1\r\nHost: localhost\r\nnothing\r\n\r\n", 400),
    ("folded header", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
    ("folded by a tab", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tb\r\n\r\n", 400),
    ("folded first line", b"GET /health HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    ("bare LF", b"GET /health HTTP/1.1\nHost: localhost\n\n", 400),
    ("one bare LF", b"GET /health HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", 400),
    ("bare CR in a value", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n", 400),
    ("NUL in a value", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 400),
    ("NUL in the target", b"GET /hea\0lth HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("two spaces", b"GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("a tab", b"GET\t/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("no version", b"GET /health\r\nHost: localhost\r\n\r\n", 400),
    ("HTTP/2.0", b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
    ("HTTP/1.2", b"GET /health HTTP/1.2\r\nHost: localhost\r\n\r\n", 505),
    ("http/1.1", b"GET /health http/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("absolute target", b"GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("CONNECT", b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("a fragment", b"GET /health#a HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("leading empty line", b"\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("a space in a method", b"GE T /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("dots", b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("escaped dots", b"GET /%2e%2e/%2E./etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("an escaped slash", b"GET /v1%2f..%2fhealth HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("double slash", b"GET //health HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("a torn escape", b"GET /health%2 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("an escaped zero", b"GET /health%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("not UTF-8", b"GET /health%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("an escaped zero in the query", b"GET /health?a=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("another expectation", HEAD + b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", 417),
    ("two keys", b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
    ("chunk size 0x", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
    ("chunk size minus", HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n", 400),
    ("chunk size 17 digits", HEAD + b"Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\n{}\r\n0\r\n\r\n", None),
    ("wrong host", b"GET /health HTTP/1.1\r\nHost: example.com\r\n\r\n", 421),
    ("binary", bytes(range(256)) * 4, 400),
]


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log()


class Ambiguity(Base):
    def test_table(self):
        for name, data, wanted in AMBIGUOUS:
            with self.subTest(name):
                answer = self.server.raw(data + GOOD)
                if wanted is not None:
                    self.assertEqual(status_of(answer), wanted, answer)
                else:
                    self.assertGreaterEqual(status_of(answer), 400, answer)
                self.assertEqual(answer.count(b"HTTP/1.1 "), 1, f"answered twice: {answer}")

    def test_what_follows_on_the_connection_is_never_a_request(self):
        answer = self.server.raw(GOOD + GOOD)
        self.assertEqual(status_of(answer), 200)
        self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
        self.assertIn(b"\r\nConnection: close\r\n", answer)

    def test_a_head_in_single_bytes(self):
        with self.server.connect() as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(GOOD)):
                s.sendall(GOOD[i:i + 1])
            self.assertEqual(status_of(read_all(s)), 200)

    def test_chunked_bodies_and_http_1_0_work(self):
        answer = self.server.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n")
        self.assertEqual(status_of(answer), 400)
        self.assertIn(b"unknown parameter 'a'", answer)
        self.assertEqual(status_of(self.server.raw(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")), 200)

    def test_expect_continue(self):
        with self.server.connect() as s:
            s.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 7\r\n\r\n")
            self.assertIn(b"100 Continue", s.recv(1000))
            s.sendall(b'{"a":1}')
            self.assertEqual(status_of(read_all(s)), 400)


class Limits(Base):
    def test_long_heads(self):
        long = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000
        self.assertEqual(status_of(self.server.raw(long)), 431)
        many = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200 + b"\r\n"
        self.assertEqual(status_of(self.server.raw(many)), 431)
        self.assertEqual(status_of(self.server.raw(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")), 414)

    def test_large_bodies(self):
        # said in the head: refused before it is sent
        answer = self.server.raw(HEAD + b"Content-Length: 100000000000\r\n\r\n" + b"x" * 100000)
        self.assertEqual(status_of(answer), 413)
        # found out on the way
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        with self.server.connect() as s:
            try:
                s.sendall(b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(40):
                    s.sendall(chunk)
                s.sendall(b"0\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertIn(status_of(read_all(s)), (0, 413))
        self.assertEqual(self.server.metric("http_body_bytes"), 0)

    def test_a_body_where_none_is_taken(self):
        answer = self.server.raw(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
        self.assertEqual(status_of(answer), 413)

    def test_json_that_is_none(self):
        for name, body in [
            ("deep", b"[" * 100000 + b"]" * 100000),
            ("deep objects", b'{"a":' * 1000 + b"1" + b"}" * 1000),
            ("many", b'{"content":[' + b"0," * 400000 + b"0]}"),
            ("not UTF-8", b'{"content":"\xff\xfe"}'),
            ("overlong", b'{"content":"\xc0\xaf"}'),
            ("lone surrogate", b'{"content":"\\ud800"}'),
            ("twice", b'{"content":"a","content":"b"}'),
            ("trailing", b'{"content":"a"} x'),
            ("comma", b'{"content":"a",}'),
            ("an array", b"[]"),
            ("a number", b"1"),
            ("nothing", b" "),
            ("huge number", b'{"content":1e999}'),
            ("UTF-16", '{"content":"a"}'.encode("utf-16")),
            ("NaN", b'{"content":NaN}'),
        ]:
            with self.subTest(name):
                status, answer, _ = self.server.call("POST", "/tokenize", body)
                self.assertEqual(status, 400, answer)
                self.assertEqual(answer["error"]["type"], "invalid_request_error")
        self.assertLess(self.server.metric("resident_memory_bytes"), 1.5e9)

    def test_a_million_messages(self):
        """30 MB of them, the most a conversation may have in bytes: refused before a tree is made of them, which would take half a
        gigabyte; and the same as deep as they go, with every escape, as numbers of a million digits."""
        before = self.server.metric("resident_memory_bytes")
        message = b'{"role":"user","content":"a"},'
        for name, body in (("messages", b'{"model":"m","messages":[' + message * 1000000 + b'{"role":"user","content":"a"}]}'),
                           ("depth", b'{"model":"m","messages":' + b"[" * 8000000 + b"]" * 8000000 + b"}"),
                           ("keys", b"{" + b",".join(b'"k%d":0' % i for i in range(1000000)) + b"}"),
                           ("an escape", b'{"model":"' + b"\\u0041" * 4000000 + b'"}'),
                           ("digits", b'{"model":"m","max_tokens":' + b"1" * 1000000 + b"}"),
                           ("quotes", b'{"model":"m' + b'\\"' * 4000000)):
            with self.subTest(name):
                start = time.monotonic()
                status, answer, _ = self.server.call("POST", "/v1/chat/completions", body)
                took = time.monotonic() - start
                self.assertIn(status, (400, 404), answer)
                self.assertLess(took, 20)
        self.assertLess(self.server.metric("resident_memory_bytes") - before, 300e6)
        self.assertEqual(self.server.metric("http_body_bytes"), 0)


class Slow(unittest.TestCase):
    """500 clients that drip, and 1,500 that say nothing; one good client notices nothing."""

    def test_slow_heads_beside_a_good_client(self):
        server = Server()
        self.addCleanup(server.stop)
        idle = [server.connect() for _ in range(int(os.environ.get("KONTOR_TEST_IDLE", "500")))]
        for i, s in enumerate(idle):
            if i % 3:
                s.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
        worst = 0
        for _ in range(20):
            t = time.monotonic()
            self.assertEqual(server.call("GET", "/health")[0], 200)
            worst = max(worst, time.monotonic() - t)
            for s in idle[1:200:3]:
                s.sendall(b"a")
        # a server that served one after the other would wait for the first slow one's deadline, 10 s
        self.assertLess(worst, 5, "the good client had to wait")
        self.assertGreaterEqual(server.metric("http_connections"), len(idle) * 0.9)
        for s in idle:
            s.close()
        server.wait_metric("http_connections", 1)


class Deadlines(unittest.TestCase):
    def test_heads_and_bodies_have_deadlines(self):
        """However it drips: a head is cut after 10 s, a body that comes slower than 1 KiB/s after 10 s, too."""
        server = Server()
        self.addCleanup(server.stop)
        head, body = server.connect(), server.connect()
        body.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        head.sendall(b"GET /health HTTP/1.1\r\n")
        start = time.monotonic()
        took = {}

        def drip(s, name):
            try:
                while time.monotonic() - start < 25:
                    s.sendall(b"a")
                    s.settimeout(0.3)
                    try:
                        if s.recv(1000) == b"" or name == "head":
                            break
                    except socket.timeout:
                        pass
            except OSError:
                pass
            took[name] = time.monotonic() - start

        threads = [threading.Thread(target=drip, args=a) for a in ((head, "head"), (body, "body"))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for name, seconds in took.items():
            self.assertGreater(seconds, 8, name)
            self.assertLess(seconds, 20, name)


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = None
        import tempfile
        cls.dir = tempfile.TemporaryDirectory(prefix="kontor-tls-")
        d = cls.dir.name
        cls.make(d, "one")
        cls.server = Server("--cert", d + "/cert.pem", "--key", d + "/key.pem")

    @staticmethod
    def make(d, name):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", d + "/key.pem", "-out", d + "/cert.pem", "-days", "2", "-subj", "/CN=" + name,
                        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        if cls.server:
            assert cls.server.stop() == 0, cls.server.log()
        cls.dir.cleanup()

    def talk(self, data, context=None):
        context = context or ssl.create_default_context(cafile=self.dir.name + "/cert.pem")
        with context.wrap_socket(self.server.connect(), server_hostname="localhost") as s:
            s.sendall(data)
            return read_all(s), s.getpeercert(True)

    def test_requests(self):
        self.assertEqual(status_of(self.talk(GOOD)[0]), 200)
        self.assertEqual(status_of(self.talk(HEAD + b"Content-Length: +2\r\n\r\n{}")[0]), 400)
        large = json.dumps({"model": "none", "input": "a" * 3000000}).encode()
        answer, _ = self.talk(HEAD.replace(b"/tokenize", b"/v1/embeddings") + b"Content-Length: %d\r\n\r\n" % len(large) + large)
        self.assertEqual(status_of(answer), 404)  # no model here: but all of it was read
        self.assertIn(b"no such model", answer)

    def test_old_versions_and_plain_text_are_refused(self):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, OSError)):
            self.talk(GOOD, old)
        self.assertEqual(status_of(self.server.raw(GOOD)), 0)

    def test_the_certificate_is_read_again(self):
        _, before = self.talk(GOOD)
        self.make(self.dir.name, "two")
        self.server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        after = before
        while after == before and time.monotonic() < deadline:
            try:
                _, after = self.talk(GOOD)
            except ssl.SSLError:
                time.sleep(0.05)
        self.assertNotEqual(after, before)
        # one that is none changes nothing, and is said
        good = pathlib.Path(self.dir.name, "cert.pem").read_bytes()
        pathlib.Path(self.dir.name, "cert.pem").write_bytes(good[:300])
        try:
            self.server.process.send_signal(signal.SIGHUP)
            while "the old certificate stays" not in self.server.log() and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertIn("the old certificate stays", self.server.log())
        finally:
            pathlib.Path(self.dir.name, "cert.pem").write_bytes(good)
        self.assertEqual(self.talk(GOOD)[1], after)

    def test_a_client_of_another_make(self):
        """openssl s_client checks the chain and the name and speaks 1.2 and 1.3."""
        for version in ("-tls1_2", "-tls1_3"):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.port}", "-CAfile", self.dir.name + "/cert.pem",
                                   "-verify_return_error", "-verify_hostname", "localhost", "-quiet", "-ign_eof", version],
                                  input=GOOD, capture_output=True, timeout=PATIENCE)
            self.assertEqual(status_of(done.stdout), 200, done.stderr)


class Exposure(unittest.TestCase):
    def test_addresses_that_others_reach(self):
        import tempfile
        with tempfile.TemporaryDirectory() as home:
            refused = kontor(home, "serve", "--listen", "0.0.0.0:0", check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("kontor user add", refused.stderr)
            kontor(home, "user", "add", "anna", "--admin")
            refused = kontor(home, "serve", "--listen", "0.0.0.0:0", check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("--cert", refused.stderr)
            for bad in ("localhost:80", "127.0.0.1", "127.0.0.1:70000", "[::1", "127.0.0.1:-1"):
                self.assertNotEqual(kontor(home, "serve", "--listen", bad, check=False).returncode, 0, bad)


class Account(unittest.TestCase):
    def test_without_users_only_the_account_that_runs_it_is_served(self):
        """Other accounts of the machine are asked for a key. They are played by a child that becomes nobody (as root)."""
        server = Server()
        self.addCleanup(server.stop)
        request = b"GET /api/session HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(status_of(server.raw(request)), 200)
        if os.getuid() == 0:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                os.write(writer, str(status_of(server.raw(request))).encode())
                os._exit(0)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            self.assertEqual(os.read(reader, 10), b"401")
            os.close(reader)
            os.close(writer)


class Ending(unittest.TestCase):
    """SIGTERM: what runs is finished, who comes is told to come back, and it does not take for ever."""

    def half_sent(self, server):
        s = server.connect()
        s.sendall(HEAD + b"Content-Length: 7\r\n\r\n{")
        server.wait_metric("http_connections", 2)
        return s

    def test_what_runs_is_finished_and_who_comes_is_told(self):
        server = Server()
        self.addCleanup(server.stop)
        with self.half_sent(server) as running:
            server.process.send_signal(signal.SIGTERM)
            answer = b""
            deadline = time.monotonic() + PATIENCE
            while status_of(answer) != 503:  # the signal takes a moment
                self.assertLess(time.monotonic(), deadline)
                answer = server.raw(GOOD)
            self.assertIn(b"\r\nRetry-After: 5\r\n", answer)
            self.assertIn(b"\r\nX-Request-Id: ", answer)
            self.assertIsNone(server.process.poll())
            running.sendall(b'"a":1}')
            answer = read_all(running)
            self.assertEqual(status_of(answer), 400)
            self.assertIn(b"unknown parameter 'a'", answer)
        start = time.monotonic()
        self.assertEqual(server.process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - start, 5)

    def test_after_the_deadline_it_ends_all_the_same(self):
        server = Server("--drain", "1")
        self.addCleanup(server.stop)
        with self.half_sent(server):
            start = time.monotonic()
            self.assertEqual(server.stop(), 0)
            self.assertGreater(time.monotonic() - start, 0.9)
            self.assertLess(time.monotonic() - start, 15)

    def test_a_second_signal_ends_it_at_once(self):
        server = Server("--drain", "300")
        self.addCleanup(server.stop)
        with self.half_sent(server):
            server.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while server.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.poll(), -signal.SIGTERM)

    def test_sockets_of_others_wait_for_the_successor(self):
        """While one server ends, a connection to a socket that was handed over is not refused: the next server has it."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(5)
            first = Server(sockets=[listener])
            self.addCleanup(first.stop)
            with self.half_sent(first) as running:
                first.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)  # until it has let go; a connection before that would be told 503 by the next assertion
                with socket.create_connection(listener.getsockname()) as early:
                    early.sendall(GOOD)
                    early.settimeout(0.5)
                    with self.assertRaises(socket.timeout):
                        early.recv(1)
                    running.close()
                    self.assertEqual(first.process.wait(PATIENCE), 0)
                    second = Server(sockets=[listener])
                    self.addCleanup(second.stop)
                    early.settimeout(PATIENCE)
                    self.assertEqual(status_of(read_all(early)), 200)


class Wall(unittest.TestCase):
    def test_no_thread_and_no_child_can_call_out(self):
        """The kernel says of each thread that a filter is on it (2), and that no new rights can be had. What the filter forbids
        is tried in tests/unit/test_house.c."""
        server = Server()
        self.addCleanup(server.stop)
        server.call("GET", "/health")
        tasks = list(pathlib.Path(f"/proc/{server.process.pid}/task").iterdir())
        seen = 0
        for task in tasks:
            try:
                text = (task / "status").read_text()
            except FileNotFoundError:
                continue  # the thread of a connection that is over
            seen += 1
            self.assertRegex(text, r"\nSeccomp:\t2\n")
            self.assertRegex(text, r"\nNoNewPrivs:\t1\n")
        self.assertGreaterEqual(seen, 3)  # main, gate, libmicrohttpd
        self.assertRegex(server.wait_log("serve.walled"), r" landlock=\d+$")


class Ids(unittest.TestCase):
    """One id for a request, in the answer and in every line of the log; and the proxy's beside it."""

    def test_ids(self):
        server = Server()
        self.addCleanup(server.stop)
        _, _, headers = server.call("GET", "/v1/models")
        line = server.wait_log("http.request id=" + headers["X-Request-Id"])
        self.assertRegex(line, r" info http\.request id=[0-9a-f]{16} client_id=- method=GET route=/v1/models user=0 status=200 ms=\d+")
        given = "0b7f3a6e-1c2d-4e5f-8a9b-aabbccddeeff"
        _, _, headers = server.call("GET", "/v1/models/secret", headers={"X-Request-Id": given})
        line = server.wait_log("http.request id=" + headers["X-Request-Id"])
        self.assertIn(f" client_id={given} ", line)
        self.assertIn(" route=/v1/models/{model} ", line)
        for bad in ("secret words of a client", "secret", "a" * 65, "0000000"):
            server.call("GET", "/v1/models", headers={"X-Request-Id": bad})
        self.assertNotIn("secret", server.log())
        refused = server.raw(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(status_of(refused), 400)
        found = re.search(rb"\r\nX-Request-Id: ([0-9a-f]{16})\r\n", refused).group(1).decode()
        server.wait_log(f"http.refused id={found} status=400")
        status, answer, headers = server.call("POST", "/api/login", {"name": "a", "password": "b"})
        self.assertEqual(status, 401)
        server.wait_log(f"access.login_failed id={headers['X-Request-Id']}")


class Systemd(unittest.TestCase):
    def test_sockets_that_were_opened_for_it(self):
        """A connection made before the server began is answered: it waited in the socket."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(5)
            with socket.create_connection(listener.getsockname()) as early:
                early.sendall(GOOD)
                server = Server(sockets=[listener])
                self.assertEqual(server.port, listener.getsockname()[1])
                self.assertEqual(status_of(read_all(early)), 200)
                self.assertEqual(server.call("GET", "/health")[0], 200)
                self.assertEqual(server.stop(), 0, server.log())

    def test_it_says_when_it_is_ready_and_when_it_stops(self):
        import tempfile
        with tempfile.TemporaryDirectory() as d:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.bind(d + "/notify")
                s.settimeout(PATIENCE)
                server = Server(env={"NOTIFY_SOCKET": d + "/notify"})
                self.assertEqual(s.recv(100), b"READY=1")
                self.assertEqual(server.stop(), 0)
                self.assertEqual(s.recv(100), b"STOPPING=1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
