#!/usr/bin/env python3
"""What the second question about a long document costs, in a server that has read it once.

    bench/reuse.py --kontor build/release/kontor -m MODEL.gguf [--tokens 20000] [--question 40] [--rounds 3]

Prompts are token ids, so that a model without a tokenizer will do: a document, then a question of so many tokens.

    cold      the document and a first question
    question  the document and other questions: seconds to the first token, and the tokens that were computed for it
    again     the last of them once more
    floor     a prompt of as many tokens as were computed for a question, and nothing before it

CPU: seconds of the server's threads, divided by their number; on a machine with other work it is what counts.
Prints a table, or with --json one object.
"""
import argparse
import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time


class Server:
    def __init__(self, kontor, model, n_ctx, threads):
        self.home = tempfile.TemporaryDirectory(prefix="kontor-reuse-")
        env = {**os.environ, "KONTOR_HOME": self.home.name}
        self.threads = threads
        self.process = subprocess.Popen([kontor, "serve", "--threads", str(threads), "-m", model, "--ctx", str(n_ctx), "--streams", "1",
                                         "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True, env=env)
        for line in self.process.stderr:
            found = re.search(r"listening on http://[^ ]*:(\d+)$", line.strip())
            if found:
                self.port = int(found.group(1))
                break
        else:
            sys.exit("the server did not start")
        self.model = json.loads(self.get("/v1/models"))["data"][0]["id"]

    def get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3600)
        c.request("GET", path)
        return c.getresponse().read()

    def cpu(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") / self.threads

    def first_token(self, ids):
        """(seconds, CPU seconds of a thread, tokens computed) until the first token is there."""
        body = {"model": self.model, "prompt": ids, "max_tokens": 1, "temperature": 0}
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3600)
        start, cpu = time.monotonic(), self.cpu()
        c.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(c.getresponse().read())
        if "usage" not in answer:
            sys.exit(f"the server said {answer}")
        usage = answer["usage"]
        return (time.monotonic() - start, self.cpu() - cpu,
                usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"])

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.home.cleanup()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kontor", required=True)
    p.add_argument("-m", "--model", required=True)
    p.add_argument("--tokens", type=int, default=20000)
    p.add_argument("--question", type=int, default=40)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    rng = random.Random(1)
    ids = lambda n: [rng.randrange(1000, 30000) for _ in range(n)]
    server = Server(a.kontor, a.model, a.tokens + a.question + 64, a.threads)
    try:
        document = ids(a.tokens)
        rows = {"cold": server.first_token(document + ids(a.question))}
        prompts = [document + ids(a.question) for _ in range(a.rounds)]
        questions = [server.first_token(p) for p in prompts]
        rows["question 2"] = questions[0]
        if a.rounds > 1:
            rows["question 3 and later"] = tuple(statistics.median(column) for column in zip(*questions[1:]))
        rows["again"] = server.first_token(prompts[-1])
        rows["floor"] = server.first_token(ids(int(questions[0][2])))
    finally:
        server.stop()
    if a.json:
        print(json.dumps({name: dict(zip(("seconds", "cpu_seconds", "computed"), row)) for name, row in rows.items()}))
        return
    print(f"{'':22}{'seconds':>9}{'CPU':>9}{'computed':>10}")
    for name, (seconds, cpu, computed) in rows.items():
        print(f"{name:22}{seconds:9.2f}{cpu:9.2f}{computed:10.0f}")


if __name__ == "__main__":
    main()
