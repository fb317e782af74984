#!/usr/bin/env python3
"""The official clients of OpenAI and Anthropic, and a Prometheus parser, against the real server with real small models.

They are installed by tools/fetch.sh (tools/clients.txt, pinned). What they parse into their own types is right in form;
what they raise is right in meaning."""
import array
import concurrent.futures
import json
import math
import os
import pathlib
import sys
import tempfile
import typing
import unittest
from typing import Literal

CLIENTS = pathlib.Path(os.environ["KONTOR_TESTDATA"]).parent / "clients"
sys.path.insert(0, str(CLIENTS))

import anthropic  # noqa: E402
import openai  # noqa: E402
import pydantic  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from serve_help import CHAT, EMBED, MODELS, PATIENCE, Server, events, kontor  # noqa: E402

TALK = [{"role": "user", "content": "What is the capital of France?"}]
SERVER = None


def setUpModule():
    global SERVER
    SERVER = Server(models=True)
    kontor(SERVER.home, "user", "add", "anna")
    SERVER.key = kontor(SERVER.home, "user", "key", "anna").stdout.strip()


def tearDownModule():
    assert SERVER.stop() == 0, SERVER.log()


class OpenAI(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = openai.OpenAI(base_url=SERVER.url + "/v1", api_key=SERVER.key, max_retries=0, timeout=PATIENCE)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def chat(self, **more):
        return self.client.chat.completions.create(model=CHAT, messages=TALK, temperature=0, **{"max_tokens": 6, **more})

    def test_models(self):
        self.assertEqual([m.id for m in self.client.models.list()], [CHAT, EMBED])
        self.assertEqual(self.client.models.retrieve(EMBED).owned_by, "local")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("gpt-4")

    def test_chat_whole_and_streamed(self):
        whole = self.chat()
        self.assertTrue(whole.choices[0].message.content)
        self.assertEqual(whole.choices[0].finish_reason, "length")
        self.assertEqual(whole.usage.completion_tokens, 6)
        text, usage, reasons = "", None, []
        for chunk in self.chat(stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasons.append(choice.finish_reason)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual([r for r in reasons if r], ["length"])
        self.assertEqual(usage.total_tokens, whole.usage.total_tokens)
        self.assertIsInstance(usage.prompt_tokens_details.cached_tokens, int)

    def test_stop_seed_and_choices(self):
        whole = self.chat().choices[0].message.content
        stopped = self.chat(stop=["never", whole[5:8]])
        self.assertEqual((stopped.choices[0].finish_reason, stopped.choices[0].message.content), ("stop", whole[:5]))
        a, b, c = (self.client.chat.completions.create(model=CHAT, messages=TALK, seed=s, temperature=1.5, max_completion_tokens=6)
                   for s in (7, 7, 8))
        self.assertEqual(a.choices[0].message.content, b.choices[0].message.content)
        self.assertNotEqual(a.choices[0].message.content, c.choices[0].message.content)
        two = self.client.chat.completions.create(model=CHAT, messages=TALK, seed=7, temperature=1.5, max_tokens=6, n=2)
        self.assertEqual([t.message.content for t in two.choices], [a.choices[0].message.content, c.choices[0].message.content])

    def test_log_probabilities(self):
        """Whole, streamed and of the older route: the same; they are the model's own, as `kontor logits` has them."""
        ask = dict(logprobs=True, top_logprobs=3, temperature=1.5, seed=3)
        whole = self.client.chat.completions.create(model=CHAT, messages=TALK, max_tokens=6, **ask)
        tokens = whole.choices[0].logprobs.content
        self.assertEqual("".join(t.token for t in tokens), whole.choices[0].message.content)
        self.assertEqual(len(tokens), whole.usage.completion_tokens)
        for t in tokens:
            self.assertEqual(bytes(t.bytes).decode(), t.token)
            self.assertEqual(len(t.top_logprobs), 3)
            self.assertEqual([x.logprob for x in t.top_logprobs], sorted((x.logprob for x in t.top_logprobs), reverse=True))
            self.assertLessEqual(t.logprob, t.top_logprobs[0].logprob)
        streamed = []
        for chunk in self.client.chat.completions.create(model=CHAT, messages=TALK, max_tokens=6, stream=True, **ask):
            piece = chunk.choices[0]
            streamed += piece.logprobs.content if piece.logprobs else []
            if piece.delta.content:
                self.assertEqual("".join(t.token for t in piece.logprobs.content), piece.delta.content)
        self.assertEqual(streamed, tokens)
        stopped = self.client.chat.completions.create(model=CHAT, messages=TALK, max_tokens=6, stop=[tokens[2].token], **ask).choices[0]
        self.assertEqual([t.token for t in stopped.logprobs.content], [t.token for t in tokens[:2]])
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(top_logprobs=2)
        self.assertEqual(caught.exception.param, "top_logprobs")

        text = "One, two, three,"
        plain = self.client.completions.create(model=CHAT, prompt=text, temperature=0, max_tokens=4, logprobs=2)
        got = plain.choices[0].logprobs
        self.assertEqual("".join(got.tokens), plain.choices[0].text)
        offsets = [len("".join(got.tokens[:i])) for i in range(len(got.tokens))]
        self.assertEqual(got.text_offset, offsets)
        for chosen, number, top in zip(got.tokens, got.token_logprobs, got.top_logprobs):
            self.assertEqual((len(top), max(top.values())), (2, number))
            self.assertAlmostEqual(top[chosen], number)
        parts = [c.choices[0].logprobs for c in self.client.completions.create(
            model=CHAT, prompt=text, temperature=0, max_tokens=4, logprobs=2, stream=True)]
        self.assertEqual([t for p in parts if p for t in p.token_logprobs], got.token_logprobs)
        ids = SERVER.call("POST", "/tokenize", {"content": text + "".join(got.tokens)}, SERVER.key)[1]["tokens"]
        with tempfile.TemporaryDirectory(prefix="kontor-logits-") as d:
            (pathlib.Path(d) / "ids").write_text(" ".join(map(str, ids)))
            kontor(d, "logits", "-m", MODELS / (CHAT + ".gguf"), "--kv", "f16", "--tokens", d + "/ids", "-o", d + "/out")
            rows = array.array("f", (pathlib.Path(d) / "out").read_bytes())
        n_vocab = len(rows) // len(ids)
        for i, number in enumerate(got.token_logprobs):
            at = len(ids) - len(got.tokens) + i
            row = rows[(at - 1) * n_vocab:at * n_vocab]
            top = max(row)
            self.assertAlmostEqual(row[ids[at]] - top - math.log(sum(math.exp(x - top) for x in row)), number, 3)

    def test_responses(self):
        ask = dict(model=CHAT, instructions="You are terse.", input="Say hi", max_output_tokens=4, temperature=0)
        whole = self.client.responses.create(**ask)
        self.assertEqual((whole.status, whole.incomplete_details.reason, whole.usage.output_tokens), ("incomplete", "max_output_tokens", 4))
        self.assertTrue(whole.output_text)
        with self.client.responses.stream(**ask) as stream:
            text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        self.assertEqual(text, whole.output_text)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.responses.create(**ask, previous_response_id="resp_1")
        self.assertEqual((caught.exception.param, caught.exception.code), ("previous_response_id", "previous_response_not_found"))

    def test_answers_of_a_form(self):
        """What the client's own helpers parse into a class; and the forms that the dialect does not have."""
        class Place(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(extra="forbid")
            city: str = pydantic.Field(max_length=12)
            people: int = pydantic.Field(ge=0, le=99)
            kind: Literal["village", "town"]

        talk = dict(model=CHAT, messages=TALK)
        parsed = self.client.chat.completions.parse(**talk, response_format=Place, max_tokens=60, seed=5).choices[0].message.parsed
        self.assertIn(parsed.kind, ("village", "town"))
        answer = self.client.responses.parse(model=CHAT, input=TALK[0]["content"], text_format=Place, max_output_tokens=60)
        self.assertIsInstance(answer.output_parsed, Place)
        text = ""
        for chunk in self.client.chat.completions.create(**talk, response_format={"type": "json_object"}, max_tokens=200, seed=2, temperature=0.5, stream=True):
            text += chunk.choices[0].delta.content or ""
        self.assertIsInstance(json.loads(text), dict)
        for form, wanted in (({"type": "regex", "pattern": "[A-Z][a-z]{1,3}, [0-9]{2}"}, r"[A-Z][a-z]{1,3}, [0-9]{2}"),
                             ({"type": "choice", "choices": ["ja", "nein"]}, "ja|nein"),
                             ({"type": "grammar", "grammar": 'root ::= "a" b{1,4}\nb ::= "b" | "c"'}, "a[bc]{1,4}")):
            whole = self.client.chat.completions.create(**talk, response_format=form, max_tokens=16, n=2, seed=1, temperature=1.5, logprobs=True)
            for choice in whole.choices:
                if choice.finish_reason == "stop":
                    self.assertRegex(choice.message.content, f"^(?:{wanted})$")
                self.assertEqual("".join(t.token for t in choice.logprobs.content), choice.message.content)
            self.assertIn("stop", {c.finish_reason for c in whole.choices})
        plain = self.client.completions.create(model=CHAT, prompt="It is", max_tokens=5,
                                               extra_body={"response_format": {"type": "choice", "choices": [" true", " false"]}})
        self.assertIn(plain.choices[0].text, (" true", " false"))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(**talk, response_format={"type": "json_schema", "json_schema": {
                "name": "x", "schema": {"type": "object", "$dynamicRef": "#x"}}})
        self.assertEqual(caught.exception.param, "response_format")

    def test_events_of_a_response_come_in_order(self):
        ask = dict(model=CHAT, input="Say hi", max_output_tokens=3, temperature=0, include=["message.output_text.logprobs"], top_logprobs=2)
        got = list(self.client.responses.create(**ask, stream=True))
        kinds = [e.type.removeprefix("response.") for e in got]
        n = kinds.count("output_text.delta")
        self.assertEqual(kinds, ["created", "in_progress", "output_item.added", "content_part.added", *["output_text.delta"] * n,
                                 "output_text.done", "content_part.done", "output_item.done", "incomplete"])
        self.assertEqual([e.sequence_number for e in got], list(range(len(got))))
        last = got[-1].response
        part = last.output[0].content[0]
        self.assertEqual((last.output[0].status, last.incomplete_details.reason), ("incomplete", "max_output_tokens"))
        self.assertEqual("".join(x.token for x in part.logprobs), part.text)
        self.assertEqual([(x.token, x.logprob) for e in got if e.type == "response.output_text.delta" for x in e.logprobs],
                         [(x.token, x.logprob) for x in part.logprobs])
        self.assertEqual(len(part.logprobs[0].top_logprobs), 2)
        whole = self.client.responses.create(**ask)
        self.assertEqual((whole.output_text, whole.output[0].content[0].logprobs), (part.text, part.logprobs))
        self.assertEqual(self.client.responses.retrieve(last.id).output_text, part.text)  # a streamed one is kept, too

    def test_responses_are_kept(self):
        responses = self.client.responses
        first = responses.create(model=CHAT, input="My name is Anna.", max_output_tokens=4, temperature=0, metadata={"akte": "12/26"})
        again = responses.retrieve(first.id)
        self.assertEqual((again.output_text, again.metadata, again.model), (first.output_text, {"akte": "12/26"}, CHAT))
        ask = dict(model=CHAT, max_output_tokens=4, temperature=0)
        second = responses.create(**ask, input=[{"role": "user", "content": "Who am I?"}], previous_response_id=first.id)
        self.assertEqual(second.previous_response_id, first.id)
        # the same conversation sent whole is the same prompt and gets the same answer
        talk = [{"role": "user", "content": "My name is Anna."}, {"role": "assistant", "content": first.output_text},
                {"role": "user", "content": "Who am I?"}]
        whole = responses.create(**ask, input=talk, store=False)
        self.assertEqual((whole.usage.input_tokens, whole.output_text), (second.usage.input_tokens, second.output_text))
        self.assertEqual(responses.input_tokens.count(model=CHAT, input=talk).input_tokens, whole.usage.input_tokens)
        with self.assertRaises(openai.NotFoundError):
            responses.retrieve(whole.id)
        items = list(responses.input_items.list(second.id, order="asc", limit=2))  # two pages
        self.assertEqual([(i.role, i.content[0].text) for i in items], [(t["role"], t["content"]) for t in talk])
        self.assertEqual([i.id for i in responses.input_items.list(second.id)], [i.id for i in reversed(items)])
        # nobody else's
        kontor(SERVER.home, "user", "add", "zoe")
        key = kontor(SERVER.home, "user", "key", "zoe").stdout.strip()
        zoe = openai.OpenAI(base_url=SERVER.url + "/v1", api_key=key, max_retries=0, timeout=PATIENCE)
        self.addCleanup(zoe.close)
        for call in (zoe.responses.retrieve, zoe.responses.delete, zoe.responses.input_items.list):
            with self.assertRaises(openai.NotFoundError):
                call(first.id)
        with self.assertRaises(openai.BadRequestError) as caught:
            zoe.responses.create(**ask, input="Who am I?", previous_response_id=first.id)
        self.assertEqual(caught.exception.code, "previous_response_not_found")
        # deleted; and gone with the user
        responses.delete(first.id)
        with self.assertRaises(openai.NotFoundError):
            responses.delete(first.id)
        with self.assertRaises(openai.BadRequestError):
            responses.create(**ask, input="And now?", previous_response_id=second.id)
        mine = zoe.responses.create(model=CHAT, input="I am Zoe.", max_output_tokens=1)
        self.assertEqual(zoe.responses.retrieve(mine.id).id, mine.id)
        kontor(SERVER.home, "user", "remove", "zoe")
        kontor(SERVER.home, "user", "add", "zoe")
        key = kontor(SERVER.home, "user", "key", "zoe").stdout.strip()
        self.assertEqual(SERVER.call("GET", "/v1/responses/" + mine.id, key=key)[0], 404)
        data = b"".join(p.read_bytes() for p in SERVER.home.rglob("responses.db*"))
        self.assertNotIn(b"Anna", data)

    def test_completions(self):
        whole = self.client.completions.create(model=CHAT, prompt="One, two, three,", temperature=0, max_tokens=4)
        self.assertIn("four", whole.choices[0].text)
        text = "".join(c.choices[0].text for c in self.client.completions.create(
            model=CHAT, prompt="One, two, three,", temperature=0, max_tokens=4, stream=True))
        self.assertEqual(text, whole.choices[0].text)
        both = self.client.completions.create(model=CHAT, prompt=["A", "B"], max_tokens=1)
        self.assertEqual([c.index for c in both.choices], [0, 1])

    def test_embeddings(self):
        texts = ["Die Kaution beträgt drei Monatsmieten.", "Wie hoch ist die Kaution?", "Der Himmel ist blau."]
        packed = self.client.embeddings.create(model=EMBED, input=texts)  # base64 on the wire
        plain = self.client.embeddings.create(model=EMBED, input=texts, encoding_format="float")
        for p, q in zip(packed.data, plain.data):
            self.assertEqual(len(p.embedding), 384)
            self.assertAlmostEqual(sum(x * x for x in p.embedding), 1, 4)
            self.assertLess(max(abs(x - y) for x, y in zip(p.embedding, q.embedding)), 1e-6)
        a, b, c = (d.embedding for d in plain.data)
        self.assertGreater(sum(x * y for x, y in zip(a, b)), sum(x * y for x, y in zip(a, c)))

    def test_errors_are_of_their_kind(self):
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=SERVER.url + "/v1", api_key="kt-wrong", max_retries=0).models.list()
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model="gpt-4o", messages=TALK)
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])
        self.assertEqual(caught.exception.param, "tools")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "word " * 3000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.BadRequestError):
            self.chat(extra_body={"nonsense": 1})

    def test_several_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(lambda _: self.chat().choices[0].message.content, range(5)))
        self.assertEqual(len(set(answers)), 1)

    def test_leaving_a_stream(self):
        stream = self.chat(stream=True, max_tokens=900)
        next(iter(stream))
        before = SERVER.metric("generations_cancelled_total", SERVER.key)
        stream.close()
        SERVER.wait_metric("queue_running", 0, SERVER.key)
        self.assertEqual(SERVER.metric("generations_cancelled_total", SERVER.key), before + 1)


class Anthropic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = anthropic.Anthropic(base_url=SERVER.url, api_key=SERVER.key, max_retries=0, timeout=PATIENCE)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def test_messages_whole_and_streamed(self):
        ask = dict(model=CHAT, max_tokens=4, system="You are terse.", messages=TALK, extra_body={"temperature": 0})
        whole = self.client.messages.create(**ask)
        self.assertEqual((whole.role, whole.stop_reason, whole.usage.output_tokens), ("assistant", "max_tokens", 4))
        with self.client.messages.stream(**ask) as stream:
            text = "".join(stream.text_stream)
            last = stream.get_final_message()
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(last.content[0].text, text)
        self.assertEqual(last.stop_reason, "max_tokens")
        self.assertEqual(last.usage.output_tokens, 4)

    def test_stop_sequences_say_which(self):
        ask = dict(model=CHAT, max_tokens=6, messages=TALK, extra_body={"temperature": 0})  # the client has no such parameter
        whole = self.client.messages.create(**ask).content[0].text
        m = self.client.messages.create(**ask, stop_sequences=["never", whole[4:7]])
        self.assertEqual((m.stop_reason, m.stop_sequence, m.content[0].text), ("stop_sequence", whole[4:7], whole[:4]))

    def test_answers_of_a_form(self):
        class Place(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(extra="forbid")
            city: str = pydantic.Field(max_length=12)
            people: int = pydantic.Field(ge=0, le=99)

        schema = Place.model_json_schema()
        whole = self.client.messages.create(model=CHAT, max_tokens=60, messages=TALK,
                                            output_config={"format": {"type": "json_schema", "schema": schema}})
        Place.model_validate_json(whole.content[0].text)
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.client.messages.create(model=CHAT, max_tokens=60, messages=TALK, output_config={"format": {"type": "json_schema"}})
        self.assertIn("output_config.format", caught.exception.message)

    def test_counting(self):
        n = self.client.messages.count_tokens(model=CHAT, messages=TALK).input_tokens
        m = self.client.messages.create(model=CHAT, max_tokens=1, messages=TALK)
        self.assertEqual(m.usage.input_tokens + m.usage.cache_read_input_tokens, n)

    def test_errors_are_of_their_kind(self):
        with self.assertRaises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=SERVER.url, api_key="wrong", max_retries=0).messages.count_tokens(model=CHAT, messages=TALK)
        with self.assertRaises(anthropic.NotFoundError) as caught:
            self.client.messages.create(model="claude", max_tokens=1, messages=TALK)
        self.assertEqual(caught.exception.body["error"]["type"], "not_found_error")
        with self.assertRaises(anthropic.BadRequestError):
            self.client.messages.create(model=CHAT, max_tokens=1, messages=TALK, tools=[{"name": "f", "input_schema": {"type": "object"}}])


class Office(unittest.TestCase):
    """A question to a matter with the model that writes; the rest of the office is in test_serve_api.py."""

    def test_ask(self):
        lease = pathlib.Path(os.environ["KONTOR_SOURCE"]) / "tests" / "data" / "documents" / "lease.txt"
        kontor(SERVER.home, "matter", "create", "Miete")
        kontor(SERVER.home, "user", "grant", "anna", "--matter", "Miete", "--write")
        mid = SERVER.call("GET", "/api/matters", key=SERVER.key)[1]["matters"][0]["id"]
        sent = SERVER.call("PUT", f"/api/documents?matter={mid}&name=lease.txt", lease.read_bytes(), SERVER.key)
        self.assertTrue(sent[1]["indexed"], sent)
        body = {"question": "Wie groß ist die Gesamtfläche der vermieteten Räume?", "passages": 1}
        whole = SERVER.call("POST", "/api/ask?matter=" + mid, body, SERVER.key)[1]
        self.assertTrue(whole["supported"], whole)
        self.assertTrue(whole["citations"])
        for c in whole["citations"]:
            self.assertIn(" ".join(c["quote"].split()), " ".join(lease.read_text(encoding="utf-8").split()))
        # more passages than a context of 1,024 tokens holds: some are left out, the answer is the same
        many = SERVER.call("POST", "/api/ask?matter=" + mid, {**body, "passages": 16}, SERVER.key)
        self.assertEqual(many[0], 200, many)
        self.assertEqual((many[1]["supported"], many[1]["citations"]), (True, whole["citations"]))
        self.assertLess(many[1]["passages"], 16)
        name, data = events(SERVER.call("POST", "/api/ask?matter=" + mid, {**body, "stream": True}, SERVER.key)[1])[-1]
        self.assertEqual((name, json.loads(data)), ("answer", whole))


class Parameters(unittest.TestCase):
    """Whatever the clients' own types name is known: taken, ignored, or refused by its name."""

    def test_none_is_unknown(self):
        def names(*types):
            return set().union(*(typing.get_type_hints(t) for t in types))

        from anthropic.types import message_count_tokens_params, message_create_params
        from openai.types import completion_create_params, embedding_create_params
        from openai.types.chat import completion_create_params as chat_params
        from openai.types.responses import response_create_params
        for path, body, known in (
                ("/v1/chat/completions", {"model": CHAT, "messages": TALK}, names(chat_params.CompletionCreateParamsBase)),
                ("/v1/completions", {"model": CHAT, "prompt": "a"}, names(completion_create_params.CompletionCreateParamsBase)),
                ("/v1/responses", {"model": CHAT, "input": "a"}, names(response_create_params.ResponseCreateParamsBase)),
                ("/v1/embeddings", {"model": EMBED, "input": "a"}, names(embedding_create_params.EmbeddingCreateParams)),
                ("/v1/messages", {"model": CHAT, "messages": TALK, "max_tokens": 1}, names(message_create_params.MessageCreateParamsBase)),
                ("/v1/messages/count_tokens", {"model": CHAT, "messages": TALK}, names(message_count_tokens_params.MessageCountTokensParams))):
            self.assertGreater(len(known), 4, path)
            for name in sorted(known - {"model"}):
                # null is what clients send for "not given"; an object is right for few, and refused by name then. The model is
                # none, so that nothing has to be written.
                for value in (None, {"x": 1}):
                    with self.subTest(f"{path} {name}={value}"):
                        status, answer, _ = SERVER.call("POST", path, {**body, "model": "none", name: value}, SERVER.key)
                        text = json.dumps(answer)
                        self.assertNotIn("unknown parameter", text)
                        self.assertIn(status, (400, 404), text)
                        if status == 400:
                            self.assertIn(name, text)


class Prometheus(unittest.TestCase):
    def test_metrics(self):
        families = {f.name: f for f in text_string_to_metric_families(SERVER.call("GET", "/metrics", key=SERVER.key)[1])}
        self.assertGreater(len(families), 15)
        for f in families.values():
            self.assertTrue(f.documentation, f.name)
            self.assertIn(f.type, ("counter", "gauge", "summary"), f.name)
        self.assertEqual(families["kontor_http_handlers"].samples[0].value, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
