/* talking.js: questions to a matter, and conversations with the model. Both stream, and both can be stopped. */
import { Trouble, events, json, request } from "./net.js";
import { w } from "./words.js";
import { $, Speaker, copyText, el, fileName, growing, say, saying, sayWith, sendOnEnter } from "./view.js";
import { openPassage } from "./reading.js";
import { contentOf, offerPictures, putPictures, startPictures, takePictures, thumbnails } from "./pictures.js";

/* One thing at a time: its send and stop buttons, and how to end it. */
class Turn {
  constructor(send, stop) {
    this.send = $(send);
    this.stopButton = $(stop);
    this.stopButton.onclick = () => this.stop();
    this.controller = null;
  }
  get runs() {
    return this.controller !== null;
  }
  begin() {
    this.controller = new AbortController();
    this.send.hidden = true;
    this.stopButton.hidden = false;
    return this.controller.signal;
  }
  end() {
    const had = document.activeElement === this.stopButton;
    this.controller = null;
    this.send.hidden = false;
    this.stopButton.hidden = true;
    if (had) this.send.focus();
  }
  stop() {
    this.controller?.abort();
  }
}

/* An error inside a stream has no status of its own. */
function troubleInside(data, answer) {
  const error = JSON.parse(data).error || {};
  const long = error.code === "context_length_exceeded" || error.type === "invalid_request_error";
  return new Trouble(long ? "tooLong" : "failed", { id: answer.headers.get("X-Request-Id") || "–" });
}

function copyButton(text) {
  const button = saying("button", { type: "button", class: "plain" }, "copy");
  button.hidden = !navigator.clipboard; /* not there without TLS, but on this machine itself */
  button.onclick = () => copyText(button, text());
  return button;
}

/* ---- asking ---------------------------------------------------------------------------------- */

let asking = null, matter = null;
const answersOf = new Map(); /* matter -> its answers while another one is looked at */

function placeText(c) {
  return c.page ? fileName(c.path) + ", " + w("atPage", { n: c.page }) : fileName(c.path);
}

function citationButton(c, n, inMatter) {
  const button = el("button", { type: "button", class: "cite" }, String(n));
  button.ariaLabel = w("showSource", { n, file: placeText(c) });
  button.onclick = () => openPassage({ ...c, matter: inMatter }, button);
  return button;
}

/* The answer with its quotations marked, and a button wherever it says [n]. */
function answerNodes(answer, inMatter) {
  const nodes = [];
  let at = 0;
  for (const m of answer.answer.matchAll(/(?:"([^"]*)" )?\[(\d+)\]/g)) {
    const c = answer.citations[m[2] - 1];
    if (!c) continue;
    nodes.push(answer.answer.slice(at, m.index));
    if (m[1] !== undefined) nodes.push(el("span", { class: "quoted" }, m[1]), "\u00a0");
    nodes.push(citationButton(c, m[2], inMatter));
    at = m.index + m[0].length;
  }
  nodes.push(answer.answer.slice(at));
  return nodes;
}

function sourceItem(c, inMatter) {
  const button = el("button", { type: "button", class: "source" }, el("span", { class: "quoted" }, c.quote.replace(/\s+/g, " ")),
    sayWith(el("span", { class: "place" }), () => placeText(c)));
  button.onclick = () => openPassage({ ...c, matter: inMatter }, button);
  return el("li", {}, button);
}

function plainAnswer(question, answer) {
  const sources = answer.citations.map((c, i) => `[${i + 1}] ${placeText(c)}`);
  return [question, "", answer.answer, "", ...sources].join("\n").trimEnd();
}

/* What is said when a question was not simply looked up. */
const ROUTES = { count: "routeCount", list: "routeList", document: "routeDocument", compare: "routeCompare" };

function showAnswer(card, question, answer, inMatter) {
  card.status.hidden = true;
  if (answer.citations.length === 0 && answer.route !== "list") {
    card.text.replaceChildren(saying("span", { class: "nothing" }, "notFound"));
    return;
  }
  card.text.replaceChildren(...answerNodes(answer, inMatter));
  if (answer.route in ROUTES) card.article.append(saying("p", { class: "quiet" }, ROUTES[answer.route]));
  if (answer.citations.length === 0) return;
  card.article.append(saying("h3", {}, "sources"), el("ol", { class: "sources" }, ...answer.citations.map((c) => sourceItem(c, inMatter))),
    el("div", { class: "row" }, saying("p", { class: "quiet" }, "checkIt"), copyButton(() => plainAnswer(question, answer))));
}

function newCard(question) {
  const card = { status: saying("p", { class: "status" }, "asking"), text: el("div", { class: "answer" }) };
  card.article = el("article", {}, el("h2", {}, question), card.status, card.text);
  $("answers").prepend(card.article);
  return card;
}

function showTrouble(card, trouble, again) {
  card.status.hidden = true;
  const p = say(el("p", { class: "warning", role: "alert" }), trouble.word || "failed", trouble.values || { id: "–" });
  card.article.append(p);
  if (again) {
    const button = saying("button", { type: "button", class: "plain" }, "askAgain");
    button.onclick = again;
    card.article.append(button);
  }
}

async function readAnswer(card, question, inMatter, passages, signal) {
  const reply = await request("ask", {
    query: { matter: inMatter }, body: { question, passages, stream: true }, signal,
    onBusy: () => say(card.status, "busy"),
  });
  if ($("question").value.trim() === question) $("question").value = "";
  const text = document.createTextNode(""), speaker = new Speaker();
  for await (const [name, data] of events(reply)) {
    if (name === "text") {
      if (!text.length) {
        say(card.status, "answering");
        card.text.append(text);
      }
      const piece = JSON.parse(data).text;
      text.appendData(piece);
      speaker.add(piece);
    } else if (name === "answer") {
      const answer = JSON.parse(data);
      showAnswer(card, question, answer, inMatter);
      speaker.end(w(answer.supported ? "answerDone" : "notFound"));
      return;
    } else if (name === "error") {
      throw troubleInside(data, reply);
    }
  }
  throw new Trouble("broken");
}

/* A model that cannot hold four passages at once is given fewer. */
async function readAnswerAsFits(card, question, inMatter, signal) {
  for (const passages of [4, 2, 1]) {
    try {
      await readAnswer(card, question, inMatter, passages, signal);
      return;
    } catch (e) {
      if (e.word !== "tooLong" || passages === 1) throw e;
    }
  }
}

async function askQuestion(question) {
  if (!question || asking.runs || !matter) return;
  const card = newCard(question), signal = asking.begin();
  const again = () => { card.article.remove(); askQuestion(question); };
  try {
    await readAnswerAsFits(card, question, matter, signal);
  } catch (e) {
    if (e.name === "AbortError") {
      say(card.status, "stopped");
    } else if (e.word === "loginAgain") {
      card.article.remove(); /* the question still stands in its field */
      if (!$("question").value) $("question").value = question;
    } else {
      showTrouble(card, e, again);
    }
  }
  asking.end();
}

/* Another matter: its answers, none of the other's. */
export function talkAbout(id) {
  if (id === matter) return;
  asking.stop();
  if (matter) answersOf.set(matter, [...$("answers").childNodes]);
  matter = id;
  $("answers").replaceChildren(...(answersOf.get(id) || []));
}

/* ---- the conversation ------------------------------------------------------------------------ */

let chatting = null, talk = []; /* { role, content, and of a user's: text, pictures, shown } */

function newMessage(role) {
  const text = el("div", { class: "text" });
  const article = el("article", { class: role }, saying("h2", {}, role === "user" ? "you" : "model"), text);
  $("messages").append(article);
  $("chat-new").hidden = false;
  return { article, text };
}

/* Thoughts are there for whoever wants them, folded away. */
function thoughtsOf(message) {
  if (!message.thoughts) {
    message.thoughts = document.createTextNode("");
    message.article.insertBefore(el("details", {}, saying("summary", {}, "thoughts"), el("div", { class: "text" }, message.thoughts)), message.text);
  }
  return message.thoughts;
}

/* Stay at the end while the reader is there. */
function atTheEnd() {
  const page = document.scrollingElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 160;
}

/* The text, also when it was stopped. */
async function readReply(message, reply, said) {
  const text = document.createTextNode(""), speaker = new Speaker();
  let finished = false;
  message.text.append(text);
  for await (const [name, data] of events(reply)) {
    if (data === "[DONE]") break;
    if (name === "error" || data.startsWith('{"error"')) throw troubleInside(data, reply);
    const choice = JSON.parse(data).choices[0], follow = atTheEnd();
    if (!choice) continue;
    if (choice.delta.reasoning_content) thoughtsOf(message).appendData(choice.delta.reasoning_content);
    if (choice.delta.content) {
      said.text += choice.delta.content;
      message.status.hidden = true;
      text.appendData(choice.delta.content);
      speaker.add(choice.delta.content);
    }
    if (choice.finish_reason) finished = true;
    if (choice.finish_reason === "length") message.article.append(saying("p", { class: "quiet" }, "cut"));
    if (follow) $("chat-form").scrollIntoView({ block: "end" });
  }
  speaker.end();
  if (!finished) throw new Trouble("broken");
}

async function chatModel(signal) {
  const models = (await json("models", { signal })).data;
  if (models.length === 0) throw new Trouble("noChatModel");
  offerPictures(Boolean(models[0].sees));
  return models[0].id;
}

/* The conversation was opened: what can be sent depends on the model. */
export async function chatOpened() {
  try {
    await chatModel();
  } catch { /* who sends something will be told */ }
}

/* A turn that failed before the model said anything is taken back: the message stands in its field again. */
function takeBack(mine, message, trouble) {
  talk.pop();
  for (const s of [mine.shown, message]) s.article.remove();
  if (!$("message").value) {
    $("message").value = mine.text;
    putPictures(mine.pictures);
  }
  if (trouble && trouble.word !== "loginAgain")
    $("messages").append(say(el("p", { class: "warning", role: "alert" }), trouble.word || "failed", trouble.values || { id: "–" }));
}

/* Only the end of a conversation can be said anew: what came before is what the model has read already. */
function offerAnew() {
  for (const old of $("messages").querySelectorAll(".anew")) old.remove();
  const mine = talk.at(-2), answer = talk.at(-1);
  if (!mine || answer.role !== "assistant") return;
  const again = saying("button", { type: "button", class: "plain anew" }, "answerAgain");
  const change = saying("button", { type: "button", class: "plain anew" }, "change");
  again.onclick = () => anew(mine, answer, false);
  change.onclick = () => anew(mine, answer, true);
  answer.row.append(again);
  mine.shown.article.append(change);
}

function anew(mine, answer, edited) {
  if (chatting.runs) return;
  talk.pop();
  answer.shown.article.remove();
  if (!edited) {
    mine.shown.article.querySelector(".anew")?.remove();
    answerTo(mine);
    return;
  }
  talk.pop();
  mine.shown.article.remove();
  $("message").value = mine.text;
  putPictures(mine.pictures);
  $("message").focus();
  offerAnew();
}

async function answerTo(mine) {
  const message = newMessage("assistant"), said = { text: "" }, of = talk;
  const row = el("div", { class: "row" });
  const keep = (text) => { talk.push({ role: "assistant", content: text, shown: message, row }); message.article.append(row); };
  message.status = saying("p", { class: "status" }, "thinking");
  message.article.insertBefore(message.status, message.text);
  const signal = chatting.begin();
  try {
    const reply = await request("chat", {
      body: { model: await chatModel(signal), messages: talk.map(({ role, content }) => ({ role, content })), stream: true, temperature: 0.7 },
      signal, onBusy: () => say(message.status, "busy"),
    });
    await readReply(message, reply, said);
    keep(said.text);
    row.append(copyButton(() => said.text));
  } catch (e) {
    if (of !== talk) { /* a new conversation has begun */ }
    else if (said.text || e.name === "AbortError") {
      message.article.append(say(el("p", { class: e.name === "AbortError" ? "quiet" : "warning", role: "alert" }),
        e.name === "AbortError" ? "stopped" : e.word || "failed", e.values || { id: "–" }));
      keep(said.text || "…");
    } else {
      takeBack(mine, message, e);
    }
  }
  message.status.hidden = true;
  chatting.end();
  if (of === talk) offerAnew();
}

async function sendMessage(text) {
  if (!text || chatting.runs) return;
  for (const old of $("messages").querySelectorAll(":scope > .warning, .anew")) old.remove();
  const pictures = takePictures(), shown = newMessage("user");
  const mine = { role: "user", content: contentOf(text, pictures), text, pictures, shown };
  talk.push(mine);
  shown.text.append(text);
  if (pictures.length) shown.text.append(thumbnails(pictures));
  $("message").value = "";
  await answerTo(mine);
}

function newConversation() {
  chatting.stop();
  talk = [];
  takePictures();
  $("messages").replaceChildren();
  $("chat-new").hidden = true;
  $("message").focus();
}

export function startTalking() {
  asking = new Turn("ask-send", "ask-stop");
  chatting = new Turn("chat-send", "chat-stop");
  const parts = [["ask-form", "question", askQuestion], ["chat-form", "message", sendMessage]];
  for (const [form, area, act] of parts) {
    const fit = growing($(area));
    sendOnEnter($(area));
    $(form).onsubmit = (e) => {
      e.preventDefault();
      act($(area).value.trim());
      fit();
    };
  }
  $("chat-new").onclick = newConversation;
  startPictures();
}
