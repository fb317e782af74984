// The official clients for Node.js against the server, with a small random model that sees and calls tools: what they parse into
// their own types is right in form, what they throw is right in meaning. Started by test_serve_node.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import test from "node:test";

const { KONTOR_URL, KONTOR_KEY, KONTOR_NODE, KONTOR_PICTURE, KONTOR_EMBED } = process.env;
const require = createRequire(KONTOR_NODE + "/clients.js");
const OpenAI = require("openai");
const Anthropic = require("@anthropic-ai/sdk");
const patience = { maxRetries: 0, timeout: 240_000 };
const openai = new OpenAI.default({ baseURL: KONTOR_URL + "/v1", apiKey: KONTOR_KEY, ...patience });
const anthropic = new Anthropic.default({ baseURL: KONTOR_URL, apiKey: KONTOR_KEY, ...patience });
const model = "sighted";
const messages = [{ role: "user", content: "What?" }];
const place = {
  type: "object",
  properties: { city: { type: "string", maxLength: 5 }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["city", "days"],
  additionalProperties: false,
};
const picture = readFileSync(KONTOR_PICTURE).toString("base64");

function checkPlace(value) {
  assert.deepEqual(Object.keys(value), ["city", "days"]);
  assert.ok(value.days >= 1 && value.days <= 9 && [...value.city].length <= 5, JSON.stringify(value));
}

test("openai: models, embeddings and errors", async () => {
  const names = [];
  for await (const m of openai.models.list()) names.push(m.id);
  assert.deepEqual(names, [model, KONTOR_EMBED]);
  const made = await openai.embeddings.create({ model: KONTOR_EMBED, input: ["eins", "zwei"] });
  assert.equal(made.data.length, 2);
  assert.ok(Math.abs(made.data[0].embedding.reduce((s, x) => s + x * x, 0) - 1) < 1e-4);
  await assert.rejects(openai.chat.completions.create({ model: "gpt-4o", messages }), (e) =>
    e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
  await assert.rejects(openai.chat.completions.create({ model, messages, prediction: { type: "content", content: "a" } }), (e) =>
    e instanceof OpenAI.BadRequestError && e.param === "prediction");
  const stranger = new OpenAI.default({ baseURL: KONTOR_URL + "/v1", apiKey: "kt-wrong", ...patience });
  await assert.rejects(stranger.models.retrieve(model), OpenAI.AuthenticationError);
});

test("openai: chat, whole and streamed, with log-probabilities and a picture", async () => {
  const ask = { model, max_tokens: 8, temperature: 0, reasoning_effort: "none", logprobs: true, top_logprobs: 2,
    messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64," + picture } },
      { type: "text", text: "What?" }] }] };
  const whole = await openai.chat.completions.create(ask);
  const tokens = whole.choices[0].logprobs.content;
  assert.equal(tokens.map((t) => t.token).join(""), whole.choices[0].message.content);
  const stream = openai.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
  let text = "";
  stream.on("content", (delta) => (text += delta));
  const last = await stream.finalChatCompletion();
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(last.choices[0].message.content, text);
  assert.deepEqual(last.choices[0].logprobs.content, tokens);
  assert.equal((await stream.totalUsage()).completion_tokens, whole.usage.completion_tokens);
  const two = await openai.chat.completions.create({ model, messages, n: 2, seed: 4, max_tokens: 3, reasoning_effort: "none" });
  assert.deepEqual(two.choices.map((c) => c.index), [0, 1]);
});

test("openai: answers of a form", async () => {
  const schema = { name: "place", strict: true, schema: place };
  const parsed = await openai.chat.completions.parse({ model, messages, max_tokens: 300, seed: 1, reasoning_effort: "none",
    response_format: { type: "json_schema", json_schema: schema } });
  checkPlace(JSON.parse(parsed.choices[0].message.content));
  const answer = await openai.responses.create({ model, input: "What?", max_output_tokens: 300, reasoning: { effort: "none" },
    text: { format: { type: "json_schema", ...schema } } });
  checkPlace(JSON.parse(answer.output_text));
});

test("openai: a tool that is run, and what it said goes back", async () => {
  const seen = [];
  const runner = openai.chat.completions.runTools({ model, messages, seed: 1, max_tokens: 300, reasoning_effort: "none",
    parallel_tool_calls: false, tool_choice: { type: "function", function: { name: "place" } },
    tools: [{ type: "function", function: { name: "place", parameters: place, parse: JSON.parse, description: "where",
      function: (value) => { seen.push(value); return "12 degrees"; } } }] });
  await runner.done();
  assert.equal(seen.length, 1);
  checkPlace(seen[0]);
});

test("openai: responses are streamed, kept, gone on from, listed and deleted", async () => {
  const ask = { model, max_output_tokens: 4, temperature: 0, reasoning: { effort: "none" } };
  const stream = openai.responses.stream({ ...ask, input: "My name is Anna." });
  const kinds = [];
  for await (const e of stream) kinds.push(e.type);
  const first = await stream.finalResponse();
  assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", "response." + first.status]);
  assert.equal((await openai.responses.retrieve(first.id)).output_text, first.output_text);
  const second = await openai.responses.create({ ...ask, input: "Who am I?", previous_response_id: first.id });
  const items = [];
  for await (const i of openai.responses.inputItems.list(second.id, { order: "asc", limit: 2 })) items.push(i.type);
  assert.deepEqual(items, ["message", "message", "message"]);
  await openai.responses.delete(first.id);
  await assert.rejects(openai.responses.retrieve(first.id), OpenAI.NotFoundError);
});

test("openai: a stream that is left", async () => {
  const stream = await openai.chat.completions.create({ model, messages, max_tokens: 1500, stream: true, temperature: 2,
    response_format: { type: "regex", pattern: "[a-z]{1000,}" }, reasoning_effort: "none" });
  for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
});

test("anthropic: messages, whole and streamed, with a picture", async () => {
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: picture } };
  const ask = { model, max_tokens: 8, messages: [{ role: "user", content: [image, { type: "text", text: "What?" }] }], temperature: 0 };
  const whole = await anthropic.messages.create(ask);
  const said = whole.content.map((b) => b.text).join("");
  const stream = anthropic.messages.stream(ask);
  let text = "";
  stream.on("text", (delta) => (text += delta));
  const last = await stream.finalMessage();
  assert.equal(text, said);
  assert.equal(last.usage.output_tokens, whole.usage.output_tokens);
  const counted = await anthropic.messages.countTokens({ model, messages: ask.messages });
  assert.equal(counted.input_tokens, whole.usage.input_tokens + whole.usage.cache_read_input_tokens);
});

test("anthropic: a tool that must be used, thoughts of a bounded length, an answer of a form", async () => {
  const tools = [{ name: "place", description: "where", input_schema: place }];
  const choice = { type: "tool", name: "place", disable_parallel_tool_use: true };
  const whole = await anthropic.messages.create({ model, max_tokens: 300, messages, tools, tool_choice: choice });
  assert.deepEqual([whole.stop_reason, whole.content.map((b) => b.type)], ["tool_use", ["tool_use"]]);
  checkPlace(whole.content[0].input);
  const thought = await anthropic.messages.stream({ model, max_tokens: 300, messages, tools, tool_choice: choice,
    thinking: { type: "enabled", budget_tokens: 3 } }).finalMessage();
  checkPlace(thought.content.at(-1).input);
  const answer = await anthropic.messages.create({ model, max_tokens: 300, messages,
    output_config: { format: { type: "json_schema", schema: place } } });
  checkPlace(JSON.parse(answer.content[0].text));
});

test("anthropic: errors are of their kind", async () => {
  await assert.rejects(anthropic.messages.create({ model: "claude", max_tokens: 1, messages }), (e) =>
    e instanceof Anthropic.NotFoundError && e.error.error.type === "not_found_error");
  await assert.rejects(anthropic.messages.create({ model, max_tokens: 1, messages, mcp_servers: [{ type: "url" }] }), Anthropic.BadRequestError);
  const stranger = new Anthropic.default({ baseURL: KONTOR_URL, apiKey: "wrong", ...patience });
  await assert.rejects(stranger.messages.create({ model, max_tokens: 1, messages }), Anthropic.AuthenticationError);
});
