#!/usr/bin/env python3
"""nginx and HAProxy in front, as packaging/ configures them: TLS outside, the name of the server, streams that arrive while they
are written, clients that leave, and requests that proxies and servers could read differently.

Only ports, file names and the address of the server are replaced in the configurations."""
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from serve_help import CHAT, PATIENCE, Server, kontor, read_all, status_of

SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])
NAME = "kontor.example"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def proxy(command):
    """Start one: unpacked for the tests (tools/unpack.sh), or installed here."""
    unpacked = SOURCE / "build" / "deps" / "programs"
    env = dict(os.environ)
    program = unpacked / "usr" / "sbin" / command[0]
    if program.exists():
        env["LD_LIBRARY_PATH"] = ":".join(map(str, (unpacked / "usr" / "lib").glob("*-linux-gnu*")))
    else:
        program = pathlib.Path("/usr/sbin") / command[0]
    return subprocess.Popen([program, *command[1:]], stderr=subprocess.DEVNULL, env=env)


class Proxy:
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-proxy-"))
        self.addCleanup(shutil.rmtree, self.dir, True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", self.dir / "kontor.key", "-out", self.dir / "kontor.pem", "-days", "2", "-subj", "/CN=" + NAME,
                        "-addext", "subjectAltName=DNS:" + NAME], check=True, capture_output=True)
        (self.dir / "kontor-with-key.pem").write_bytes((self.dir / "kontor.pem").read_bytes() + (self.dir / "kontor.key").read_bytes())
        home = self.dir / "home"
        kontor(home, "user", "add", "anna")
        self.key = kontor(home, "user", "key", "anna").stdout.strip()
        self.server = Server("--host", NAME, models=True, home=home)
        self.addCleanup(self.server.stop)
        self.port = free_port()
        self.process = self.start()
        self.addCleanup(self.end)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect().close()
                break
            except OSError:
                self.assertLess(time.monotonic(), deadline, "the proxy does not listen")
                self.assertIsNone(self.process.poll(), "the proxy ended")
                time.sleep(0.05)

    def end(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def fill_in(self, text):
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.server.port}").replace("/etc/ssl", str(self.dir))
        return re.sub(r":443\b", f"127.0.0.1:{self.port}", re.sub(r"listen 443\b", f"listen 127.0.0.1:{self.port}", text))

    def connect(self):
        context = ssl.create_default_context(cafile=self.dir / "kontor.pem")
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), PATIENCE), server_hostname=NAME)

    def post(self, body):
        body = json.dumps(body).encode()
        return (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {self.key}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body

    def test_one_id_and_the_clients_address(self):
        """The proxy's id stands in our line, whatever the client calls itself; and one address' failures are not another's."""
        with self.connect() as s:
            s.sendall(f"GET /health HTTP/1.1\r\nHost: {NAME}\r\nX-Request-Id: 0123456789abcdef\r\nConnection: close\r\n\r\n".encode())
            answer = read_all(s).decode()
        own = re.search(r"(?i)\r\nX-Request-Id: ([0-9a-f]{16})\r\n", answer).group(1)
        line = self.server.wait_log("http.request id=" + own)
        self.assertRegex(line, r" client_id=[0-9a-f-]{32,36} ")
        self.assertNotIn("0123456789abcdef ", line)

        def log_in(i, address=None):
            body = json.dumps({"name": f"somebody {i}", "password": "no"}).encode()
            said = f"X-Forwarded-For: {address}\r\n" if address else ""
            request = f"POST /api/login HTTP/1.1\r\nHost: {NAME}\r\n{said}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            return request.encode() + body

        statuses = []
        for i in range(7):  # other names, and addresses made up by the client: the proxy knows better
            with self.connect() as s:
                s.sendall(log_in(i, f"10.0.0.{i}"))
                statuses.append(status_of(read_all(s)))
        self.assertEqual(statuses[:5], [401] * 5)
        self.assertIn(429, statuses[5:])
        # another address, as another proxy's client would have: not counted against it
        self.assertEqual(status_of(self.server.raw(log_in(99, "192.0.2.7"))), 401)

    def test_requests_and_streams(self):
        with self.connect() as s:
            s.sendall(f"GET /health HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            self.assertEqual(status_of(read_all(s)), 200)
        with self.connect() as s:
            s.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            self.assertEqual(status_of(read_all(s)), 401)
        body = {"model": CHAT, "messages": [{"role": "user", "content": "Count."}], "stream": True, "max_tokens": 30, "seed": 1}
        with self.connect() as s:
            s.sendall(self.post(body))
            first = s.recv(100000)
            rest = read_all(s)
        self.assertEqual(status_of(first), 200)
        self.assertNotIn(b"[DONE]", first, "the answer came in one piece")
        self.assertIn(b"[DONE]", rest)

    def test_who_leaves_is_noticed_through_the_proxy(self):
        before = self.server.metric("generations_cancelled_total", self.key)
        with self.connect() as s:
            s.sendall(self.post({"model": CHAT, "messages": [{"role": "user", "content": "Write."}], "stream": True,
                                 "max_tokens": 900, "temperature": 1.5}))
            s.recv(100)
        self.server.wait_metric("queue_running", 0, self.key)
        self.assertEqual(self.server.metric("generations_cancelled_total", self.key), before + 1)

    def test_two_readings_become_one_or_none(self):
        """Whatever the proxy makes of these, the second request that hides in the first never reaches a handler."""
        hidden = b"GET /v1/models HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\nX: "
        head = b"POST /health HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n"
        for attempt in (b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(hidden) + 5) + hidden,
                        b"Transfer-Encoding: \x0bchunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n" % (len(hidden) + 5) + hidden,
                        b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden,
                        b"Content-Length : %d\r\n\r\n" % len(hidden) + hidden):
            count = self.server.log().count("route=/v1/models ")
            with self.connect() as s:
                s.settimeout(2)
                s.sendall(head + attempt)
                try:
                    s.recv(10000)
                except (socket.timeout, OSError):
                    pass
            self.assertEqual(self.server.log().count("route=/v1/models "), count)


class Nginx(Proxy, unittest.TestCase):
    def start(self):
        site = self.fill_in((SOURCE / "packaging" / "nginx.conf").read_text())
        (self.dir / "nginx.conf").write_text(f"daemon off; pid {self.dir}/pid; error_log {self.dir}/error.log;\n"
                                             f"events {{}}\nhttp {{ access_log off; client_body_temp_path {self.dir}/body;\n"
                                             f"proxy_temp_path {self.dir}/proxy; fastcgi_temp_path {self.dir}/f;\n"
                                             f"uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;\n{site}\n}}\n")
        return proxy(["nginx", "-p", self.dir, "-c", self.dir / "nginx.conf"])


class Haproxy(Proxy, unittest.TestCase):
    def start(self):
        (self.dir / "haproxy.cfg").write_text(self.fill_in((SOURCE / "packaging" / "haproxy.cfg").read_text()))
        return proxy(["haproxy", "-f", self.dir / "haproxy.cfg"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
