"""A server for the tests: the real program on a free port, with a home of its own."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

PROGRAM = os.environ["KONTOR_BIN"]
MODELS = pathlib.Path(os.environ["KONTOR_TESTDATA"])
CHAT_MODEL = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBED_MODEL = MODELS / "minilm"
CHAT, EMBED = "SmolLM2-135M-Instruct.Q4_1", "minilm"
# How much longer things take when the program is compiled with sanitizers, on a busy machine.
PATIENCE = 240
# Runs what follows among file systems of its own. Who is not root must become it there, where the system permits that.
NAME_SPACE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]


def kontor(home, *args, text=None, check=True):
    env = {**os.environ, "KONTOR_HOME": str(home)}
    done = subprocess.run([PROGRAM, *map(str, args)], input=text, capture_output=True, text=True, env=env, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"kontor {args}: {done.returncode}: {done.stderr}")
    return done


class Server:
    def __init__(self, *args, models=False, home=None, env=None, sockets=(), before=()):
        """models: True for both, "embed" for the finding one alone. before: a command that runs the program."""
        self.own_home = home is None
        self.home = pathlib.Path(home or tempfile.mkdtemp(prefix="kontor-serve-"))
        command = [*before, PROGRAM, "serve", *([] if sockets else ["--listen", "127.0.0.1:0"]), *map(str, args)]
        if models:
            command += ["--embed-model", str(EMBED_MODEL)]
        if models is True:
            command += ["-m", str(CHAT_MODEL), "--ctx", "1024", "--memory", "400"]
        environment = {**os.environ, "KONTOR_HOME": str(self.home), **(env or {})}
        for name in ("KONTOR_CHAT_MODEL", "KONTOR_EMBED_MODEL", "KONTOR_PASSPHRASE"):
            environment.pop(name, None)
        if sockets:  # as systemd hands them over: from 3 on, with the process' own number in the environment
            environment["LISTEN_FDS"] = str(len(sockets))
            moves = " ".join(f"{3 + i}<&{s.fileno()}" for i, s in enumerate(sockets))
            command = ["bash", "-c", f'export LISTEN_PID=$$; exec "$@" {moves}', "bash", *command]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
                                        pass_fds=[s.fileno() for s in sockets])
        self.lines, self.port, self.ready = [], None, threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(PATIENCE) or self.port is None:
            self.stop()
            raise AssertionError("the server did not start: " + "".join(self.lines))
        self.url = f"http://127.0.0.1:{self.port}"

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"listening on https?://[^ ]*:(\d+)$", line.strip())
            if found:
                self.port = int(found.group(1))
                self.ready.set()
        self.ready.set()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()
        if self.own_home:
            shutil.rmtree(self.home, True)
        return code

    def log(self):
        return "".join(self.lines)

    def wait_log(self, text):
        """The first line of the log with this text; the answer may be there before it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for line in list(self.lines):
                if text in line:
                    return line
            if time.monotonic() > deadline:
                raise AssertionError(f"no line with '{text}':\n{self.log()}")
            time.sleep(0.01)

    def connect(self, timeout=PATIENCE):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, data, timeout=PATIENCE):
        """Send bytes, return everything that comes back until the server closes."""
        with self.connect(timeout) as s:
            s.sendall(data)
            return read_all(s)

    def call(self, method, path, body=None, key=None, headers=None):
        """(status, parsed body or text, headers)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        h = dict(headers or {})
        if key:
            h["Authorization"] = "Bearer " + key
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection.request(method, path, body, h)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if response.getheader("Content-Type", "").startswith("application/json"):
            data = json.loads(data)
        else:
            data = data.decode()
        return response.status, data, dict(response.getheaders())

    def metric(self, name, key=None):
        text = self.call("GET", "/metrics", key=key)[1]
        return float(re.search(rf"^kontor_{re.escape(name)} (\S+)$", text, re.M).group(1))

    def wait_metric(self, name, wanted, key=None, seconds=PATIENCE):
        """How long it took until the metric had this value."""
        start, value = time.monotonic(), None
        while value != wanted:
            try:
                value = self.metric(name, key)
            except ConnectionError:  # full: all connections are taken; or over
                assert self.process.poll() is None, "the server is over: " + self.log()[-3000:]
            if time.monotonic() - start > seconds:
                raise AssertionError(f"kontor_{name} is {value}, expected {wanted}")
            time.sleep(0.02 if value != wanted else 0)
        return time.monotonic() - start


def read_all(s):
    data = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return data
            data += more
    except ConnectionResetError:
        return data


def status_of(answer):
    """Of raw bytes; 0 when there was no answer."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def events(text):
    """[(event name or None, data)] of a stream."""
    out = []
    for block in text.split("\n\n"):
        name, data = None, []
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data.append(line[6:])
        if data:
            out.append((name, "\n".join(data)))
    return out
