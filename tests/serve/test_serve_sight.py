#!/usr/bin/env python3
"""Images, videos and calls of tools through the server: in the three dialects, with a small random model that sees.

Method: what the command line makes of the same pictures and words (tests/e2e/test_look.py) is what the server must make of them;
the dialects agree with each other, another picture changes the answer's probabilities, and nothing is fetched: an address of a
server of ours, that nobody asks, is refused.
Run by hand:  KONTOR_BIN=... KONTOR_SOURCE=. KONTOR_TESTDATA=... python3 tests/serve/test_serve_sight.py .../sighted_folder"""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import http.server

HERE = pathlib.Path(__file__).resolve().parent
CLIENTS = pathlib.Path(os.environ["KONTOR_TESTDATA"]).parent / "clients"
sys.path[:0] = [str(HERE.parent / "e2e"), str(CLIENTS)]

import anthropic  # noqa: E402
import openai  # noqa: E402

import test_look as look  # noqa: E402  takes the path of sighted_folder from the command line
from serve_help import PATIENCE, Server  # noqa: E402

A, B = look.PICTURES / "colour.png", look.PICTURES / "alpha.png"
SERVER = DIR = None


def setUpModule():
    global SERVER, DIR
    DIR = pathlib.Path(tempfile.mkdtemp(prefix="kontor-serve-sight-"))
    look.HOME, look.MODEL = str(DIR / "home"), str(DIR / "sighted")
    (DIR / "home").mkdir()
    (DIR / "sighted").mkdir()
    subprocess.run([look.WRITER, DIR / "sighted"], check=True)
    look.write_tokenizer(DIR / "sighted")
    SERVER = Server("-m", DIR / "sighted", "--ctx", "2048", "--memory", "900")


def tearDownModule():
    code = SERVER.stop()
    shutil.rmtree(DIR, True)
    assert code == 0, SERVER.log()


def b64(path):
    return base64.b64encode(path.read_bytes()).decode()


def url(path, kind="image/png"):
    return f"data:{kind};base64,{b64(path)}"


def chat(parts, **more):
    body = {"model": "sighted", "messages": [{"role": "user", "content": parts}], "temperature": 0, "max_tokens": 2, "logprobs": True,
            "top_logprobs": 5, "reasoning_effort": "none", **more}
    return SERVER.call("POST", "/v1/chat/completions", body)


def image(path):
    return {"type": "image_url", "image_url": {"url": url(path)}}


TEXT = {"type": "text", "text": "What?"}


class Images(unittest.TestCase):
    def test_the_command_line_sees_the_same(self):
        for pictures in ([A, B],):
            status, whole, _ = chat([*map(image, pictures), TEXT])
            self.assertEqual(status, 200, whole)
            one = json.loads(look.kontor("generate", "-m", look.MODEL, "--json", "-n", 2, "--temp", 0, "-p", "What?", "--no-think", *[
                x for p in pictures for x in ("--image", p)]).stdout)
            self.assertEqual(whole["usage"]["prompt_tokens"], one["tokens_prompt"])
            self.assertEqual(whole["choices"][0]["message"]["content"].strip(), one["text"].strip())

    def test_another_picture_is_another_answer(self):
        seen = {}
        for name, pictures in (("a", [A]), ("b", [B]), ("ab", [A, B]), ("ba", [B, A]), ("", []), ("again", [A])):
            whole = chat([*map(image, pictures), TEXT])[1]
            seen[name] = [t["logprob"] for t in whole["choices"][0]["logprobs"]["content"]] or whole
        self.assertEqual(seen["a"], seen.pop("again"))
        self.assertEqual(len({json.dumps(v) for v in seen.values()}), 5)

    def test_three_dialects_and_their_clients(self):
        client = openai.OpenAI(base_url=SERVER.url + "/v1", api_key="any", max_retries=0, timeout=PATIENCE)
        self.addCleanup(client.close)
        first = client.chat.completions.create(model="sighted", messages=[{"role": "user", "content": [image(A), TEXT]}], temperature=0,
                                               max_tokens=4, reasoning_effort="none")
        items = [{"role": "user", "content": [{"type": "input_image", "image_url": url(A), "detail": "auto"}, {"type": "input_text", "text": "What?"}]}]
        ask = dict(model="sighted", temperature=0, max_output_tokens=4, reasoning={"effort": "none"})
        second = client.responses.create(**ask, input=items)
        self.assertEqual((second.output_text, second.usage.input_tokens), (first.choices[0].message.content, first.usage.prompt_tokens))
        kept = client.responses.input_items.list(second.id).data[0]
        self.assertEqual(kept.content[0].image_url, url(A))
        go_on = client.responses.create(**ask, input="And now?", previous_response_id=second.id)
        self.assertGreater(go_on.usage.input_tokens, second.usage.input_tokens)
        other = anthropic.Anthropic(base_url=SERVER.url, api_key="any", max_retries=0, timeout=PATIENCE)
        self.addCleanup(other.close)
        block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64(A)}}
        talk = [{"role": "user", "content": [block, {"type": "text", "text": "What?"}]}]
        third = other.messages.create(model="sighted", max_tokens=4, messages=talk, extra_body={"temperature": 0})
        self.assertEqual("".join(b.text for b in third.content), first.choices[0].message.content)
        n = third.usage.input_tokens + third.usage.cache_read_input_tokens
        self.assertEqual((n, other.messages.count_tokens(model="sighted", messages=talk).input_tokens), (first.usage.prompt_tokens,) * 2)
        result = [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "a screen"}, block]}]
        call = [{"type": "tool_use", "id": "1", "name": "look", "input": {}}]
        n = [other.messages.count_tokens(model="sighted", messages=[{"role": "user", "content": "Look"}, {"role": "assistant", "content": call},
             {"role": "user", "content": [{**result[0], "content": c}]}], tools=[{"name": "look", "input_schema": {"type": "object"}}]).input_tokens
             for c in (result[0]["content"], result[0]["content"][:1])]
        self.assertGreater(n[0], n[1])

    def test_nothing_is_fetched(self):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_error(404)

        trap = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=trap.serve_forever, daemon=True).start()
        self.addCleanup(trap.server_close)
        self.addCleanup(trap.shutdown)
        at = f"http://127.0.0.1:{trap.server_port}/a.png"
        for part in ({"type": "image_url", "image_url": {"url": at}}, {"type": "video_url", "video_url": {"url": at}},
                     {"type": "video", "video": [at, at]}, {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
                     {"type": "image_url", "image_url": {"url": "/etc/passwd"}}, {"type": "image_url", "image_url": at}):
            status, answer, _ = chat([part, TEXT])
            self.assertEqual((status, answer["error"]["param"]), (400, "messages"), answer)
        for source in ({"type": "url", "url": at}, {"type": "file", "file_id": "x"}):
            status, answer, _ = SERVER.call("POST", "/v1/messages", {"model": "sighted", "max_tokens": 1, "messages": [
                {"role": "user", "content": [{"type": "image", "source": source}]}]})
            self.assertEqual((status, answer["type"]), (400, "error"), answer)
        status, answer, _ = SERVER.call("POST", "/v1/responses", {"model": "sighted", "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": at}]}]})
        self.assertEqual((status, answer["error"]["param"]), (400, "input"), answer)
        self.assertEqual(asked, [])

    def test_pictures_that_are_none(self):
        for data in ("", "!!!", "AAAA", base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 100).decode(), b64(A)[:200]):
            status, answer, _ = chat([{"type": "image_url", "image_url": {"url": "data:image/png;base64," + data}}, TEXT])
            self.assertEqual((status, answer["error"]["param"]), (400, "messages"), answer)
        self.assertEqual(chat([image(A)] * 17 + [TEXT])[0], 400)
        self.assertEqual(list(pathlib.Path("/dev/shm").glob(f"kontor-{SERVER.process.pid}-*")), [])


class Videos(unittest.TestCase):
    def test_frames_are_a_video(self):
        """Frames that are sent are what a folder of pictures is for the command line."""
        names = ["colour.png", "alpha.png", "palette.png", "grey16.png"]
        folder = DIR / "frames"
        folder.mkdir()
        for i, name in enumerate(names):
            shutil.copy(look.PICTURES / name, folder / f"f{i}.png")
        (folder / "fps").write_text("2")
        part = {"type": "video", "video": [url(look.PICTURES / n) for n in names], "fps": 2}
        status, whole, _ = chat([part, TEXT])
        self.assertEqual(status, 200, whole)
        one = json.loads(look.kontor("generate", "-m", look.MODEL, "--json", "-n", 2, "--temp", 0, "-p", "What?", "--no-think",
                                          "--video", folder).stdout)
        self.assertEqual(whole["usage"]["prompt_tokens"], one["tokens_prompt"])
        self.assertEqual(whole["choices"][0]["message"]["content"].strip(), one["text"].strip())
        other = chat([{**part, "video": part["video"][::-1]}, TEXT])[1]
        self.assertNotEqual(other["choices"][0]["logprobs"], whole["choices"][0]["logprobs"])
        for bad in ({"video": []}, {"video": part["video"][:1]}, {"fps": 0}, {"fps": "x"}, {"video": [1, 2]}, {"video": "a"}):
            self.assertEqual(chat([{**part, **bad}, TEXT])[0], 400, bad)

    @unittest.skipUnless(shutil.which("ffmpeg"), "ffmpeg reads video files, and is not installed")
    def test_a_file(self):
        status, whole, _ = chat([{"type": "video_url", "video_url": {"url": url(look.PICTURES / "clip.mp4", "video/mp4")}}, TEXT])
        self.assertEqual(status, 200, whole)
        one = json.loads(look.kontor("generate", "-m", look.MODEL, "--json", "-n", 1, "--temp", 0, "-p", "What?", "--no-think",
                                          "--video", look.PICTURES / "clip.mp4").stdout)
        self.assertEqual(whole["usage"]["prompt_tokens"], one["tokens_prompt"])
        self.assertEqual(list(pathlib.Path("/dev/shm").glob(f"kontor-{SERVER.process.pid}-*")), [])


class Calls(unittest.TestCase):
    """A random model would never call a tool by itself: what comes is the constraint's work."""

    PLACE = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 6}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
             "required": ["city", "days"], "additionalProperties": False}
    SWITCH = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"], "additionalProperties": False}

    @classmethod
    def setUpClass(cls):
        cls.openai = openai.OpenAI(base_url=SERVER.url + "/v1", api_key="any", max_retries=0, timeout=PATIENCE)
        cls.anthropic = anthropic.Anthropic(base_url=SERVER.url, api_key="any", max_retries=0, timeout=PATIENCE)
        cls.chat_tools = [{"type": "function", "function": {"name": n, "parameters": p}} for n, p in (("place", cls.PLACE), ("switch", cls.SWITCH))]
        cls.flat_tools = [{"type": "function", "name": n, "parameters": p, "strict": True} for n, p in (("place", cls.PLACE), ("switch", cls.SWITCH))]
        cls.blocks = [{"name": n, "input_schema": p} for n, p in (("place", cls.PLACE), ("switch", cls.SWITCH))]

    @classmethod
    def tearDownClass(cls):
        cls.openai.close()
        cls.anthropic.close()

    def check(self, name, arguments):
        if name == "switch":
            self.assertIsInstance(arguments["on"], bool)
        else:
            self.assertEqual((name, set(arguments)), ("place", {"city", "days"}))
            self.assertTrue(1 <= arguments["days"] <= 9 and len(arguments["city"]) <= 6, arguments)

    def test_chat(self):
        def ask(**more):
            return self.openai.chat.completions.create(model="sighted", messages=[{"role": "user", "content": "x"}], tools=self.chat_tools, seed=1,
                                                       max_tokens=400, parallel_tool_calls=False, **{"reasoning_effort": "none", **more})

        switch = {"type": "function", "function": {"name": "switch"}}
        for choice, names in (("required", {"place", "switch"}), (switch, {"switch"}), (
                {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [switch]}}, {"switch"})):
            for seed in (1,):
                whole = ask(tool_choice=choice, extra_body={"seed": seed}).choices[0]
                self.assertEqual((whole.finish_reason, whole.message.content, len(whole.message.tool_calls)), ("tool_calls", None, 1))
                f = whole.message.tool_calls[0].function
                self.assertIn(f.name, names)
                self.check(f.name, json.loads(f.arguments))
        streamed = [c for chunk in ask(tool_choice=choice, stream=True) for c in chunk.choices[0].delta.tool_calls or []]
        self.assertEqual([(c.index, c.function.name) for c in streamed], [(0, "switch")])
        self.check("switch", json.loads(streamed[0].function.arguments))
        thought = ask(tool_choice=switch, reasoning_effort="low", extra_body={"thinking_budget": 3})
        self.assertEqual(thought.choices[0].message.tool_calls[0].function.name, "switch")
        self.assertGreaterEqual(thought.usage.completion_tokens_details.reasoning_tokens, 3)
        # JSON, or a call: both may come, nothing else
        form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"enum": ["yes", "no"]}}}
        m = ask(response_format=form).choices[0].message
        self.assertTrue(m.tool_calls or json.loads(m.content) in ("yes", "no"), m)
        # several at once, when the client wants them: as many as fit
        many = ask(tool_choice=switch, extra_body={"parallel_tool_calls": True, "temperature": 2}).choices[0]
        for call in many.message.tool_calls:
            self.check("switch", json.loads(call.function.arguments))
        for bad in ("place2", ""):
            with self.assertRaises(openai.BadRequestError) as caught:
                ask(tool_choice={"type": "function", "function": {"name": bad}})
            self.assertEqual(caught.exception.param, "tool_choice")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.openai.chat.completions.create(model="sighted", messages=[{"role": "user", "content": "x"}], tool_choice="required",
                                                tools=[{"type": "function", "function": {"name": "f", "parameters": {"$ref": "http://x.example/"}}}])
        self.assertEqual(caught.exception.param, "tools")

    def test_responses(self):
        def ask(**more):
            return self.openai.responses.create(model="sighted", input="x", tools=self.flat_tools, max_output_tokens=400, parallel_tool_calls=False,
                                                reasoning={"effort": "none"}, **more)

        whole = ask(tool_choice={"type": "function", "name": "place"})
        self.assertEqual([(i.type, i.name) for i in whole.output], [("function_call", "place")])
        self.check("place", json.loads(whole.output[0].arguments))
        kinds = [e.type.removeprefix("response.") for e in ask(tool_choice="required", stream=True)]
        self.assertEqual(kinds, ["created", "in_progress", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
                                 "output_item.done", "completed"])
        # what was called and answered goes on from the kept response
        answer = [{"type": "function_call_output", "call_id": whole.output[0].call_id, "output": "12 degrees"}]
        self.assertEqual(self.openai.responses.create(model="sighted", input=answer, previous_response_id=whole.id, max_output_tokens=1,
                                                      tools=self.flat_tools).previous_response_id, whole.id)

    def test_messages(self):
        for choice, names in (({"type": "any"}, {"place", "switch"}), ({"type": "tool", "name": "place"}, {"place"})):
            ask = dict(model="sighted", max_tokens=400, messages=[{"role": "user", "content": "x"}], tools=self.blocks,
                       tool_choice={**choice, "disable_parallel_tool_use": True})
            whole = self.anthropic.messages.create(**ask)
            self.assertEqual(([b.type for b in whole.content], whole.stop_reason), (["tool_use"], "tool_use"))
            self.assertIn(whole.content[0].name, names)
            self.check(whole.content[0].name, whole.content[0].input)
            with self.anthropic.messages.stream(**ask) as stream:
                last = stream.get_final_message()
            self.check(last.content[0].name, last.content[0].input)
        with self.assertRaises(anthropic.BadRequestError):
            self.anthropic.messages.create(**{**ask, "tool_choice": {"type": "tool", "name": "nobody"}})

    def test_whoever_types_goes_first(self):
        """A conversation that ends with a tool's result is a program's: its answer is paused for a question, and is the same answer."""
        server = Server("-m", DIR / "sighted", "--ctx", "2048", "--memory", "900", "--streams", "1")
        self.addCleanup(server.stop)
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="any", max_retries=0, timeout=PATIENCE)
        self.addCleanup(client.close)
        ask = {"model": "sighted", "max_tokens": 1500, "temperature": 0, "reasoning_effort": "none"}
        asked = {"role": "user", "content": "Look"}
        call = {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "switch", "arguments": '{"on": true}'}}]}
        told = [asked, call, {"role": "tool", "tool_call_id": "1", "content": "done"}]
        for messages, n_paused in ((told, 1), ([asked], 0)):
            alone = client.chat.completions.create(messages=messages, **ask).choices[0].message.content
            before = server.metric("answers_paused_total")
            stream = client.chat.completions.create(messages=messages, stream=True, **ask)
            words = [next(stream).choices[0].delta.content or ""]
            client.chat.completions.create(messages=[{"role": "user", "content": "x"}], **{**ask, "max_tokens": 2})
            words += [e.choices[0].delta.content or "" for e in stream if e.choices]
            self.assertEqual("".join(words), alone)
            self.assertEqual(server.metric("answers_paused_total") - before, n_paused)


if __name__ == "__main__":
    unittest.main(verbosity=2)
