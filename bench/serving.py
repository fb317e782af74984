#!/usr/bin/env python3
"""Some users write while somebody sends a long document: how long does a running answer stop, and what does it cost all?

    bench/serving.py --kontor build/release/kontor [--llama-server DIR/llama-server] -m MODEL.gguf [--users 5] [--long 6000]

The same load against both servers, one after the other, with as many threads each. Four parts:

    answers   the users' answers alone: tokens a second of all together, gaps between two tokens of one answer
    document  the long prompt alone: seconds to its first token
    mixed     the users write, and the document is sent: gaps between it being sent and its first token; the answers' tokens
              in that time and the document's prompt, done one after the other at the speeds of the first two parts, would
              have taken so long: that time over the real one is 'of unmixed'. 'short' is the time to the first token of a
              question of one line that another user asks meanwhile
    again     --again N: a question about a document of N tokens, then another about the same one: seconds to the first token of
              each, and how many tokens the server says that it had not to read; and the floor, a prompt as long as the rest

A step is the median gap of the answers alone; issue 6 asks for no gap above half a second and one step, and 90 % of unmixed.
Tokens a second, mixed and unmixed, count the document's and the answers' together.

Processor time is the servers' own: it says what mixing costs also when the machine has other work.

A token is an event of the stream. Documents differ from their first word on, so that no server has seen the beginning.
Prints a table; --json PATH also keeps the figures.
"""
import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

QUESTION = "Write a long letter to a client about a contract. Explain every clause in detail.\n\nDear Madam,"
WORDS = ("the contract says that each party may end it with a notice of three months unless the other has not paid what is due and "
         "was told so in writing before the first day of the month in which the court decides about the costs of both").split()


class Server:
    """A server of either kind, ready."""

    def __init__(self, argv, log, env=None, port=None):
        self.log = open(log, "w+b")
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        self.port = port or self.find_port()
        self.wait_ready()
        self.model = json.loads(self.get("/v1/models"))["data"][0]["id"]

    def text(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()

    def alive(self):
        if self.process.poll() is not None:
            sys.exit(f"serving: the server ended with {self.process.returncode}:\n{self.text()[-2000:]}")

    def find_port(self):
        while True:
            self.alive()
            found = re.search(r"listening on http://[^ ]*:(\d+)", self.text())
            if found:
                return int(found.group(1))
            time.sleep(0.1)

    def get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request("GET", path)
        r = c.getresponse()
        data = r.read()
        c.close()
        if r.status != 200:
            raise OSError(f"{path}: {r.status}")
        return data

    def wait_ready(self):
        while True:
            self.alive()
            try:
                return self.get("/health")
            except OSError:
                time.sleep(0.2)

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def processor(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Answer(threading.Thread):
    """One streamed answer, or with 'again' one after the other until told to stop. 'times' are those of its tokens."""

    def __init__(self, server, prompt, n_max, again=False):
        super().__init__(daemon=True)
        self.server, self.prompt, self.n_max, self.again = server, prompt, n_max, again
        self.times, self.sent, self.begins, self.usage, self.cached, self.ended, self.error = [], [], [], {}, 0, None, None
        self.stopping = threading.Event()
        self.begun = threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.once()
                if not self.again:
                    break
        except OSError as e:
            self.error = e
        self.begun.set()

    def once(self):
        body = {"model": self.server.model, "prompt": self.prompt, "max_tokens": self.n_max, "temperature": 1, "seed": 1,
                "stream": True, "stream_options": {"include_usage": True}}
        c = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=3600)
        self.sent.append(time.monotonic())
        c.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        r = c.getresponse()
        if r.status != 200:
            raise OSError(f"{r.status}: {r.read()[:500]}")
        first = True
        for line in r:
            if not line.startswith(b"data: {"):
                continue
            if b'"timings":{' in line:  # where the peer says it
                self.cached = json.loads(line[6:])["timings"].get("cache_n", 0)
            if b'"usage":{' in line or b'"usage": {' in line:
                self.usage = json.loads(line[6:]).get("usage") or self.usage
            if b'"finish_reason":"' in line or b'"finish_reason": "' in line:
                self.ended = time.monotonic()  # with a token without text, when no other came
            if b'"text":""' in line or b'"text": ""' in line or b'"choices":[]' in line or b'"choices": []' in line:
                continue
            self.times.append(time.monotonic())
            if first:
                self.begins.append(len(self.times) - 1)
                first = False
                self.begun.set()
            if self.stopping.is_set():
                break
        c.close()

    def stop(self):
        self.stopping.set()

    def gaps(self, start, end):
        """Between two tokens of one answer, of which the later one falls into the time."""
        begins = set(self.begins)
        return [b - a for i, (a, b) in enumerate(zip(self.times, self.times[1:])) if i + 1 not in begins and start < b <= end]

    def count(self, start, end):
        return sum(start < t <= end for t in self.times)

    def from_cache(self):
        return (self.usage.get("prompt_tokens_details") or {}).get("cached_tokens") or self.cached

    def first_after(self):
        """To its first token, be that the one that ends it."""
        return (self.times[self.begins[0]] if self.begins else self.ended) - self.sent[0]


def document(n_tokens, nr, per_word, question="In one word, the above says:"):
    words = [f"File {nr}:"]
    n = max(1, int(n_tokens / per_word))
    words += [WORDS[(i * 7 + i // 31) % len(WORDS)] for i in range(n)]
    return " ".join(words) + "\n\n" + question


def check(answers):
    for a in answers:
        if a.error:
            sys.exit(f"serving: an answer failed: {a.error}")


def start_users(server, args, n):
    users = [Answer(server, f"User {i}. {QUESTION}", args.answer, again=True) for i in range(n)]
    for u in users:
        u.start()
    for u in users:
        u.begun.wait()
    check(users)
    return users


def stop_users(users):
    for u in users:
        u.stop()
    for u in users:
        u.join()
    check(users)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))] if values else float("nan")


def alone(server, args):
    users = start_users(server, args, args.users)
    time.sleep(1)
    start, used = time.monotonic(), server.processor()
    time.sleep(args.seconds)
    end, used = time.monotonic(), server.processor() - used
    stop_users(users)
    gaps = [g for u in users for g in u.gaps(start, end)]
    n = sum(u.count(start, end) for u in users)
    if not gaps:
        sys.exit(f"serving: no answer had two tokens within {args.seconds:g} s; the machine is busy, or give more --seconds")
    return {"tokens_s": n / (end - start), "processor_s": used / max(1, n), "gap_max_s": max(gaps, default=float("nan")),
            "gap_p95_s": percentile(gaps, 0.95), "gap_p99_s": percentile(gaps, 0.99), "gap_median_s": percentile(gaps, 0.5),
            "first_s": max(u.first_after() for u in users)}


def read(server, args, nr, per_word):
    a = Answer(server, document(args.prompt, nr, per_word), 1)
    used = server.processor()
    a.start()
    a.join()
    a.processor_s = server.processor() - used
    check([a])
    if not a.ended:
        sys.exit("serving: the document had no answer")
    return a


def mixed(server, args, per_word):
    users = start_users(server, args, args.users)
    time.sleep(1)
    doc = Answer(server, document(args.prompt, 2, per_word), 1)
    start, used = time.monotonic(), server.processor()
    doc.start()
    time.sleep(min(1, args.seconds / 4))
    short = Answer(server, "What is a contract? In one word:", 1)
    short.start()
    short.join()
    doc.join()
    end = doc.times[0] if doc.times else doc.ended or time.monotonic()
    used = server.processor() - used
    time.sleep(0.2)
    stop_users(users)
    check([doc, short])
    gaps = [g for u in users for g in u.gaps(start, end)]
    return {"gap_max_s": max(gaps, default=float("nan")), "gap_p95_s": percentile(gaps, 0.95), "gap_p99_s": percentile(gaps, 0.99), "gap_median_s": percentile(gaps, 0.5),
            "processor_s": used, "first_s": end - start, "prompt": doc.usage.get("prompt_tokens", 0), "seconds": end - start,
            "answer_tokens": sum(u.count(start, end) for u in users), "short_first_s": short.first_after()}


def again(server, args, per_word):
    """Two questions about one document, and a prompt of what is new in the second."""
    out = {}
    for name, prompt in (("first", document(args.again, 3, per_word, "Who may end the contract?")),
                         ("second", document(args.again, 3, per_word, "What does the court decide about, and when?")),
                         ("floor", "What does the court decide about, and when?")):
        a = Answer(server, prompt, 1)
        a.start()
        a.join()
        check([a])
        if not a.ended:
            sys.exit(f"serving: the {name} question had no answer")
        out[name] = {"first_s": a.first_after(), "prompt": a.usage["prompt_tokens"], "cached": a.from_cache()}
    return out


def measure(server, args):
    probe = Answer(server, document(400, 0, 1), 1)
    probe.start()
    probe.join()
    check([probe])
    per_word = probe.usage["prompt_tokens"] / 400
    a = alone(server, args)
    r = read(server, args, 1, per_word)
    b = mixed(server, args, per_word)
    same = b["prompt"] / max(1, r.usage["prompt_tokens"])
    unmixed = b["answer_tokens"] / a["tokens_s"] + r.first_after() * same
    processor = b["answer_tokens"] * a["processor_s"] + r.processor_s * same
    both = b["answer_tokens"] + b["prompt"]
    return {"answers": a, "step_s": a["gap_median_s"], "tokens_s_mixed": both / b["seconds"], "tokens_s_unmixed": both / unmixed,
            "again": again(server, args, per_word) if args.again else None, "document": {"prompt": r.usage["prompt_tokens"], "first_s": r.first_after()}, "mixed": b,
            "of_unmixed": unmixed / b["seconds"], "of_unmixed_processor": processor / max(0.01, b["processor_s"]), "resident": server.resident()}


def kontor(args, home):
    n_ctx = max(args.prompt, args.again) * 9 // 8 + 256
    return Server([args.kontor, "serve", "--listen", "127.0.0.1:0", "-m", args.model, "-t", str(args.threads), "--ctx", str(n_ctx),
                   "--streams", str(args.users + 2), *(["--memory", str(args.memory)] if args.memory else [])],
                  os.path.join(home, "kontor.log"), {"KONTOR_HOME": home, "KONTOR_LOG": "warn"})


def llama(args, home):
    n_ctx = max(args.prompt, args.again) * 9 // 8 + 256
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    n = args.users + 2
    return Server([args.llama_server, "-m", args.model, "--host", "127.0.0.1", "--port", str(port), "-t", str(args.threads),
                   "-tb", str(args.threads), "-np", str(n), "-c", str(n_ctx * n), "-ngl", "0", "-fa", "on", "--no-webui"],
                  os.path.join(home, "llama.log"), port=port)


def show(data):
    print(f"\n{data['model']}: {data['users']} users write, another sends {data['prompt']} tokens; {data['threads']} threads")
    names = list(data["servers"])
    rows = [
        ("answers alone, tokens/s", lambda d: f"{d['answers']['tokens_s']:.1f}"),
        ("  a step (median gap)", lambda d: f"{d['step_s'] * 1000:.0f} ms"),
        ("  longest gap", lambda d: f"{d['answers']['gap_max_s'] * 1000:.0f} ms"),
        ("document alone, tokens/s", lambda d: f"{d['document']['prompt'] / d['document']['first_s']:.1f}"),
        ("mixed: longest gap", lambda d: f"{d['mixed']['gap_max_s'] * 1000:.0f} ms"),
        ("  of half a second and a step", lambda d: f"{100 * d['mixed']['gap_max_s'] / (0.5 + d['step_s']):.0f} %"),
        ("  99 % of gaps below", lambda d: f"{d['mixed']['gap_p99_s'] * 1000:.0f} ms"),
        ("  95 % of gaps below", lambda d: f"{d['mixed']['gap_p95_s'] * 1000:.0f} ms"),
        ("  median gap", lambda d: f"{d['mixed']['gap_median_s'] * 1000:.0f} ms"),
        ("  document's first token", lambda d: f"{d['mixed']['first_s']:.1f} s"),
        ("  a short question's", lambda d: f"{d['mixed']['short_first_s']:.2f} s"),
        ("  answers' tokens/s", lambda d: f"{d['mixed']['answer_tokens'] / d['mixed']['seconds']:.1f}"),
        ("  all tokens/s", lambda d: f"{d['tokens_s_mixed']:.1f}"),
        ("  the same, unmixed", lambda d: f"{d['tokens_s_unmixed']:.1f}"),
        ("  throughput of unmixed", lambda d: f"{100 * d['of_unmixed']:.0f} %"),
        ("  the same, processor time", lambda d: f"{100 * d['of_unmixed_processor']:.0f} %"),
        ("resident", lambda d: f"{d['resident'] / 1e6:.0f} MB"),
    ]
    if data["again"]:
        rows[-1:-1] = [(f"{title}, s / cached", lambda d, n=n: f"{d['again'][n]['first_s']:.2f} / {d['again'][n]['cached']}")
                       for n, title in (("first", "first question"), ("second", "second question"), ("floor", "its new tokens alone"))]
    print(f"{'':32}" + "".join(f"{n:>14}" for n in names))
    for title, value in rows:
        print(f"{title:32}" + "".join(f"{value(data['servers'][n]):>14}" for n in names))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kontor", default="build/release/kontor")
    ap.add_argument("--llama-server", help="the peer; none: only Kontor")
    ap.add_argument("-m", "--model", required=True)
    ap.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("--users", type=int, default=5)
    ap.add_argument("--long", "--prompt", dest="prompt", type=int, default=6000, help="tokens of the document (6000)")
    ap.add_argument("--again", type=int, default=0, help="tokens of a document that two questions are asked about (none)")
    ap.add_argument("--answer", type=int, default=300, help="tokens of an answer")
    ap.add_argument("--seconds", type=float, default=8, help="of the answers alone")
    ap.add_argument("--memory", type=int, default=0, help="Kontor's --memory")
    ap.add_argument("--json", metavar="PATH")
    args = ap.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("serving: ended"))  # and the server with it
    data = {"model": os.path.basename(args.model), "users": args.users, "prompt": args.prompt, "again": args.again, "threads": args.threads, "servers": {}}
    with tempfile.TemporaryDirectory(prefix="kontor-serving-") as home:
        for name, start in [("kontor", kontor)] + ([("llama.cpp", llama)] if args.llama_server else []):
            server = start(args, home)
            try:
                data["servers"][name] = measure(server, args)
            finally:
                server.stop()
            print(f"  {name}: measured", file=sys.stderr)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(data, f, indent=1)
    show(data)


if __name__ == "__main__":
    main()
