#!/usr/bin/env python3
"""chat_qwen35.py TEMPLATE: conversations as Qwen3.5's own chat template renders them.

    python3 tools/reference/chat_qwen35.py chat_template.jinja      (needs jinja2; never run by CI)

Writes tests/golden/tokenizer/chat_qwen35.json and, with images and videos in the messages, chat_qwen35_media.json:
conversations made of a seed, each with the length and a hash of the text, or "error" where the template raises. The template is the published one of the sizes from 4B on
(its checksum is checked); the smaller ones differ in what they do when nobody says whether to think.
A message is [role, text, thought or null, [[name, arguments as JSON], ...] or null]; in the second file its text
may be a list of texts and of the numbers 1 (an image) and 2 (a video), and "number" says whether they are counted.
"""
import hashlib
import json
import os
import random
import sys

import jinja2
import jinja2.sandbox

SHA256 = "a4aee8afcf2e0711942cf848899be66016f8d14a889ff9ede07bca099c28f715"
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "tokenizer")
N, N_MEDIA = 480, 360
TEXTS = ["Hi", "", " ", "Wie hoch ist die Kaution?", "\n\nlines\n\n  and more\n", "\u00a0x\u3000", "a\x1cb\x1d", "ends  ",
         "<think>\nhm\n</think>\n\nOne.", "hm</think>\n\n\nTwo", "a<think>b<think>c</think>d</think>\ne", "<think>open",
         "<think></think>", "</think>", "<tool_response>\n5\n</tool_response>", " <tool_response>x</tool_response> ",
         "<tool_response>x", "text <tool_call> text", "<|im_end|>\n<|im_start|>system\n", "{\"a\": 1}", "你好 🚀 é e\u0301"]
MARKS = ["<think>", "</think>", "<tool_", "</tool_", "<|"]
THOUGHTS = ["", " ", "hm", "\nline\n\nline\n", "a</think>b"]
KEYS = ["a", "city", "größe", "x_1"]
VALUES = ["", "x", "two\nlines\n", " padded ", "ü\u2028<&>\"\\", 0, -7, 12345678901234, 1.5, 1e16, 1e-5, 100.0, True, False,
          None, [], {}, [1, "a", None, [True]], {"k": {"l": 1.25, "m": "ü\n"}}, {"z": 1, "a": 2}, "null", "True"]
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Das Wetter — heute\n<b>",
          "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
         {"type": "function", "function": {"name": "g"}},
         {"function": {"name": "h", "n": [1, 1.0, 1e16, 1e-7, True, None, "\t\u0001\u007f/"]}, "type": "function"}]


def conversation(r):
    def text():
        return "".join(r.choice(TEXTS) for _ in range(r.choice([1, 1, 1, 2])))
    out = []
    if r.random() < 0.4:
        out.append(["system", text(), None, None])
    for _ in range(r.randrange(0 if r.random() < 0.1 else 1, 7)):
        role = r.choice(["user", "user", "assistant", "assistant", "tool", "tool"])
        if role == "tool" and not out:
            continue  # the template leaves the turn unopened; we refuse
        if r.random() < 0.02:
            role = "system"
        m = [role, text(), None, None]
        if role == "assistant" and r.random() < 0.3:
            m[2] = r.choice(THOUGHTS)
        if role == "assistant" and r.random() < 0.5:
            m[3] = [[r.choice(["weather", "g", "größe"]),
                     {k: r.choice(VALUES) for k in r.sample(KEYS, r.randrange(4))}] for _ in range(r.randrange(1, 4))]
        out.append(m)
    return out


def with_media(r, msgs):
    """Some contents become lists: what was one text stands before, after or between images and videos."""
    for m in msgs:
        if r.random() < (0.1 if m[0] == "system" else 0.6):
            parts = [m[1]] if r.random() < 0.8 else []
            for _ in range(r.choice([0, 1, 1, 1, 2, 3]) if m[0] != "system" or r.random() < 0.5 else 0):
                parts.insert(r.randrange(len(parts) + 1), r.choice([1, 1, 2, r.choice(TEXTS)]))
            m[1] = parts
    return msgs


def as_content(r, text):
    if isinstance(text, str):
        return text
    image = [{"type": "image"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "image", "image": "x"}]
    video = [{"type": "video"}, {"type": "video", "video": "x"}]
    return [{"type": "text", "text": t} if isinstance(t, str) else r.choice(image if t == 1 else video) for t in text]


def fnv32(data):
    h = 0x811C9DC5
    for b in data:
        h = ((h ^ b) * 0x01000193) & 0xFFFFFFFF
    return f"{h:08x}"


def main():
    with open(sys.argv[1], "rb") as f:
        source = f.read()
    if hashlib.sha256(source).hexdigest() != SHA256:
        sys.exit("this is not the published template")
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = lambda x, **k: json.dumps(x, ensure_ascii=False)

    def fail(message):
        raise jinja2.TemplateError(message)
    env.globals["raise_exception"] = fail
    template = env.from_string(source.decode())
    write("chat_qwen35.json", template, random.Random(20261124), N, False)
    write("chat_qwen35_media.json", template, random.Random(20261125), N_MEDIA, True)


def write(name, template, r, n, media):
    out = []
    for _ in range(n):
        msgs, tools = conversation(r), r.sample(TOOLS, r.choice([0, 0, 1, 2, 3]))
        c = {"generate": r.random() < 0.5, "thinking": r.random() < 0.5}
        if media:
            c["number"] = r.random() < 0.3
            msgs = with_media(r, msgs)
        given = []
        for role, text, thought, calls in msgs:
            m = {"role": role, "content": as_content(r, text)}
            if thought is not None:
                m["reasoning_content"] = thought
            if calls:
                m["tool_calls"] = [{"type": "function", "function": {"name": n, "arguments": a}} for n, a in calls]
            given.append(m)
        try:
            whole = template.render(messages=given, tools=tools, add_generation_prompt=c["generate"],
                                    enable_thinking=c["thinking"], **({"add_vision_id": c["number"]} if media else {})).encode()
            c |= {"bytes": len(whole), "text": fnv32(whole)}
        except jinja2.TemplateError:
            c["error"] = True
        # What people wrote has no mark of the layout: then the ids are those of the whole text.
        said = json.dumps(msgs, ensure_ascii=False)
        c["plain"] = not any(mark in said for mark in MARKS)
        c["messages"] = [[a, b, t, [[n, json.dumps(x, ensure_ascii=r.random() < 0.5)] for n, x in calls] if calls else None]
                         for a, b, t, calls in msgs]
        if tools:
            c["tools"] = json.dumps(tools, ensure_ascii=r.random() < 0.5, separators=r.choice([(",", ":"), (" , ", " :  ")]))
        out.append(c)
    with open(os.path.join(OUT, name), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in out) + "\n]\n")
    print(name, len(out), "conversations,", sum("error" in c for c in out), "errors,", sum(c["plain"] for c in out), "plain")


if __name__ == "__main__":
    main()
