"""A model hub on this machine for tests: HTTPS, the hub's protocol, and ways to misbehave.

    GET or HEAD /OWNER/NAME/resolve/REVISION/PATH
        large files   302 to /cdn/SHA256?signed=N with X-Linked-ETag (SHA-256), X-Linked-Size, X-Repo-Commit
        small files   200 with ETag = git's blob id, X-Repo-Commit
    GET /cdn/SHA256?signed=N
        Range, If-Range, strong ETag

Behaviours are functions that a test hangs into 'on_resolve' and 'on_cdn': they get the request's handler and may
answer in its place (return True). Every request is kept in 'log'. The certificate is made anew for each run, by
openssl, and is its own authority."""
import hashlib
import http.server
import os
import pathlib
import select
import socket
import ssl
import struct
import subprocess
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = 2000  # bytes; smaller files are not "large files" of the hub


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def gguf(n_bytes=600_000, layers=1):
    """A GGUF file that opens: a llama's metadata and one tensor of noise."""
    def text(s):
        b = s.encode()
        return struct.pack("<Q", len(b)) + b
    meta = [("general.architecture", 8, text("llama")), ("general.name", 8, text("Test Llama")), ("general.license", 8, text("mit"))]
    for key, value in dict(block_count=layers, context_length=64, embedding_length=64, feed_forward_length=64,
                           **{"attention.head_count": 2}).items():
        meta.append((f"llama.{key}", 4, struct.pack("<I", value)))
    meta.append(("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)))
    rows = n_bytes // 256
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(meta))
    head += b"".join(text(k) + struct.pack("<I", t) + v for k, t, v in meta)
    head += text("token_embd.weight") + struct.pack("<IQQIQ", 2, 64, rows, 0, 0)
    head += bytes(-len(head) % 32)
    noise = hashlib.shake_128(b"weights").digest(rows * 256)
    return head + noise


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *args):
        pass

    def answer(self, status, headers=(), body=b"", length=None):
        self.send_response(status)
        for k, v in dict(headers).items():
            self.send_header(k, str(v))
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def cut(self):
        """End the connection as a broken line does: without a goodbye."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.server.hub
        with hub.lock:
            hub.log.append((self.command, self.path, dict(self.headers)))
        try:
            if self.path.startswith("/cdn/"):
                self.cdn(hub)
            else:
                self.resolve(hub)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError, ValueError, OSError):
            self.close_connection = True

    def resolve(self, hub):
        if hub.on_resolve and hub.on_resolve(self):
            return
        owner, name, word, revision, path = self.path[1:].split("/", 4)
        data = hub.files.get((f"{owner}/{name}", path))
        if word != "resolve" or data is None:
            self.answer(404, {"X-Error-Code": "EntryNotFound"}, b"no such thing")
        elif len(data) < SMALL:
            self.answer(200, {"ETag": f'"{git_id(data)}"', "X-Repo-Commit": COMMIT}, data)
        else:
            hub.signed += 1
            self.answer(302, {"Location": hub.cdn_url(data), "X-Linked-ETag": f'"{sha256(data)}"', "X-Linked-Size": len(data),
                              "X-Repo-Commit": COMMIT, "ETag": '"of the redirect"'}, b"Found")

    def cdn(self, hub):
        data = next((d for d in hub.files.values() if sha256(d) == self.path.split("/")[2].split("?")[0]), b"")
        if hub.on_cdn and hub.on_cdn(self, data):
            return
        self.send_content(data, f'"cdn-{sha256(data)[:16]}"')

    def range_from(self, etag, n):
        """Where the answer begins, as RFC 9110 says: the whole file when the condition does not hold."""
        r = self.headers.get("Range", "")
        condition = self.headers.get("If-Range")
        if not r.startswith("bytes=") or (condition is not None and condition != etag):
            return 0
        return int(r[6:].rstrip("-"))

    def send_content(self, data, etag):
        start = self.range_from(etag, len(data))
        if start:
            self.answer(206, {"ETag": etag, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:])
        else:
            self.answer(200, {"ETag": etag, "Accept-Ranges": "bytes"}, data)


class Proxy(http.server.BaseHTTPRequestHandler):
    """CONNECT only. 'asked' of its server keeps where to."""

    def log_message(self, *args):
        pass

    def do_CONNECT(self):
        self.server.asked.append(self.path)
        host, port = self.path.rsplit(":", 1)
        try:
            there = socket.create_connection((host, int(port)), timeout=5)
        except OSError:
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        ends = [self.connection, there]
        while True:
            ready, _, _ = select.select(ends, [], [], 10)
            for end in ready:
                data = end.recv(65536)
                if not data:
                    there.close()
                    self.close_connection = True
                    return
                (there if end is self.connection else self.connection).sendall(data)
            if not ready:
                return


def proxy():
    server = Server(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    server.asked = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients that leave, or do not like the certificate, are part of the tests."""


class Hub:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.ca = folder / "ca.pem"
        key = folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=test hub", "-addext", "subjectAltName=IP:127.0.0.1,IP:127.0.0.2,DNS:localhost",
                        "-keyout", key, "-out", self.ca], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        # Two servers: whoever sends the bytes is another origin than the hub.
        self.servers = [self.serve(context), self.serve(context)]
        self.port, self.cdn_port = (s.server_address[1] for s in self.servers)
        self.url = f"https://127.0.0.1:{self.port}"
        self.lock = threading.Lock()
        self.files = {}
        self.reset()

    def serve(self, context):
        server = Server(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.hub = self
        # The handshake belongs to the connection's own thread: one that never comes must not stop the others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def reset(self):
        self.files.clear()
        self.log = []
        self.signed = 0
        self.on_resolve = self.on_cdn = None

    def cdn_url(self, data):
        return f"https://127.0.0.1:{self.cdn_port}/cdn/{sha256(data)}?signed={self.signed}"

    def requests(self, word):
        with self.lock:
            return [(method, path, headers) for method, path, headers in self.log if word in path]
