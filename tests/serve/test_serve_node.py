#!/usr/bin/env python3
"""The official clients for Node.js against the real server: clients.mjs says what they try.

They are unpacked by tools/fetch.sh (tools/pins.txt), pinned; Node.js is Debian's.
Run by hand:  KONTOR_BIN=... KONTOR_SOURCE=. KONTOR_TESTDATA=... python3 tests/serve/test_serve_node.py .../sighted_folder"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import test_look as look  # noqa: E402  takes the path of sighted_folder from the command line
from serve_help import EMBED, PATIENCE, Server, kontor  # noqa: E402

NODE = pathlib.Path(os.environ["KONTOR_TESTDATA"]).parent / "node"


class Node(unittest.TestCase):
    def test_clients(self):
        with tempfile.TemporaryDirectory(prefix="kontor-serve-node-") as d:
            model = pathlib.Path(d) / "sighted"
            model.mkdir()
            subprocess.run([look.WRITER, model], check=True)
            look.write_tokenizer(model)
            server = Server("-m", model, "--ctx", "2048", "--memory", "900", models="embed")
            self.addCleanup(server.stop)
            kontor(server.home, "user", "add", "anna")
            env = {**os.environ, "KONTOR_URL": server.url, "KONTOR_KEY": kontor(server.home, "user", "key", "anna").stdout.strip(),
                   "KONTOR_NODE": str(NODE), "KONTOR_PICTURE": str(look.PICTURES / "colour.png"), "KONTOR_EMBED": EMBED}
            done = subprocess.run(["node", HERE / "clients.mjs"], capture_output=True, text=True, env=env, timeout=3 * PATIENCE)
            self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:])
            self.assertGreaterEqual(int(re.search(r"^(?:#|ℹ) pass (\d+)$", done.stdout, re.M).group(1)), 9, done.stdout[-1000:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
