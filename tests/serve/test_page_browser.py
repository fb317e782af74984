#!/usr/bin/env python3
"""The page as a person meets it: Chromium, driven by Playwright, against the real server with the small models.

Everything a person does is done here once, much of it with the keyboard alone. In every test: no request leaves the server,
no script fails, the policy is never violated. Pictures of what was seen stay in build/page; look at them after a change."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(os.environ["KONTOR_TESTDATA"]).parent / "browser"
sys.path[:0] = [str(TOOLS), str(pathlib.Path(__file__).resolve().parent.parent / "e2e")]

from playwright.sync_api import expect, sync_playwright  # noqa: E402

import test_look as look  # noqa: E402  takes the path of sighted_folder from the command line
from serve_help import Server, kontor  # noqa: E402

SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])
SAMPLES = SOURCE / "tests" / "data" / "documents"
PICTURES = SOURCE / "build" / "page"
PASSWORD = "ein langes Passwort"
HOSTILE = "<img src=x onerror=alert(1)>"
MODEL_MS = 240_000  # how long the model may take on a busy machine
expect.set_options(timeout=60_000)


def new_server(*args, **more):
    server = Server(*args, models=True, **more)
    return server


def setUpModule():
    global SERVER, PLAYWRIGHT, BROWSER
    PICTURES.mkdir(parents=True, exist_ok=True)
    SERVER = new_server()
    home = SERVER.home
    kontor(home, "matter", "create", "Müller ./. Schmidt")
    kontor(home, "matter", "create", HOSTILE)
    for name, more in (("anna", ["--admin"]), ("bert", [])):
        kontor(home, "user", "add", name, *more, "--password", text=PASSWORD + "\n")
    for matter in ("Müller ./. Schmidt", HOSTILE):
        kontor(home, "user", "grant", "anna", "--matter", matter, "--write")
    kontor(home, "user", "grant", "bert", "--matter", "Müller ./. Schmidt")
    files = ["lease.libreoffice.pdf", "minutes.txt", "scan.chromium.pdf", "locked.libreoffice.pdf"]
    kontor(home, "add", *(SAMPLES / f for f in files), "--matter", "Müller ./. Schmidt", "--embed-model",
           os.environ["KONTOR_TESTDATA"] + "/minilm", check=False)
    PLAYWRIGHT = sync_playwright().start()
    BROWSER = PLAYWRIGHT.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"] if os.geteuid() == 0 else [])


def tearDownModule():
    BROWSER.close()
    PLAYWRIGHT.stop()
    assert SERVER.stop() == 0, SERVER.log()


class Page(unittest.TestCase):
    def setUp(self):
        self.faults, self.expected_faults = [], ["401"]
        self.open()

    def open(self, locale="de-DE", width=1280, height=860, scheme="light"):
        self.context = BROWSER.new_context(locale=locale, viewport={"width": width, "height": height}, color_scheme=scheme)
        self.addCleanup(self.context.close)
        self.page = page = self.context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda e: self.faults.append(str(e)))
        page.on("dialog", lambda d: (self.faults.append("dialog: " + d.message), d.dismiss()))
        page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        page.on("request", lambda r: None if r.url.startswith(SERVER.url + "/") else self.faults.append("request to " + r.url))
        page.goto(SERVER.url + "/")

    def tearDown(self):
        left = [f for f in self.faults if not any(word in f for word in self.expected_faults)]
        self.assertEqual(left, [])

    def picture(self, name):
        self.page.screenshot(path=PICTURES / (name + ".png"))

    def log_in(self, name="anna", matter="Müller ./. Schmidt"):
        self.page.fill("#login-name", name)
        self.page.fill("#login-password", PASSWORD)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#app")).to_be_visible()
        expect(self.page.locator("#matter option").first).to_be_attached()
        self.page.select_option("#matter", label=matter)

    def view(self, name):
        self.page.click(f"nav a[data-view={name}]")
        expect(self.page.locator("#" + name)).to_be_visible()

    def ask(self, question="Wie hoch ist die monatliche Miete?"):
        self.page.fill("#question", question)
        self.page.press("#question", "Enter")
        expect(self.page.locator("button.cite").first).to_be_visible(timeout=MODEL_MS)

    # ---- what a person does

    def test_log_in_ask_and_read_with_the_keyboard_alone(self):
        page, press = self.page, self.page.keyboard.press
        expect(page.locator("#login-name")).to_be_focused()
        self.picture("login-de")
        page.keyboard.type("anna")
        press("Tab")
        page.keyboard.type("falsch geraten")
        press("Enter")
        expect(page.locator("#login-why")).to_contain_text("Name oder Passwort")
        expect(page.locator("#login-password")).to_have_value("")
        self.log_in()
        page.focus("#question")
        page.keyboard.type("Wie hoch ist")
        press("Shift+Enter")
        page.keyboard.type("die monatliche Miete?")
        press("Enter")
        expect(page.locator("#ask-stop")).to_be_visible()
        expect(page.locator("button.cite").first).to_be_visible(timeout=MODEL_MS)
        expect(page.locator("#ask-stop")).to_be_hidden()
        expect(page.locator("#question")).to_have_value("")
        # somebody who only listens has heard it
        expect(page.locator("#live")).to_contain_text("Die Antwort ist fertig.")
        quote = page.locator(".sources .quoted").first.inner_text()
        press("Tab")  # the hint is no stop: send, then the first number
        for _ in range(6):
            if page.evaluate("document.activeElement.className") == "cite":
                break
            press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.className"), "cite")
        self.assertNotEqual(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "none")
        press("Enter")
        mark = page.locator("#blocks mark")
        expect(mark.first).to_be_visible()
        self.assertEqual(" ".join(" ".join(mark.all_inner_texts()).split()), " ".join(quote.split()))
        self.assertTrue(page.evaluate("""() => { const m = document.querySelector('#blocks mark').getBoundingClientRect(),
            b = document.getElementById('passage-body').getBoundingClientRect(); return m.top >= b.top && m.bottom <= b.bottom; }"""))
        expect(page.locator("#passage-heading")).to_be_focused()
        expect(page.locator("#passage-place")).to_contain_text("Seite")
        self.picture("passage-de")
        press("Escape")
        expect(page.locator("#passage")).to_be_hidden()
        self.assertEqual(page.evaluate("document.activeElement.className"), "cite")

    def test_what_the_files_do_not_answer(self):
        self.log_in()
        self.page.fill("#question", "Wie heißt der Hund der Hausverwalterin?")
        self.page.press("#question", "Enter")
        expect(self.page.locator(".nothing")).to_contain_text("nichts gefunden", timeout=MODEL_MS)

    def test_search_and_documents(self):
        page = self.page
        self.log_in()
        self.view("search")
        expect(page.locator("#query")).to_be_focused()
        page.keyboard.type("Miete Stellplätze")
        page.keyboard.press("Enter")
        expect(page.locator("#hits li").first).to_be_visible()
        expect(page.locator("#hits mark").first).to_be_visible()
        self.picture("search-de")
        page.locator("#hits button").first.click()
        expect(page.locator("#blocks mark").first).to_be_visible()
        page.click("#passage-close")
        page.fill("#query", "xyzzyplugh")
        page.press("#query", "Enter")
        expect(page.locator("#found")).not_to_contain_text("sucht")
        self.view("documents")
        expect(page.locator("#list li")).to_have_count(4)
        expect(page.locator("#counts")).to_have_text("4 Unterlagen · 2 eingelesen · 2 nicht eingelesen")
        expect(page.locator("#list li").first).to_contain_text("Mit einem Passwort geschützt")
        expect(page.locator("#list li").nth(1)).to_contain_text("Gescannt oder fotografiert, und es wurde kein Text darin erkannt")
        self.picture("documents-de")
        page.get_by_role("button", name="minutes.txt").click()
        expect(page.locator("#blocks p").first).to_be_visible()
        expect(page.locator("#earlier")).to_be_hidden()

    def test_a_file_that_was_sent_can_be_saved(self):
        page = self.page
        self.log_in()
        self.view("documents")
        page.set_input_files("#files", str(SAMPLES / "letter.libreoffice.pdf"))
        link = page.locator("#list li", has_text="letter.libreoffice.pdf").locator("a.save")
        expect(link).to_be_visible()
        self.picture("documents-save-de")
        with page.expect_download() as download:
            link.click()
        self.assertEqual(pathlib.Path(download.value.path()).read_bytes(), (SAMPLES / "letter.libreoffice.pdf").read_bytes())
        self.assertEqual(download.value.suggested_filename, "letter.libreoffice.pdf")
        page.locator("#list li", has_text="letter.libreoffice.pdf").locator("button.remove").click()
        page.click("#dialog-ok")
        expect(page.locator("#list li", has_text="letter.libreoffice.pdf")).to_have_count(0)

    def test_files_are_added_replaced_and_removed(self):
        page = self.page
        self.log_in(matter=HOSTILE)
        self.view("documents")
        expect(page.locator("#counts")).to_have_text("In dieser Akte liegt noch nichts.")
        with tempfile.TemporaryDirectory() as folder:
            bad = pathlib.Path(folder) / (HOSTILE + ".txt")
            bad.write_text("<script>alert(2)</script> Die Vertragsstrafe beträgt 500 Euro.\n\n" * 300)
            empty = pathlib.Path(folder) / "leer.txt"
            empty.touch()
            page.set_input_files("#files", [bad, empty, SAMPLES / "scan.chromium.pdf"])
            expect(page.locator("#uploads .indexed")).to_have_count(1)
            expect(page.locator("#uploads .failed")).to_have_count(2)
            expect(page.locator("#uploads")).to_contain_text("Die Datei ist leer.")
            expect(page.locator("#list li")).to_have_count(2)
            self.picture("upload-de")
            # what a document is called and says is only ever text
            self.assertEqual(page.locator("#columns img, #columns script").count(), 0)
            page.locator("#list button.name").click()
            expect(page.locator("#blocks p").first).to_contain_text("<script>alert(2)</script>")
            n = page.locator("#blocks p").count()
            page.click("#later")
            expect(page.locator("#blocks p").nth(n)).to_be_attached()
            page.keyboard.press("Escape")
            # the same name again: asked first
            page.set_input_files("#files", bad)
            expect(page.locator("#dialog")).to_contain_text("Unterlage ersetzen?")
            page.keyboard.press("Escape")
            expect(page.locator("#uploads")).to_contain_text("nicht ersetzt")
            # dropped, not chosen
            page.evaluate("""() => { const t = new DataTransfer();
                t.items.add(new File(["Die Frist endet am 3. Mai."], "frist.txt"));
                dispatchEvent(new DragEvent("dragover", { dataTransfer: t, cancelable: true }));
                dispatchEvent(new DragEvent("drop", { dataTransfer: t, cancelable: true })); }""")
            expect(page.locator("#uploads .indexed")).to_contain_text("frist.txt")
            expect(page.locator("#list li")).to_have_count(3)
        page.locator("#list li", has_text="frist.txt").get_by_role("button", name="Entfernen").click()
        self.picture("dialog-de")
        page.click("#dialog-ok")
        expect(page.locator("#list li")).to_have_count(2)

    def test_a_member_without_the_right_to_write(self):
        self.log_in("bert")
        self.view("documents")
        expect(self.page.locator("#list li").first).to_be_visible()
        for hidden in ("#drop", "#new-matter", ".remove"):
            expect(self.page.locator(hidden).first).to_be_hidden()
        self.assertEqual(self.page.locator("#matter option").all_inner_texts(), ["Müller ./. Schmidt"])

    def test_a_matter_is_made_and_walls_hold(self):
        page = self.page
        self.log_in()
        self.ask()
        page.click("#new-matter")
        page.fill("#dialog-input", "Müller ./. Schmidt")
        self.expected_faults.append("409")
        page.keyboard.press("Enter")
        expect(page.locator("#dialog-error")).to_contain_text("gibt es schon")
        page.fill("#dialog-input", "Neu 2026")
        page.keyboard.press("Enter")
        expect(page.locator("#dialog")).to_be_hidden()
        expect(page.locator("#documents")).to_be_visible()
        self.view("ask")
        expect(page.locator("#answers article")).to_have_count(0)
        page.select_option("#matter", label="Müller ./. Schmidt")
        expect(page.locator("#answers article")).to_have_count(1)

    def test_a_conversation_streams_and_stops(self):
        page = self.page
        self.log_in()
        self.view("chat")
        page.evaluate("""() => { window.steps = new Set(); new MutationObserver(() => {
            const t = document.querySelector('#messages .assistant .text'); if (t) steps.add(t.textContent.length); })
            .observe(document.getElementById('messages'), { childList: true, subtree: true, characterData: true }); }""")
        page.fill("#message", "Write a long story about a river, with many chapters.")
        page.press("#message", "Enter")
        for _ in range(MODEL_MS // 50):
            if page.evaluate("steps.size") > 5:
                break
            page.wait_for_timeout(50)
        self.assertGreater(page.evaluate("steps.size"), 5, "it did not come bit by bit")
        page.click("#chat-stop")
        expect(page.locator("#messages")).to_contain_text("Angehalten.")
        expect(page.locator("#chat-send")).to_be_visible()
        said = page.locator("#messages .assistant .text").inner_text()
        self.assertTrue(said)
        self.picture("chat-de")
        page.wait_for_timeout(500)
        self.assertEqual(page.locator("#messages .assistant .text").inner_text(), said)
        page.click("#chat-new")
        expect(page.locator("#messages article")).to_have_count(0)
        page.fill("#message", "Hi")
        page.press("#message", "Enter")
        expect(page.locator("#messages .assistant .row")).to_be_visible(timeout=MODEL_MS)

    def test_the_last_answer_can_be_had_again_and_the_last_message_changed(self):
        page = self.page
        self.log_in()
        self.view("chat")
        expect(page.locator("#chat-picture")).to_be_hidden()  # this model does not see
        for text in ("Say one word.", "And another."):
            page.fill("#message", text)
            page.press("#message", "Enter")
            expect(page.locator("#messages .assistant .anew").last).to_be_visible(timeout=MODEL_MS)
        buttons = page.locator("#messages .anew")
        expect(buttons).to_have_count(2)  # of the last turn alone
        self.picture("chat-anew-de")
        first = page.locator("#messages .assistant .text").first.inner_text()
        page.locator("#messages .assistant .anew").press("Enter")
        expect(page.locator("#messages .assistant .anew")).to_be_visible(timeout=MODEL_MS)
        expect(page.locator("#messages article")).to_have_count(4)
        page.locator("#messages .user .anew").press("Enter")
        expect(page.locator("#message")).to_be_focused()
        expect(page.locator("#message")).to_have_value("And another.")
        expect(page.locator("#messages article")).to_have_count(2)
        page.fill("#message", "And a third.")
        page.press("#message", "Enter")
        expect(page.locator("#messages .user .text").last).to_have_text("And a third.")
        expect(page.locator("#messages .assistant .anew")).to_be_visible(timeout=MODEL_MS)
        self.assertEqual(page.locator("#messages .assistant .text").first.inner_text(), first)

    def test_pictures_go_with_a_message(self):
        """With a model that sees: chosen, shown, left out again, sent; and a thought stands folded above the answer."""
        d = pathlib.Path(tempfile.mkdtemp(prefix="kontor-page-sight-"))
        self.addCleanup(shutil.rmtree, d, True)
        (d / "sighted").mkdir()
        subprocess.run([look.WRITER, d / "sighted"], check=True)
        look.write_tokenizer(d / "sighted")
        server = Server("-m", d / "sighted", "--ctx", "512", "--memory", "900")
        self.addCleanup(server.stop)
        page = self.page
        page.on("request", lambda r: self.faults.remove("request to " + r.url) if r.url.startswith(server.url + "/") else None)
        sent = []
        page.on("request", lambda r: sent.append(r.post_data_json) if r.url.endswith("/v1/chat/completions") else None)
        page.goto(server.url + "/#chat")
        expect(page.locator("#chat-picture")).to_be_visible()
        page.set_input_files("#pictures", [str(look.PICTURES / "colour.png"), str(look.PICTURES / "alpha.png")])
        expect(page.locator("#chosen li")).to_have_count(2)
        page.locator("#chosen li button").first.press("Enter")
        expect(page.locator("#chosen li")).to_have_count(1)
        page.set_input_files("#pictures", [str(SAMPLES / "minutes.txt")])
        expect(page.locator("#picture-trouble")).to_contain_text("kein Bild")
        page.wait_for_timeout(300)
        self.picture("chat-picture-chosen-de")
        page.fill("#message", "Was ist das?")
        page.press("#message", "Enter")
        expect(page.locator("#messages .user canvas")).to_have_count(1)
        expect(page.locator("#chosen")).to_be_hidden()
        expect(page.locator("#messages .assistant .anew")).to_be_visible(timeout=MODEL_MS)
        self.picture("chat-picture-de")
        content = sent[0]["messages"][0]["content"]
        self.assertEqual([p["type"] for p in content], ["image_url", "text"])
        self.assertTrue(content[0]["image_url"]["url"].startswith("data:image/png;base64,"))
        page.locator("#messages .user .anew").press("Enter")
        expect(page.locator("#chosen li")).to_have_count(1)
        expect(page.locator("#message")).to_have_value("Was ist das?")

    # ---- what goes wrong

    def test_an_ended_session_keeps_the_question(self):
        page = self.page
        self.log_in()
        self.context.clear_cookies()
        page.fill("#question", "Wie hoch ist die monatliche Miete?")
        page.press("#question", "Enter")
        expect(page.locator("#login-why")).to_contain_text("abgelaufen")
        expect(page.locator("#app")).to_be_hidden()
        page.fill("#login-password", PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("#app")).to_be_visible()
        expect(page.locator("#question")).to_have_value("Wie hoch ist die monatliche Miete?")
        page.press("#question", "Enter")
        expect(page.locator("button.cite").first).to_be_visible(timeout=MODEL_MS)
        self.view("search")
        page.click("#logout")
        for leave in (page.reload, page.go_back):  # the way back leads nowhere, either
            expect(page.locator("#login-name")).to_be_visible()
            self.assertEqual(page.locator("#answers article").count(), 0)
            leave()
        expect(page.locator("#login-name")).to_be_visible()
        self.assertEqual(page.locator("#answers article").count(), 0)

    def test_a_server_that_is_gone_and_comes_back(self):
        page = self.page
        other = Server()
        port, home = other.port, tempfile.mkdtemp(prefix="kontor-page-")
        other.stop()
        server = Server("--listen", f"127.0.0.1:{port}", home=home)
        self.expected_faults += ["ERR_CONNECTION_REFUSED", "request to"]
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("#app")).to_be_visible()  # nobody has to log in: no users, this machine
        expect(page.locator("#no-matter")).to_contain_text("Neue Akte")
        page.click("#new-matter")
        page.fill("#dialog-input", "A")
        page.keyboard.press("Enter")
        expect(page.locator("#documents")).to_be_visible()
        self.view("ask")
        server.stop()
        page.fill("#question", "Ist jemand da?")
        page.press("#question", "Enter")
        expect(page.locator("#notice")).to_contain_text("Der Server antwortet nicht")
        expect(page.locator("#question")).to_have_value("Ist jemand da?")
        self.picture("gone-de")
        server = Server("--listen", f"127.0.0.1:{port}", home=home)
        self.addCleanup(server.stop)
        expect(page.locator("#notice")).to_contain_text("wieder da")
        page.get_by_role("button", name="Noch einmal fragen").click()
        expect(page.locator(".nothing")).to_be_visible()

    # ---- how it looks

    def test_small_dark_english_and_printed(self):
        self.open(locale="en-GB", width=320, height=640, scheme="dark")
        page = self.page
        expect(page.locator("#login-form button")).to_have_text("Log in")
        self.log_in()
        self.ask()
        self.assertEqual(page.locator("html").get_attribute("lang"), "en")
        for name in ("ask", "search", "documents", "chat"):
            self.view(name)
            page.wait_for_timeout(300)
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 320, name)
            last = page.locator("nav a").last.bounding_box()
            self.assertLessEqual(last["x"] + last["width"], 320, "the last part is cut off")
            self.picture(f"{name}-en-dark-320")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        self.assertLess(sum(map(int, re.findall(r"\d+", background)[:3])), 150, background)
        self.view("ask")
        page.locator("button.cite").first.click()
        expect(page.locator("#blocks mark").first).to_be_visible()
        self.assertTrue(page.evaluate("document.getElementById('main').inert"))
        self.picture("passage-en-dark-320")
        page.keyboard.press("Escape")
        page.select_option("#language", "de")
        expect(page.locator("#ask-heading")).to_have_text("Was möchten Sie wissen?")
        expect(page.locator("article h3")).to_have_text("Fundstellen")
        page.reload()
        expect(page.locator("#ask-heading")).to_have_text("Was möchten Sie wissen?")
        self.ask()
        page.set_viewport_size({"width": 794, "height": 1123})
        page.emulate_media(media="print", color_scheme="light")
        for hidden in ("header", "#ask-form"):
            expect(page.locator(hidden)).to_be_hidden()
        expect(page.locator("article .answer")).to_be_visible()
        self.picture("print-de")

    def test_every_control_has_a_name(self):
        self.log_in()
        for name in ("ask", "search", "documents", "chat"):
            self.view(name)
            nameless = self.page.evaluate("""() => [...document.querySelectorAll('button, input, textarea, select, a')]
                .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
                .map((e) => e.outerHTML)""")
            self.assertEqual(nameless, [], name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
