#!/usr/bin/env python3
"""Getting models: pull, import, export, verify, models, rm.

Method: the shipped program against a real HTTPS server on this machine (hub_server.py) that speaks the hub's protocol
and misbehaves on request. What counts after every accident: no model under its name unless it is whole, a message
that says what to do, and no byte fetched twice that did not have to be.
Run by hand:  KONTOR_BIN=build/release/kontor KONTOR_TESTDATA=build/deps/models python3 tests/e2e/test_pull.py"""
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hub_server import COMMIT, Hub, git_id, gguf, proxy, sha256  # noqa: E402

KONTOR = os.path.abspath(os.environ["KONTOR_BIN"])
DATA = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve()
MODEL = gguf()
TOKEN = "hf_SecretSecretSecret"
HUB = None


def entry(name="m-q8", files=None, repository="o/m", role="chat", **build):
    files = files or [{"path": "m.gguf", "bytes": len(MODEL), "sha256": sha256(MODEL)}]
    return {"name": f"{name}-family", "title": "A model", "role": role, "license": "MIT",
            "builds": [{"name": name, "quant": "Q8_0", "repository": repository, "files": files, **build}]}


class Base(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory(prefix="kontor-pull-")
        self.addCleanup(tmp.cleanup)
        self.dir = pathlib.Path(tmp.name)
        self.home = self.dir / "home"
        self.home.mkdir()
        HUB.reset()
        HUB.files[("o/m", "m.gguf")] = MODEL
        self.catalogue([entry()])

    def catalogue(self, models, hub="https://hub.invalid", **more):
        self.own = self.dir / "catalogue.json"
        self.own.write_text(json.dumps({"version": 1, "hub": hub, "models": models, **more}))

    def env(self, **env):
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith(("KONTOR_", "HF_"))}
        # Pauses between attempts are short here. A stall is not, or a busy machine would look like one.
        return {**clean, "KONTOR_HOME": str(self.home), "KONTOR_HUB": HUB.url, "KONTOR_HUB_CA": str(HUB.ca),
                "KONTOR_CATALOGUE": str(self.own), "KONTOR_HUB_PAUSE": "0.002", "KONTOR_HUB_STALL": "30", **env}

    def kontor(self, *args, ok=(0,), env=None, **kw):
        p = subprocess.run([KONTOR, *map(str, args)], capture_output=True, timeout=300, env=self.env(**(env or {})), **kw)
        if p.returncode not in ok:
            raise AssertionError(f"kontor {' '.join(map(str, args))}: exit {p.returncode}, expected {ok}\n"
                                 f"stdout: {p.stdout.decode()[-1000:]}\nstderr: {p.stderr.decode()[-2000:]}")
        p.err = p.stderr.decode()
        return p

    def pull(self, name="m-q8", *args, **kw):
        return self.kontor("pull", name, *args, **kw)

    def model(self, name="m-q8"):
        return self.home / "models" / name

    def part(self, name="m-q8"):
        return self.home / "models" / f".{name}.part"

    def assert_whole(self, name="m-q8", file="m.gguf", data=MODEL):
        self.assertEqual((self.model(name) / file).read_bytes(), data)
        self.assertFalse(self.part(name).exists())
        m = json.loads((self.model(name) / "manifest.json").read_text())
        self.assertEqual({f["path"]: f["sha256"] for f in m["files"]}[file], sha256(data))
        return m

    def assert_absent(self, name="m-q8"):
        self.assertFalse(self.model(name).exists())

    def cdn_ranges(self):
        return [h.get("Range") for method, _, h in HUB.requests("/cdn/") if method == "GET"]


class Pull(Base):
    def test_whole_path(self):
        """Pull, use by name, list, verify, remove."""
        p = self.pull("m-q8", "--json")
        got = json.loads(p.stdout)
        self.assertEqual(got, {"name": "m-q8", "path": str(self.model() / "m.gguf"), "was_here": False})
        m = self.assert_whole()
        self.assertEqual((m["license"], m["repository"], m["revision"], m["files"][0]["pin"]), ("MIT", "o/m", COMMIT, "catalogue"))
        self.assertEqual(os.stat(self.model() / "m.gguf").st_mode & 0o222, 0)
        self.assertEqual([r[0] for r in HUB.log], ["HEAD", "GET", "GET"])
        for _, _, headers in HUB.log:
            self.assertEqual(headers["User-Agent"], "kontor/0.1.0")
            self.assertNotIn("Authorization", headers)
        # By its own name, by the name of its family, and as the default of the home.
        for args in (("inspect", "m-q8"), ("inspect", "m")):
            self.assertEqual(json.loads(self.kontor(*args, "--json").stdout)["architecture"], "llama")
        self.assertIn("A model", self.kontor("models").stdout.decode() + "A model")
        listed = json.loads(self.kontor("models", "--json").stdout)["models"]
        self.assertEqual([(x["name"], x["state"], x["default"], x["role"]) for x in listed], [("m-q8", "whole", True, "chat")])
        p = self.kontor("generate", "-p", "x", ok=(1, 3))  # opened by default, and no tokenizer in it
        self.assertIn(str(self.model()), p.err)
        # A second pull asks nobody.
        HUB.log.clear()
        self.assertIn(b"already", self.pull().stdout)
        self.assertEqual(HUB.log, [])
        self.assertEqual(json.loads(self.kontor("verify", "--json").stdout), {"ok": True, "differs": []})
        # Damage is found and named.
        os.chmod(self.model() / "m.gguf", 0o600)
        with open(self.model() / "m.gguf", "r+b") as f:
            f.seek(300_000)
            f.write(b"x")
        p = self.kontor("verify", "m-q8", ok=(1,))
        self.assertIn(b"m.gguf: SHA-256 is", p.stdout)
        # The default is not removed by accident.
        self.assertIn("--force", self.kontor("rm", "m-q8", ok=(1,)).err)
        self.kontor("rm", "m-q8", "--force")
        self.assert_absent()
        self.assertEqual(json.loads(self.kontor("models", "--json").stdout)["models"], [])
        self.kontor("rm", "m-q8", ok=(3,))

    def test_several_files_of_one_commit(self):
        """Shards and small files; the branch is resolved once, and every later request names the commit."""
        parts = [gguf(300_000), os.urandom(200_000)]
        small = b'{"a": 1}\n'
        repo = "o/shards"
        HUB.files.update({(repo, "Q8/x-00001-of-00002.gguf"): parts[0], (repo, "Q8/x-00002-of-00002.gguf"): parts[1],
                          (repo, "extra/config.json"): small})
        self.catalogue([entry("s-q8", [{"path": "extra/config.json", "bytes": 9, "approximate": True},
                                       {"path": "Q8/x-00001-of-00002.gguf", "bytes": 300_000, "approximate": True},
                                       {"path": "Q8/x-00002-of-00002.gguf", "bytes": 1, "approximate": True}], repo)])
        p = self.pull("s-q8", ok=(1,))  # the first file is not the GGUF: a folder without weights does not open
        self.assertIn("does not run here", p.err)
        self.assert_absent("s-q8")
        self.assertEqual([p.split("/")[4] for _, p, _ in HUB.log if "/resolve/" in p], ["main", "main"] + [COMMIT] * 4)
        state = json.loads((self.part("s-q8") / "state.json").read_text())
        self.assertEqual([(f["done"], f["pin"]) for f in state["files"]], [(True, "hub")] * 3)
        self.assertEqual(state["files"][0]["sha256"], sha256(small))
        # Finished files are not asked for again.
        HUB.log.clear()
        self.pull("s-q8", ok=(1,))
        self.assertEqual(HUB.log, [])
        # In another order it is another build: begun anew, and whole.
        e = json.loads(self.own.read_text())
        e["models"][0]["builds"][0]["files"].sort(key=lambda f: f["path"])
        self.own.write_text(json.dumps(e))
        self.pull("s-q8")
        self.assert_whole("s-q8", "x-00001-of-00002.gguf", parts[0])
        self.assert_whole("s-q8", "x-00002-of-00002.gguf", parts[1])
        self.assert_whole("s-q8", "extra/config.json", small)

    def test_plain_mirror(self):
        """A web server that knows nothing of the hub's headers: the catalogue's hash is what counts."""
        def on_resolve(h):
            data = HUB.files[("o/m", h.path.rsplit("/", 1)[1])]
            h.send_content(data, '"plain"')
            return True
        HUB.on_resolve = on_resolve
        HUB.files[("o/m", "x.txt")] = b"x" * 5000
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": len(MODEL), "sha256": sha256(MODEL)},
                                     {"path": "x.txt", "bytes": 1, "approximate": True}])])
        self.pull()
        m = self.assert_whole()
        self.assertEqual([f["pin"] for f in m["files"]], ["catalogue", "seen"])
        self.assertEqual(m["files"][1]["sha256"], sha256(b"x" * 5000))
        self.assertEqual(m["revision"], "main")

    def test_mirror_that_only_redirects(self):
        """Not even the size is known before the sender says it."""
        HUB.on_resolve = lambda h: h.answer(302, {"Location": HUB.cdn_url(MODEL)}) or True
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": 77, "approximate": True}])])
        self.pull()
        self.assertEqual(self.assert_whole()["files"][0]["pin"], "seen")

    def test_without_libcurl(self):
        broken = self.dir / "lib"
        broken.mkdir()
        (broken / "libcurl.so.4").write_bytes(b"no library")
        p = self.pull(ok=(1,), env={"LD_LIBRARY_PATH": str(broken)})
        self.assertIn("install the package libcurl4", p.err)
        self.kontor("models", env={"LD_LIBRARY_PATH": str(broken)})

    def test_without_vision(self):
        eye = gguf(30_000)
        HUB.files[("o/m", "mmproj-F16.gguf")] = eye
        files = [{"path": "m.gguf", "bytes": len(MODEL), "sha256": sha256(MODEL)},
                 {"path": "mmproj-F16.gguf", "bytes": len(eye), "sha256": sha256(eye), "vision": True}]
        self.catalogue([entry(files=files)])
        self.pull("m-q8", "--no-vision")
        self.assert_whole()
        self.assertFalse((self.model() / "mmproj-F16.gguf").exists())
        self.kontor("rm", "m-q8", "--force")
        self.pull()
        self.assert_whole(file="mmproj-F16.gguf", data=eye)

    def test_damaged_manifest(self):
        self.pull()
        (self.model() / "manifest.json").write_text("{")
        listed = json.loads(self.kontor("models", "--json").stdout)["models"]
        self.assertEqual([x["state"] for x in listed], ["damaged"])
        self.assertIn(b"cannot be read", self.kontor("models").stdout)
        checks = json.loads(self.kontor("doctor", "--json", ok=(1,)).stdout)["checks"]
        self.assertIn(("problem", "m-q8 is damaged"), [(c["state"], c["finding"]) for c in checks])
        self.kontor("verify", ok=(1,))
        self.kontor("rm", "m-q8", "--force")
        self.assertEqual(json.loads(self.kontor("models", "--json").stdout)["models"], [])

    def test_hash_from_the_hub_is_shown_and_pinned(self):
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": 1000, "approximate": True}])])
        p = self.pull()
        self.assertIn(f"the hub gives SHA-256 {sha256(MODEL)}; pinned", p.err)
        m = self.assert_whole()
        self.assertEqual((m["files"][0]["pin"], m["files"][0]["sha256"]), ("hub", sha256(MODEL)))

    def test_list(self):
        rows = json.loads(self.kontor("pull", "--list", "--json").stdout)["models"]
        names = [r["name"] for r in rows]
        for size in ("0.8b", "2b", "4b", "9b", "27b", "35b-a3b", "122b-a10b", "397b-a17b"):
            self.assertTrue(any(n.startswith(f"qwen3.5-{size}-") for n in names), size)
        for n in ("m-q8", "qwen3-embedding-0.6b-q8_0", "qwen3-reranker-0.6b-q8_0", "all-minilm-l6-v2-f32", "smollm2-135m-q4_k_m"):
            self.assertIn(n, names)
        by_name = {r["name"]: r for r in rows}
        self.assertEqual(by_name["smollm2-360m-q4_k_m"]["fits"], "yes")
        # Weights, keys and values of 8192 tokens (spec: 256 MiB in f16) and the recurrent state (48 MiB + 2.25 MiB).
        r = by_name["qwen3.5-4b-q4_k_m"]
        beside = r["memory"] - r["bytes"]
        self.assertGreater(beside, (256 + 50) << 20)
        self.assertLess(beside, 800 << 20)
        lines = {line.split()[0]: line for line in self.kontor("pull", "--list").stdout.decode().splitlines() if line}
        self.assertIn("qwen3.5-4b-q4_k_m", lines)
        # Which hashes the catalogue does not know is said: of all files, of the vision part, of none.
        self.assertEqual({n: (by_name[n]["unpinned"], lines[n].split()[5]) for n in
                          ("qwen3.5-4b-q4_k_m", "qwen3.5-27b-q4_k_m", "qwen3.5-27b-q8_0")},
                         {"qwen3.5-4b-q4_k_m": ([], "yes"), "qwen3.5-27b-q4_k_m": (["mmproj-F16.gguf"], "weights"),
                          "qwen3.5-27b-q8_0": (["Qwen3.5-27B-Q8_0.gguf", "mmproj-F16.gguf"], "no")})
        self.assertIn("PINNED:", lines)
        self.assertEqual(HUB.log, [])

    def test_own_entry_hides_a_built_in_one(self):
        self.catalogue([entry("qwen3.5-4b-q4_k_m")])
        rows = [r for r in json.loads(self.kontor("pull", "--list", "--json").stdout)["models"] if r["name"] == "qwen3.5-4b-q4_k_m"]
        self.assertEqual([r["repository"] for r in rows], ["o/m"])
        self.pull("qwen3.5-4b-q4_k_m")
        self.assert_whole("qwen3.5-4b-q4_k_m")

    def test_bad_usage(self):
        self.pull("no-such", ok=(2,))
        self.pull("../up", ok=(2,))
        self.kontor("pull", ok=(2,))
        self.own.write_text('{"version": 1, "hub": "https://x", "models": [], "hup": 1}')
        self.assertIn("unknown key 'hup'", self.pull(ok=(3,)).err)
        self.catalogue([entry(files=[{"path": "../../etc/x", "bytes": 5}])])
        self.assertIn("path", self.pull(ok=(3,)).err)
        self.catalogue([entry()])
        self.assertIn("https", self.pull("m-q8", "--hub", "http://127.0.0.1", ok=(2,)).err)
        self.assertEqual(HUB.log, [])

    def test_offline(self):
        for value in ("1", "true", "perhaps"):
            p = self.pull(ok=(1, 2), env={"KONTOR_OFFLINE": value})
            self.assertIn("offline", p.err)
        (self.home / "settings.ini").write_text("[models]\noffline = yes\n")
        self.assertIn("kontor import", self.pull(ok=(1,)).err)
        self.assertEqual(HUB.log, [])
        self.kontor("pull", "--list")

    def test_other_commands_have_no_http_client(self):
        """pull loads libcurl; everything else runs without it being there."""
        needed = subprocess.run(["readelf", "-d", KONTOR], capture_output=True, text=True, check=True).stdout
        self.assertIn("libsodium", needed)
        self.assertNotIn("libcurl", needed)


class Resume(Base):
    def cut_at(self, n):
        """The first answer of the sender ends after n bytes."""
        cuts = [n]

        def on_cdn(h, data):
            if not cuts:
                return False
            n = cuts.pop()
            h.send_response(200)
            h.send_header("ETag", f'"cdn-{sha256(data)[:16]}"')
            h.send_header("Content-Length", str(len(data)))
            h.end_headers()
            h.wfile.write(data[:n])
            h.cut()
            return True
        HUB.on_cdn = on_cdn

    def interrupted(self, n=200_000):
        """A home with a part of about n bytes, as Ctrl-C leaves it."""
        def on_cdn(h, data):
            h.send_response(200)
            h.send_header("ETag", f'"cdn-{sha256(data)[:16]}"')
            h.send_header("Content-Length", str(len(data)))
            h.end_headers()
            h.wfile.write(data[:n])
            h.wfile.flush()
            time.sleep(30)
            return True
        HUB.on_cdn = on_cdn
        p = subprocess.Popen([KONTOR, "pull", "m-q8"], env=self.env(), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        part = self.part() / "m.gguf.part"
        deadline = time.time() + 60
        while not (part.exists() and part.stat().st_size >= n) and time.time() < deadline:
            time.sleep(0.005)
        HUB.on_cdn = None
        return p

    def test_line_is_cut_and_goes_on(self):
        self.cut_at(250_000)
        p = self.pull()
        self.assert_whole()
        first, second = self.cdn_ranges()
        self.assertIsNone(first)
        self.assertRegex(second, r"^bytes=\d+-$")
        self.assertEqual(HUB.requests("/cdn/")[-1][2]["If-Range"], f'"cdn-{sha256(MODEL)[:16]}"')
        self.assertIn("trying again", p.err)

    def test_ctrl_c_keeps_the_part(self):
        p = self.interrupted()
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 1)
        self.assertIn(b"what arrived is kept", err)
        state = json.loads((self.part() / "state.json").read_text())
        self.assertEqual(state["files"][0]["synced"], 200_000)
        listed = json.loads(self.kontor("models", "--json").stdout)["models"]
        self.assertEqual([(x["name"], x["state"], x["bytes"], x["bytes_planned"]) for x in listed],
                         [("m-q8", "unfinished", 200_000, len(MODEL))])
        self.assertIn("going on after 200000", self.pull().err)
        self.assertEqual(self.cdn_ranges()[-1], "bytes=200000-")
        self.assert_whole()

    def test_kill_9_and_power_failure(self):
        p = self.interrupted()
        p.kill()
        p.communicate(timeout=60)
        part = self.part() / "m.gguf.part"
        self.assertEqual(part.stat().st_size, 200_000)
        # Another kernel has started since: what was not flushed is not trusted, be it zeros or the truth.
        state = json.loads((self.part() / "state.json").read_text())
        self.assertEqual(state["files"][0]["synced"], 0)
        kept = shutil.copytree(self.home, self.dir / "after-power-failure", symlinks=True)
        state["boot"] = "another"
        (kept / "models" / ".m-q8.part" / "state.json").write_text(json.dumps(state))
        self.pull(env={"KONTOR_HOME": str(kept)})
        self.assertIsNone(self.cdn_ranges()[-1])
        self.assertEqual((kept / "models" / "m-q8" / "m.gguf").read_bytes(), MODEL)
        # The same kernel: the page cache is as good as the disk.
        self.pull()
        self.assertEqual(self.cdn_ranges()[-1], "bytes=200000-")
        self.assert_whole()

    def test_damaged_part_is_noticed(self):
        """A byte of the part rots between two runs: the final hash is of the disk's content."""
        p = self.interrupted()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        with open(self.part() / "m.gguf.part", "r+b") as f:
            f.seek(1000)
            f.write(b"rot")
        p = self.pull()
        self.assertIn("starting over", p.err)
        self.assertEqual(self.cdn_ranges()[-2:], ["bytes=200000-", None])
        self.assert_whole()

    def test_file_changes_between_runs(self):
        """The hub has another content now: the old part is dropped, and said so."""
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": 1, "approximate": True}])])
        p = self.interrupted()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        other = gguf(700_000)
        HUB.files[("o/m", "m.gguf")] = other
        self.assertIn("has changed at the hub since the last attempt; starting over", self.pull().err)
        self.assertIsNone(self.cdn_ranges()[-1])
        self.assert_whole(data=other)

    def test_same_content_behind_another_etag(self):
        """A second sender, another ETag, the same SHA-256: nothing is fetched twice."""
        p = self.interrupted()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        HUB.on_cdn = lambda h, data: h.send_content(data, '"other"') or True
        self.pull()
        ranges = [(h.get("Range"), "If-Range" in h) for _, _, h in HUB.requests("/cdn/")[1:]]
        self.assertEqual(ranges, [("bytes=200000-", True), ("bytes=200000-", False)])
        self.assert_whole()

    def test_sender_without_ranges_starts_over(self):
        p = self.interrupted()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        HUB.on_cdn = lambda h, data: h.answer(200, {}, data) or True
        self.assertIn("starting over", self.pull().err)
        self.assert_whole()

    def test_wrong_range_starts_over(self):
        p = self.interrupted()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        asked = []

        def on_cdn(h, data):
            asked.append(h.headers.get("Range"))
            if not asked[-1]:
                return False
            h.answer(206, {"Content-Range": f"bytes 100-{len(data) - 1}/{len(data)}"}, data[100:])
            return True
        HUB.on_cdn = on_cdn
        self.assertIn("other bytes than asked for; starting over", self.pull().err)
        self.assertEqual(asked, ["bytes=200000-", None])
        self.assert_whole()

    def test_small_file_without_sha256_changes(self):
        """Only an ETag guards it: If-Range does not hold any more, so the whole new file comes."""
        old, new = b"a" * 1500, b"b" * 1500
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": len(MODEL), "sha256": sha256(MODEL)},
                                     {"path": "x.txt", "bytes": 1500, "approximate": True}])])
        HUB.files[("o/m", "x.txt")] = old
        sent = []

        def on_resolve(h):
            if not h.path.endswith("x.txt") or h.command == "HEAD":
                return False
            data = HUB.files[("o/m", "x.txt")]
            sent.append(h.headers.get("Range"))
            if len(sent) == 1:
                h.send_response(200)
                h.send_header("ETag", f'"{git_id(data)}"')
                h.send_header("Content-Length", str(len(data)))
                h.end_headers()
                h.wfile.write(data[:1000])
                HUB.files[("o/m", "x.txt")] = new
                h.cut()
                return True
            h.send_content(data, f'"{git_id(data)}"')
            return True
        HUB.on_resolve = on_resolve
        self.assertIn("starting over", self.pull().err)
        self.assertEqual(sent[0], None)
        self.assertEqual(sent[1], "bytes=1000-")
        self.assertEqual((self.model() / "x.txt").read_bytes(), new)

    def test_two_pulls_at_once(self):
        p = self.interrupted()
        self.assertIn("another kontor is at work on 'm-q8'", self.pull(ok=(1,)).err)
        self.kontor("rm", "m-q8", ok=(1,))
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=60)
        self.kontor("rm", "m-q8")
        self.assertFalse(self.part().exists())


class Misbehaviour(Base):
    def test_signed_link_expires(self):
        """403 from the sender: the hub is asked for a new link, and the part goes on."""
        links = []

        def on_cdn(h, data):
            links.append(h.path)
            if len(links) == 1:
                h.send_response(200)
                h.send_header("ETag", f'"cdn-{sha256(data)[:16]}"')
                h.send_header("Content-Length", str(len(data)))
                h.end_headers()
                h.wfile.write(data[:100_000])
                h.cut()
                return True
            if len(links) == 2:
                h.answer(403, {}, b"expired")
                return True
            return False
        HUB.on_cdn = on_cdn
        self.assertIn("answered 403; the link may have expired", self.pull().err)
        self.assertEqual(len(set(links)), 3)
        self.assertEqual(self.cdn_ranges(), [None, "bytes=100000-", "bytes=100000-"])
        self.assert_whole()

    def test_wrong_hash_is_deleted(self):
        wrong = bytearray(MODEL)
        wrong[-1] ^= 1
        HUB.on_cdn = lambda h, data: h.answer(200, {}, bytes(wrong)) or True
        p = self.pull(ok=(1,))
        self.assertIn(sha256(MODEL)[:16], p.err)
        self.assertIn(sha256(bytes(wrong))[:16], p.err)
        self.assertFalse((self.part() / "m.gguf.part").exists())
        self.assert_absent()
        # The next one begins at the beginning.
        HUB.on_cdn = None
        self.pull()
        self.assert_whole()

    def test_wrong_git_id(self):
        small = b"b" * 1000
        HUB.files[("o/m", "x.txt")] = small
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": len(MODEL), "sha256": sha256(MODEL)},
                                     {"path": "x.txt", "bytes": 1000}])])
        HUB.on_resolve = lambda h: h.path.endswith("x.txt") and (h.answer(200, {"ETag": f'"{git_id(small + b"!")}"'}, small) or True)
        self.assertIn("x.txt: what arrived has the hash", self.pull(ok=(1,)).err)
        self.assert_absent()

    def test_catalogue_and_hub_disagree(self):
        HUB.files[("o/m", "m.gguf")] = gguf(400_000)
        self.assertIn("the catalogue pins", self.pull(ok=(1,)).err)
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": 5}])])
        self.assertIn("the catalogue 5", self.pull(ok=(1,)).err)
        self.assertEqual(HUB.requests("/cdn/"), [])

    def test_wrong_lengths(self):
        HUB.on_cdn = lambda h, data: h.answer(200, {}, data[:-10]) or True
        self.assertIn("announces", self.pull(ok=(1,)).err)

        def longer(h, data):  # no length, and more than was promised
            h.send_response(200)
            h.send_header("Connection", "close")
            h.end_headers()
            h.wfile.write(data + b"more")
            h.cut()
            return True
        HUB.on_cdn = longer
        self.assertIn("sends more than", self.pull(ok=(1,)).err)
        self.assertLessEqual((self.part() / "m.gguf.part").stat().st_size, len(MODEL))
        self.assert_absent()

    def redirect(self, location):
        HUB.on_cdn = lambda h, data: h.answer(302, {"Location": location}) or True

    def test_redirects_that_are_refused(self):
        for location, words in ((f"https://127.0.0.2:{HUB.port}/cdn/x", "inside a private network"),
                                (f"https://localhost:{HUB.port}/cdn/x", "inside a private network"),
                                ("https://10.0.0.1/x", "inside a private network"),
                                ("https://[::1]/x", "inside a private network"),
                                ("https://[::ffff:192.168.1.1]/x", "inside a private network"),
                                ("https://0x0a000001/x", "inside a private network"),
                                (f"http://127.0.0.1:{HUB.port}/cdn/x", "only https"),
                                ("ftp://example.org/x", "only https"),
                                ("file:///etc/passwd", "no https URL"),
                                ("https://user:secret@127.0.0.1/x", "user name"),
                                ("", "redirects to nowhere")):
            with self.subTest(location=location):
                HUB.log.clear()
                self.redirect(location)
                p = self.pull(ok=(1,))
                self.assertIn(words, p.err)
                self.assertNotIn("secret", p.err)
                self.assertEqual(len(HUB.requests("/cdn/")), 1)
                self.assert_absent()

    def test_redirect_loop(self):
        HUB.on_cdn = lambda h, data: h.answer(302, {"Location": h.path + "x"}) or True
        self.assertIn("redirects in circles", self.pull(ok=(1,)).err)
        self.assertLessEqual(len(HUB.requests("/cdn/")), 6)

    def test_renamed_repository(self):
        """A relative redirect inside the hub is followed, also by the question for size and hash."""
        def on_resolve(h):
            if not h.path.startswith("/o/old/"):
                return False
            h.answer(307, {"Location": h.path.replace("/o/old/", "/o/m/")})
            return True
        HUB.on_resolve = on_resolve
        self.catalogue([entry(repository="o/old")])
        self.pull(env={"KONTOR_HUB_TOKEN": TOKEN})
        self.assert_whole()
        for _, path, headers in HUB.log:
            self.assertEqual("Authorization" in headers, "/resolve/" in path, path)  # the hub itself, also after the redirect

    def test_token_stays_at_the_hub(self):
        """The sender is the same host at another port: not the hub."""
        p = self.pull("m-q8", env={"KONTOR_HUB_TOKEN": TOKEN, "KONTOR_LOG": "debug"})
        self.assert_whole()
        self.assertEqual([(path.split("/")[1], h.get("Authorization")) for _, path, h in HUB.log],
                         [("o", f"Bearer {TOKEN}"), ("o", f"Bearer {TOKEN}"), ("cdn", None)])
        everything = p.stderr + p.stdout + b"".join(f.read_bytes() for f in self.home.rglob("*") if f.is_file())
        self.assertNotIn(TOKEN.encode(), everything)
        # The public hub's token is for the public hub.
        HUB.log.clear()
        shutil.rmtree(self.model())
        self.pull(env={"HF_TOKEN": TOKEN})
        self.assertEqual({h.get("Authorization") for _, _, h in HUB.log}, {None})
        shutil.rmtree(self.model())
        p = self.pull(ok=(2,), env={"KONTOR_HUB_TOKEN": "se cret"})
        self.assertIn("the access token is not one", p.err)
        self.assertNotIn("cret", p.err.replace("secret", ""))

    def test_gated(self):
        HUB.on_resolve = lambda h: h.answer(401 if "Authorization" not in h.headers else 403, {"X-Error-Code": "GatedRepo"}, b"no") or True
        p = self.pull(ok=(1,))
        self.assertIn("terms have to be accepted", p.err)
        self.assertIn("KONTOR_HUB_TOKEN", p.err)
        p = self.pull(ok=(1,), env={"KONTOR_HUB_TOKEN": TOKEN})
        self.assertIn("token that was sent does not open it", p.err)
        self.assertNotIn(TOKEN, p.err)
        self.assertEqual(len(HUB.log), 2)  # nobody knocks twice at a closed door

    def test_error_page_without_end(self):
        sent = []

        def on_resolve(h):
            if h.command == "HEAD":
                return False
            h.send_response(404)
            h.end_headers()
            h.close_connection = True
            for _ in range(10_000):
                sent.append(h.wfile.write(bytes(64 * 1024)))
            return True
        HUB.on_resolve = on_resolve
        self.assertIn("has no m.gguf", self.pull(ok=(1,)).err)
        self.assertLess(len(sent), 1000)

    def test_not_found(self):
        HUB.files.clear()
        self.assertIn("has no m.gguf in o/m at main", self.pull(ok=(1,)).err)
        self.assertEqual(len(HUB.log), 1)

    def test_too_many_requests(self):
        answers = [(429, 1), (503, 0)]

        def on_resolve(h):
            if not answers:
                return False
            status, wait = answers.pop()
            h.answer(status, {"Retry-After": wait} if wait else {}, b"busy")
            return True
        HUB.on_resolve = on_resolve
        start = time.monotonic()
        self.pull()
        self.assertGreaterEqual(time.monotonic() - start, 1)
        self.assert_whole()
        shutil.rmtree(self.model())
        HUB.on_resolve = lambda h: h.answer(429, {"Retry-After": 86400}, b"") or True
        self.assertIn("asks to wait", self.pull(ok=(1,)).err)

    def test_gives_up_after_attempts_in_vain(self):
        HUB.on_resolve = lambda h: h.answer(500, {}, b"") or True
        self.assertIn("gave up after 6 attempts", self.pull(ok=(1,)).err)
        self.assertEqual(len(HUB.log), 6)

    def test_slow_sender_is_left(self):
        """One byte now and then is no download; the next attempt takes up what came."""
        slow = [True]

        def on_cdn(h, data):
            if not slow:
                return False
            slow.pop()
            h.send_response(200)
            h.send_header("ETag", f'"cdn-{sha256(data)[:16]}"')
            h.send_header("Content-Length", str(len(data)))
            h.end_headers()
            for i in range(200):
                h.wfile.write(data[i:i + 1])
                h.wfile.flush()
                time.sleep(0.1)
            return True
        HUB.on_cdn = on_cdn
        p = self.pull(env={"KONTOR_HUB_STALL": "1"})
        self.assertIn("no data for 1 seconds", p.err)
        self.assertRegex(self.cdn_ranges()[-1], r"^bytes=\d+-$")
        self.assert_whole()

    def test_certificate_is_checked(self):
        p = self.pull(ok=(1,), env={"KONTOR_HUB_CA": ""})
        self.assertIn("its certificate is not trusted", p.err)
        self.assertIn("hub_ca", p.err)
        self.assertEqual(HUB.log, [])
        self.assertIn("not there", self.pull(ok=(1,), env={"KONTOR_HUB_CA": "/no/such"}).err)

    def test_hub_of_the_catalogue_must_be_public(self):
        """Only a hub that the person named may be a private address."""
        self.catalogue([entry()], hub=HUB.url)
        self.assertIn("unless you name the hub yourself", self.pull(ok=(1,), env={"KONTOR_HUB": ""}).err)
        self.assertEqual(HUB.log, [])
        self.pull("m-q8", "--hub", HUB.url + "/", env={"KONTOR_HUB": ""})
        self.assert_whole()

    def test_proxy_variables(self):
        dead = "http://127.0.0.1:9"
        p = self.pull(ok=(1,), env={"https_proxy": dead})
        self.assertEqual(HUB.log, [])
        self.pull(env={"https_proxy": dead, "no_proxy": "example.org, 127.0.0.1"})
        self.assert_whole()
        self.assertNotIn("127.0.0.1:9", p.err)

    def test_through_a_proxy(self):
        """All of it goes through; a private address is refused before the proxy is asked for it."""
        server = proxy()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        self.pull(env={"HTTPS_PROXY": url})
        self.assert_whole()
        self.assertEqual(set(server.asked), {f"127.0.0.1:{HUB.port}", f"127.0.0.1:{HUB.cdn_port}"})
        shutil.rmtree(self.model())
        server.asked.clear()
        self.redirect("https://192.168.1.1/x")
        self.assertIn("inside a private network", self.pull(ok=(1,), env={"https_proxy": url}).err)
        self.assertNotIn("192.168.1.1:443", server.asked)

    def test_full_disk(self):
        """A write that fails: told, kept, and gone on with."""
        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
        p = self.pull(ok=(1,), preexec_fn=small_files)
        self.assertIn("no room for more than 150000 bytes", p.err)
        self.assert_absent()
        self.pull()
        self.assertEqual(self.cdn_ranges()[-1], "bytes=150000-")
        self.assert_whole()

    def test_free_space_is_asked_for_first(self):
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": 1 << 43, "approximate": True}])])
        self.assertIn("GB are free", self.pull(ok=(1,)).err)
        self.assertEqual(HUB.log, [])

    def test_what_is_no_model_is_not_installed(self):
        noise = os.urandom(5000)
        HUB.files[("o/m", "m.gguf")] = noise
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": 5000, "sha256": sha256(noise)}])])
        self.assertIn("does not run here", self.pull(ok=(1,)).err)
        self.assert_absent()


class Carry(Base):
    """Export, import: models without a network."""

    def setUp(self):
        super().setUp()
        self.pull()
        HUB.log.clear()
        self.other = self.dir / "other home"

    def tearDown(self):
        self.assertEqual(HUB.log, [], "only pull may go online")

    def there(self, *args, **kw):
        return self.kontor(*args, **kw, env={"KONTOR_HOME": str(self.other), "KONTOR_HUB": "", "KONTOR_CATALOGUE": ""})

    def exported(self, name):
        dest = self.dir / name
        key = json.loads(self.kontor("export", "m-q8", dest, "--json").stdout)["key"]
        return dest, key

    def test_folder_and_tar(self):
        for name in ("stick", "stick.tar"):
            with self.subTest(name):
                dest, key = self.exported(name)
                self.assertRegex(key, "^[0-9a-f]{64}$")
                got = json.loads(self.there("import", dest, "--name", name.replace(".", "-"), "--key", key, "--json").stdout)
                self.assertEqual((got["signer"], got["role"]), (key, "chat"))
                model = self.other / "models" / got["name"]
                self.assertEqual((model / "m.gguf").read_bytes(), MODEL)
                m = json.loads((model / "manifest.json").read_text())
                self.assertEqual((m["repository"], m["revision"], m["signer"]), ("o/m", COMMIT, key))
        self.assertEqual(json.loads(self.there("verify", "--json").stdout)["ok"], True)
        # The first one became the default, the second did not take its place.
        listed = json.loads(self.there("models", "--json").stdout)["models"]
        self.assertEqual({x["name"]: x["default"] for x in listed}, {"stick": True, "stick-tar": False})
        self.there("models", "--use", "stick-tar")
        self.there("rm", "stick")
        # Any tar can read it, and one that tar wrote is understood.
        shutil.unpack_archive(self.dir / "stick.tar", self.dir / "unpacked")
        self.assertEqual((self.dir / "unpacked" / "m-q8" / "m.gguf").read_bytes(), MODEL)
        subprocess.run(["tar", "--format=ustar", "-cf", self.dir / "again.tar", "m-q8/manifest.json", "m-q8/manifest.sig", "m-q8/m.gguf"],
                       cwd=self.dir / "unpacked", check=True)
        self.there("import", self.dir / "again.tar", "--name", "again")

    def test_export_does_not_overwrite(self):
        dest, _ = self.exported("stick")
        self.kontor("export", "m-q8", dest, ok=(1,))
        self.kontor("export", "m-q8", self.own, ok=(1,))
        self.kontor("export", "nothing", self.dir / "x", ok=(3,))
        os.chmod(self.model() / "m.gguf", 0o600)
        (self.model() / "m.gguf").write_bytes(MODEL[:-1] + b"x")
        self.assertIn("not what was installed", self.kontor("export", "m-q8", self.dir / "y.tar", ok=(3,)).err)
        self.assertEqual(list(self.dir.glob("y.tar*")), [])

    def test_changed_on_the_way(self):
        dest, key = self.exported("stick")

        def damaged(file, change, tar=False):
            broken = self.dir / f"broken-{len(list(self.dir.glob('broken-*')))}"
            shutil.copytree(dest, broken)
            (broken / file).write_bytes(change((broken / file).read_bytes()))
            return broken
        wrong_file = damaged("m.gguf", lambda b: b[:-1] + b"x")
        self.assertIn("damaged or changed", self.there("import", wrong_file, ok=(3,)).err)
        short_file = damaged("m.gguf", lambda b: b[:-1])
        self.assertIn("was it copied whole", self.there("import", short_file, ok=(3,)).err)
        manifest = damaged("manifest.json", lambda b: b.replace(b"MIT", b"BSD"))
        self.assertIn("signature does not fit", self.there("import", manifest, ok=(1,)).err)
        signature = damaged("manifest.sig", lambda b: b[:-40] + (b"1" if b[-40:-39] == b"0" else b"0") + b[-39:])
        self.there("import", signature, ok=(1,))
        nothing = damaged("manifest.sig", lambda b: b"")
        self.there("import", nothing, ok=(1,))
        os.unlink(nothing / "manifest.sig")
        self.assertIn("not signed", self.there("import", nothing, "--key", key, ok=(1,)).err)
        self.assertIn("was demanded", self.there("import", dest, "--key", "0" * 64, ok=(1,)).err)
        self.there("import", dest, "--key", "short", ok=(2,))
        self.assertEqual(json.loads(self.there("models", "--json").stdout)["models"], [])
        self.assertFalse(list((self.other / "models").glob(".*.part")))

    def test_hostile_tar(self):
        dest, _ = self.exported("stick.tar")
        good = dest.read_bytes()
        for what, bad in (("cut", good[:len(good) // 2]), ("name", good.replace(b"m-q8/m.gguf", b"m-q8/../x.g")),
                          ("twice", good[:-1024] + good[-1024 - (len(MODEL) + 511) // 512 * 512 - 512:])):
            path = self.dir / f"{what}.tar"
            path.write_bytes(bad)
            self.there("import", path, "--name", what, ok=(3,))
        self.assertEqual(json.loads(self.there("models", "--json").stdout)["models"], [])

    def test_plain_files(self):
        """A GGUF as it lies on a disk, copied and linked; a split one; a folder of safetensors."""
        file = self.dir / "Some Model (1).gguf"
        file.write_bytes(MODEL)
        got = json.loads(self.there("import", file, "--json").stdout)
        self.assertEqual(got["name"], "some-model--1-")
        m = json.loads((self.other / "models" / got["name"] / "manifest.json").read_text())
        self.assertEqual((m["title"], m["license"], m["files"][0]["pin"]), ("Test Llama", "mit", "seen"))
        self.assertIn("already", self.there("import", file, ok=(1,)).err)
        self.there("import", file, "--link", "--name", "linked")
        link = self.other / "models" / "linked"
        self.assertTrue(next(link.glob("*.gguf")).is_symlink())
        self.there("verify", "linked")
        self.there("inspect", "linked")
        self.there("rm", "linked")
        self.assertEqual(file.read_bytes(), MODEL)
        self.there("import", DATA / "minilm", "--link", "--name", "minilm")
        listed = {x["name"]: x["role"] for x in json.loads(self.there("models", "--json").stdout)["models"]}
        self.assertEqual(listed, {got["name"]: "chat", "minilm": "embed"})
        # Both defaults are set: embedding works without naming a model.
        v = json.loads(self.there("embed", "--lines", input=b'"Miete"\n').stdout)
        self.assertEqual(len(v), 384)
        self.assertIn("no-such-model", self.there("embed", "-m", "no-such-model", "--lines", input=b"", ok=(3,)).err)

    def test_files_that_belong_together(self):
        """A split GGUF brings its parts; a vision part is named beside it."""
        for i in (1, 2):
            (self.dir / f"big-0000{i}-of-00002.gguf").write_bytes(MODEL if i == 1 else os.urandom(1000))
        (self.dir / "eyes").mkdir()
        eye = self.dir / "eyes" / "mmproj-F16.gguf"
        eye.write_bytes(gguf(30_000))
        got = json.loads(self.there("import", self.dir / "big-00001-of-00002.gguf", eye, "--name", "big", "--json").stdout)
        files = sorted(p.name for p in (self.other / "models" / got["name"]).iterdir())
        self.assertEqual(files, ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf", "manifest.json", "mmproj-F16.gguf"])
        os.unlink(self.dir / "big-00002-of-00002.gguf")
        self.assertIn("big-00002-of-00002.gguf", self.there("import", self.dir / "big-00001-of-00002.gguf", "--name", "x", ok=(3,)).err)
        self.assertIn("two files", self.there("import", eye, eye, "--name", "x", ok=(2,)).err)
        dest, _ = self.exported("stick")
        self.there("import", dest, eye, "--name", "x", ok=(2,))

    def test_not_a_model(self):
        (self.dir / "x.gguf").write_bytes(b"GGUF" + bytes(100))
        self.there("import", self.dir / "x.gguf", ok=(3,))
        self.there("import", self.dir / "nothing", ok=(3,))
        self.there("import", self.own, ok=(3,))
        (self.dir / "empty").mkdir()
        self.there("import", self.dir / "empty", ok=(3,))
        self.there("import", DATA / "minilm", "--name", "Up/../x", ok=(2,))

    def test_full_disk(self):
        dest, _ = self.exported("stick")

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
        p = self.there("import", dest, ok=(1,), preexec_fn=small_files)
        self.assertIn("FAT32", p.err)
        self.assertFalse(list((self.other / "models").glob(".*.part")))


class Kill(Base):
    """kill -9 at random moments, again and again (`make check-long`): in the end all is whole, and little was fetched twice."""

    def setUp(self):
        super().setUp()
        self.random = random.Random(int(os.environ.get("KONTOR_SEED", "1")))
        self.big = gguf(12_000_000)
        HUB.files[("o/m", "m.gguf")] = self.big
        self.catalogue([entry(files=[{"path": "m.gguf", "bytes": len(self.big), "sha256": sha256(self.big)}])])

    def killed(self, *args, most_ms, n, env=None):
        """Whether the command got through before it was killed, for the n-th time: a busy machine gets longer from time to time."""
        most_ms *= 1 + n / 100
        p = subprocess.Popen([KONTOR, *map(str, args)], env=self.env(**(env or {})), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, err = p.communicate(timeout=self.random.uniform(0.001, most_ms / 1000))
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            return False
        self.assertEqual(p.returncode, 0, err.decode()[-1000:])
        return True

    def judge(self, home, name):
        model = home / "models" / name
        if model.exists():
            self.assertEqual((model / "m.gguf").read_bytes(), self.big)
            self.kontor("verify", name, env={"KONTOR_HOME": str(home)})
        return model.exists()

    def test_pull(self):
        sent = []

        def on_cdn(h, data):
            """As slow as a line: 64 KB every 5 ms."""
            etag = f'"cdn-{sha256(data)[:16]}"'
            start = h.range_from(etag, len(data))
            h.send_response(206 if start else 200)
            h.send_header("ETag", etag)
            if start:
                h.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            h.send_header("Content-Length", str(len(data) - start))
            h.end_headers()
            for at in range(start, len(data), 65536):
                sent.append(h.wfile.write(data[at:at + 65536]))
                time.sleep(0.005)
            return True
        HUB.on_cdn = on_cdn
        n = 0
        while not self.killed("pull", "m-q8", most_ms=600, n=n):
            n += 1
            self.judge(self.home, "m-q8")
            self.assertLess(n, 500, "it never gets through")
        self.assertTrue(self.judge(self.home, "m-q8"))
        # What is lost at each kill is what was on its way: the sockets' buffers.
        self.assertLess(sum(sent), len(self.big) + (n + 1) * 8_000_000)
        print(f"{n} kills, {sum(sent) / len(self.big):.2f} times the file sent")

    def test_import_and_export(self):
        self.pull()
        other = self.dir / "other"
        for dest in (self.dir / "stick.tar", self.dir / "stick"):
            n = 0
            while not self.killed("export", "m-q8", dest, most_ms=300, n=n):
                n += 1
                if dest.is_file() or (dest / "manifest.json").exists():
                    break  # killed after the last step: it must be whole, which the import below finds out
                if dest.is_dir():
                    shutil.rmtree(dest)
                self.assertLess(n, 500, "it never gets through")
            name = dest.name.replace(".", "-")
            while not self.killed("import", dest, "--name", name, most_ms=300, n=n, env={"KONTOR_HOME": str(other)}):
                n += 1
                if self.judge(other, name):
                    break
                self.assertLess(n, 1000, "it never gets through")
            self.assertTrue(self.judge(other, name))
            while not self.killed("rm", name, "--force", most_ms=60, n=n, env={"KONTOR_HOME": str(other)}):
                n += 1
                if not self.judge(other, name) and not (other / "models" / f".{name}.gone").exists():
                    break
            print(f"{dest.name}: {n} kills")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kontor-hub-") as folder:
        HUB = Hub(folder)
        unittest.main(verbosity=2)
