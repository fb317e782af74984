#!/usr/bin/env python3
"""The page for people, without a browser: how its files are served, and that what they say can be true.

Page: the headers that keep a browser strict, every word in every language, every request of the page a route that
/openapi.json describes, nothing from elsewhere. Passage: the text around a place, over HTTP, from the real program."""
import json
import os
import pathlib
import re
import unittest
import urllib.parse

from serve_help import Server, kontor

SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])
WEB = SOURCE / "web"
SAMPLES = SOURCE / "tests" / "data" / "documents"
SCRIPTS = sorted(WEB.glob("*.js"))


def text_of(path):
    return path.read_text(encoding="utf-8")


def word_tables():
    """{language: {key: text}} of words.js."""
    text = text_of(WEB / "words.js")
    tables = {}
    for language, body in re.findall(r"^  (\w\w): \{\n(.*?)^  \},$", text, re.M | re.S):
        pairs = re.findall(r'^    "([\w.]+)": "((?:[^"\\]|\\.)*)",$', body, re.M)
        lines = [line for line in body.splitlines() if line.strip()]
        assert len(pairs) == len(lines), f"{language}: a line that is not a word: {set(lines)}"
        assert len({key for key, _ in pairs}) == len(pairs), f"{language}: a key twice"
        tables[language] = dict(pairs)
    return tables


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log()

    def test_every_file_is_served_strictly(self):
        types = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
                 ".html": "text/html; charset=utf-8"}
        tags = set()
        files = sorted(WEB.iterdir())
        self.assertGreaterEqual(len(files), 8)
        for file in files:
            path = "/" if file.name == "index.html" else "/page/" + file.name
            with self.subTest(path):
                status, body, headers = self.server.call("GET", path)
                self.assertEqual((status, body), (200, text_of(file)))
                self.assertEqual(headers["Content-Type"], types[file.suffix])
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["Referrer-Policy"], "no-referrer")
                self.assertEqual(headers["Cache-Control"], "no-cache")
                policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
                self.assertEqual(policy["default-src"], "'none'")
                for name in ("script-src", "style-src", "connect-src", "img-src"):
                    self.assertEqual(policy[name], "'self'")
                for name in ("frame-ancestors", "base-uri", "form-action", "trusted-types"):
                    self.assertEqual(policy[name], "'none'")
                tags.add(headers["ETag"])
                same = self.server.call("GET", path, headers={"If-None-Match": headers["ETag"]})
                self.assertEqual(same[:2], (304, ""))
                other = self.server.call("GET", path, headers={"If-None-Match": '"0123"'})
                self.assertEqual(other[0], 200)
        self.assertEqual(len(tags), len(files))
        for path in ("/page/", "/page/nope.js", "/page/index.html", "/page/..%2Fweb", "/page"):
            self.assertEqual(self.server.call("GET", path)[0], 404, path)
        # answers that hold something of somebody are kept by nobody
        self.assertEqual(self.server.call("GET", "/health")[2]["Cache-Control"], "no-store")

    def test_a_link_leads_to_the_page_and_nowhere_else(self):
        visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        self.assertEqual(self.server.call("GET", "/", headers=visit)[0], 200)
        for headers in ({**visit, "Sec-Fetch-Dest": "iframe"}, {**visit, "Sec-Fetch-Mode": "no-cors"}):
            self.assertEqual(self.server.call("GET", "/", headers=headers)[0], 403)
        for path in ("/page/app.js", "/api/matters", "/health"):
            self.assertEqual(self.server.call("GET", path, headers=visit)[0], 403, path)

    def test_nothing_from_elsewhere_and_nothing_inline(self):
        for file in sorted(WEB.iterdir()):
            text = text_of(file).replace('xmlns="http://www.w3.org/2000/svg"', "")
            self.assertIsNone(re.search(r"(https?:|ws:|wss:|data:\w+/|//\w+\.\w)", text), file.name)
            self.assertIsNone(re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function)\b", text), file.name)
        html = text_of(WEB / "index.html")
        self.assertIsNone(re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", html))

    def test_every_file_that_is_named_is_there(self):
        named = set(re.findall(r'"/page/([\w.]+)"', text_of(WEB / "index.html")))
        for script in SCRIPTS:
            named |= set(re.findall(r'from "\./([\w.]+)"', text_of(script)))
        self.assertEqual(named, {f.name for f in WEB.iterdir()} - {"index.html"})

    def test_every_request_is_a_route(self):
        spec = json.loads(text_of(SOURCE / "docs" / "openapi.json"))["paths"]
        routes = re.findall(r'\["(GET|POST|PUT|DELETE)", "(/[^"]*)"\]', text_of(WEB / "net.js"))
        self.assertGreaterEqual(len(routes), 12)
        for method, path in routes:
            self.assertIn(method.lower(), spec.get(path, {}), f"{method} {path}")
        names = set(re.findall(r"^  (\w+): \[\"", text_of(WEB / "net.js"), re.M))
        for script in SCRIPTS:
            text = text_of(script)
            for name in re.findall(r'\b(?:json|request|attempt|urlOf|headersOf)\("(\w+)"', text):
                self.assertIn(name, names, script.name)
            if script.name != "net.js":
                self.assertNotIn("fetch(", text)
                self.assertNotIn("XMLHttpRequest", text)

    def test_every_word_in_every_language(self):
        tables = word_tables()
        self.assertEqual(set(tables), {"de", "en"})
        self.assertEqual(set(re.findall(r'<option value="(\w\w)"', text_of(WEB / "index.html"))), set(tables))
        self.assertEqual(list(tables["de"]), list(tables["en"]))
        for key in tables["de"]:
            values = [sorted(re.findall(r"\{\w+\}", tables[language][key])) for language in ("de", "en")]
            self.assertEqual(values[0], values[1], key)
            for language in tables:
                self.assertTrue(tables[language][key].strip(), key)
        # quotation marks as they are set in that language, no straight ones
        self.assertNotIn("\u201d", "".join(tables["de"].values()))
        for table in tables.values():
            self.assertNotIn("'", "".join(table.values()))
            self.assertNotIn("...", "".join(table.values()))

    def test_every_word_that_is_used_is_there_and_the_other_way_round(self):
        words = set(word_tables()["de"])
        used = set(re.findall(r'data-word(?:-label|-placeholder)?="([\w.]+)"', text_of(WEB / "index.html")))
        literal = set()
        for script in SCRIPTS:
            text = text_of(script)
            if script.name == "words.js":
                text = text[text.index("export const WHY"):]
            used |= set(re.findall(r'\bw\("([\w.]+)"', text))
            used |= set(re.findall(r'\b(?:say|saying)\([^"]*?(?:"\w+", \{[^}]*\}, )?"([\w.]+)"[,)]', text)) & words
            used |= {key + form for key in re.findall(r'\bwn\("(\w+)"', text) for form in (".one", ".other")}
            used |= set(re.findall(r'new Trouble\("(\w+)"', text))
            literal |= set(re.findall(r'"([\w.]+)"', text))
        self.assertEqual(used - words, set())
        forms = {key.rsplit(".", 1)[0] for key in words if key.endswith((".one", ".other"))}
        unused = {key for key in words - used - literal if key.rsplit(".", 1)[0] not in forms & literal}
        self.assertEqual(unused, {"state.indexed", "state.skipped", "state.failed"})

    def test_every_reason_of_the_readers_has_words(self):
        """What extract and office say of a file they do not read finds a sentence of the page's, except for faults of ours."""
        words = text_of(WEB / "words.js")
        patterns = re.findall(r"^  \[/(.+)/, \"(why\.\w+)\"\],$", words, re.M)
        self.assertGreaterEqual(len(patterns), 10)
        source = text_of(SOURCE / "src" / "extract" / "reason.c")
        reasons = ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', call)) for call in re.findall(r'kt_fail\(((?:[^"]|"(?:[^"\\]|\\.)*")*?)\);', source)]
        reasons = [r.removeprefix("%s: ") for r in reasons]
        self.assertGreaterEqual(len(reasons), 25)
        found = {}
        for reason in reasons:
            hit = next((word for pattern, word in patterns if re.search(pattern, reason)), None)
            found.setdefault(hit, []).append(reason)
        self.assertEqual([r for r in found.get(None, []) if "please report this" not in r], [])
        self.assertEqual({word for _, word in patterns} - set(found), {"why.changed"})
        for word, part in (("why.scan", "300 dpi"), ("why.ocr", "tesseract"), ("why.password", "password"), ("why.hostile", "bomb"), ("why.kind", "are read")):
            self.assertTrue(any(part in r for r in found[word]), word)


class Passage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server = Server()
        made = server.call("POST", "/api/matters", {"name": "Miete"})[1]
        cls.matter = made["id"]
        cls.other = server.call("POST", "/api/matters", {"name": "andere"})[1]["id"]
        long = "\n\n".join(f"Absatz {i}: Grüße an die Hausverwaltung, Straße {i}." for i in range(400))
        cls.files = {"lang.txt": long.encode(), "ein Absatz.txt": ("ä" * 40000).encode(),
                     "vertrag.pdf": (SAMPLES / "lease.libreoffice.pdf").read_bytes()}
        for name, data in cls.files.items():
            sent = server.call("PUT", f"/api/documents?matter={cls.matter}&name={urllib.parse.quote(name)}", data)
            assert sent[1].get("indexed"), sent

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log()

    def get(self, name, matter=None, **query):
        query = {"matter": matter or self.matter, "path": "/upload/" + name, **query}
        return self.server.call("GET", "/api/passage?" + urllib.parse.urlencode(query))

    def test_the_place_of_a_hit_is_in_it(self):
        hits = self.server.call("POST", "/api/search?matter=" + self.matter, {"query": "Kaution Vermieterin", "k": 5})[1]["hits"]
        hit = next(h for h in hits if h["path"].endswith("vertrag.pdf"))
        status, p, _ = self.get("vertrag.pdf", start=hit["start"], end=hit["end"])
        self.assertEqual((status, p["path"], p["format"]), (200, "/upload/vertrag.pdf", "pdf"))
        self.assertGreater(p["pages"], 0)
        self.assertIn(hit["page"], {b["page"] for b in p["blocks"]})
        text = b"".join(b["text"].encode() for b in p["blocks"] if b["start"] < hit["end"] and b["end"] > hit["start"])
        self.assertIn(hit["text"].split("\n")[0].encode()[:40], text)

    def test_blocks_are_bytes_of_the_text(self):
        whole = {}
        for start in range(0, len(self.files["lang.txt"]), 4000):
            status, p, _ = self.get("lang.txt", start=start, end=start)
            self.assertEqual(status, 200)
            for b in p["blocks"]:
                self.assertEqual(len(b["text"].encode()), b["end"] - b["start"])
                self.assertEqual(whole.setdefault(b["start"], b["text"]), b["text"])
            self.assertEqual(p["earlier"], p["blocks"][0]["start"] > 0)
        self.assertEqual(len(whole), 400)
        self.assertEqual("\n\n".join(whole[s] for s in sorted(whole)), self.files["lang.txt"].decode())
        self.assertFalse(p["later"])
        self.assertTrue(self.get("lang.txt")[1]["later"])

    def test_a_long_block_is_cut_between_characters(self):
        for start in (0, 1, 30001, 79999):
            p = self.get("ein Absatz.txt", start=start, end=start + 1)[1]
            self.assertTrue(p["blocks"], start)
            for b in p["blocks"]:
                self.assertEqual(set(b["text"]), {"ä"})
                self.assertEqual(len(b["text"].encode()), b["end"] - b["start"])
            self.assertLess(sum(len(b["text"]) for b in p["blocks"]), 12000)
        # a place of megabytes does not make an answer of megabytes
        p = self.get("ein Absatz.txt", start=0, end=80000)[1]
        self.assertLess(sum(len(b["text"].encode()) for b in p["blocks"]), 30000)

    def test_what_is_no_place(self):
        for query, status in (({"start": "-1"}, 400), ({"start": "x"}, 400), ({"start": ""}, 400), ({"start": 5, "end": 4}, 400),
                              ({"start": 2**30 + 1}, 400), ({"start": "9" * 30}, 400)):
            self.assertEqual(self.get("lang.txt", **query)[0], status, query)
        status, answer, _ = self.get("kein.txt")
        self.assertEqual(status, 404)
        self.assertNotIn("kein", answer["error"]["message"])
        self.assertEqual(self.get("lang.txt", matter=self.other)[:2], (status, answer))
        self.assertEqual(self.get("lang.txt", start=10**6)[1]["blocks"], [])
        self.assertEqual(self.server.call("GET", "/api/passage?matter=" + self.matter)[0], 400)
        refused = self.server.call("PUT", f"/api/documents?matter={self.matter}&name=x.bin", bytes(range(256)) * 10)[1]
        self.assertFalse(refused["indexed"])
        self.assertEqual(self.get("x.bin")[0], 404)
        self.assertNotIn("lang.txt", self.server.log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
