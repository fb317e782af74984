#!/usr/bin/env python3
"""What others say of the server: schemathesis of docs/openapi.json, promtool of /metrics.

Method: the served file, narrowed to models, matters and documents that are there and to short answers, so that requests reach what
is behind the checks; schemathesis makes requests that follow it and requests that do not, to every route, and judges the answers:
statuses and bodies as described, nothing accepted that the file forbids, no key and a wrong one refused, never a 500.
schemathesis is installed by tools/fetch.sh (tools/schemathesis.txt), promtool by tools/unpack.sh. KONTOR_SCHEMA_EXAMPLES says how many
requests of each kind (default 10).
Run by hand:  KONTOR_BIN=... KONTOR_SOURCE=. KONTOR_TESTDATA=... python3 tests/serve/test_serve_schema.py"""
import copy
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from serve_help import CHAT, CHAT_MODEL, EMBED, Server, kontor

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])
DEPS = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve().parent
EXAMPLES = os.environ.get("KONTOR_SCHEMA_EXAMPLES", "10")


def narrowed(file, matter, documents, response):
    """The same file with the values of this server where any string would do."""
    file = copy.deepcopy(file)
    schemas = file["components"]["schemas"]
    for name in ("ChatRequest", "CompletionRequest", "ResponsesRequest", "MessagesRequest", "CountRequest"):
        schemas[name]["properties"]["model"] = {"enum": [CHAT]}
    for name in ("EmbeddingRequest", "RerankRequest"):
        schemas[name]["properties"]["model"] = {"enum": [EMBED]}
    for name, field in (("ChatRequest", "max_tokens"), ("CompletionRequest", "max_tokens"), ("MessagesRequest", "max_tokens"),
                        ("ResponsesRequest", "max_output_tokens")):
        schemas[name]["properties"][field] = {"type": "integer", "minimum": 1, "maximum": 3}
    schemas["ChatRequest"]["properties"].pop("max_completion_tokens")
    for name in ("ChatRequest", "CompletionRequest"):  # tokens that the model has
        schemas[name]["properties"]["logit_bias"]["anyOf"][0]["propertyNames"]["pattern"] = "^(0|[1-9][0-9]{0,3})$"
    values = {"matter": [matter], "document": documents, "response": [response], "path": ["/upload/lease.txt"], "model": [CHAT, EMBED]}
    for operations in file["paths"].values():
        for operation in operations.values():
            for p in operation.get("parameters", []):
                if p["name"] in values:
                    p["schema"] = {"enum": values[p["name"]]}
    # that would end the rest
    file["paths"]["/api/matters/{matter}"].pop("delete")
    return file


class Schema(unittest.TestCase):
    def test_schemathesis(self):
        # a small context, so that answers without a bound of their own are short as well
        server = Server("--root", SOURCE / "tests" / "data" / "documents", "-m", CHAT_MODEL, "--ctx", "256", "--memory", "900", models="embed")
        self.addCleanup(server.stop)
        kontor(server.home, "user", "add", "anna", "--admin")
        key = kontor(server.home, "user", "key", "anna").stdout.strip()
        matter = server.call("POST", "/api/matters", {"name": "Miete"}, key)[1]["id"]
        lease = (SOURCE / "tests" / "data" / "documents" / "lease.txt").read_bytes()
        for i in range(20):
            server.call("PUT", f"/api/documents?matter={matter}&name=lease{i or ''}.txt", lease, key)
        documents = [d["id"] for d in server.call("GET", "/api/documents?matter=" + matter, key=key)[1]["documents"]]
        kept = server.call("POST", "/v1/responses", {"model": CHAT, "input": "Hi", "max_output_tokens": 1}, key)[1]["id"]
        with tempfile.TemporaryDirectory(prefix="kontor-schema-") as d:
            path = pathlib.Path(d) / "openapi.json"
            path.write_text(json.dumps(narrowed(server.call("GET", "/openapi.json")[1], matter, documents, kept)))
            env = {**os.environ, "PYTHONPATH": str(DEPS / "schemathesis")}
            command = ["from schemathesis.cli import schemathesis; schemathesis()", "--config-file", HERE / "schemathesis.toml", "run", path,
                       "--url", server.url, "--max-examples", EXAMPLES, "--phases", "coverage,fuzzing", "--workers", "1", "--no-color",
                       "--request-timeout", "120", "-H", "Authorization: Bearer " + key, *sys.argv[1:]]
            done = subprocess.run([sys.executable, "-c", *map(str, command)], cwd=d, env=env, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-12000:] + done.stderr[-2000:])
        self.assertRegex(done.stdout, r"Tested: [34]\d")
        self.assertNotIn("api.failed", server.log())


class Metrics(unittest.TestCase):
    def test_promtool(self):
        promtool = shutil.which("promtool") or str(DEPS / "programs" / "usr" / "bin" / "promtool")
        server = Server(models="embed")
        self.addCleanup(server.stop)
        server.call("GET", "/v1/models")
        text = server.call("GET", "/metrics")[1]
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        broken = subprocess.run([promtool, "check", "metrics"], input=text + "kontor_x 1\nkontor_x 2\n", capture_output=True, text=True)
        self.assertNotEqual(broken.returncode, 0, "promtool would have noticed")


if __name__ == "__main__":
    classes = [a for a in sys.argv[1:] if a.split(".")[0] in ("Schema", "Metrics")]
    sys.argv[1:] = [a for a in sys.argv[1:] if a not in classes]
    unittest.main(argv=[sys.argv[0], *classes], verbosity=2)
