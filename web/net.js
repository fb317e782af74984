/* net.js: talking to the server. Every request of the page is one of ROUTES; every failure becomes a Trouble that says,
 * in a word of words.js, what a person should know.
 *
 *   request() --> 200 --> Response
 *             '-- 401 --> onExpired()      503 --> waits as long as the server says, then again
 *             '-- no answer at all --> onGone(), asks /health until there is one, onBack()
 *
 * The session is a cookie that scripts cannot read; the token that goes with it lives only in memory here. */

export const ROUTES = {
  health: ["GET", "/health"],
  login: ["POST", "/api/login"],
  logout: ["POST", "/api/logout"],
  session: ["GET", "/api/session"],
  matters: ["GET", "/api/matters"],
  newMatter: ["POST", "/api/matters"],
  documents: ["GET", "/api/documents"],
  upload: ["PUT", "/api/documents"],
  file: ["GET", "/api/matters/{matter}/documents/{document}/file"],
  removeDocument: ["DELETE", "/api/documents/{document}"],
  search: ["POST", "/api/search"],
  ask: ["POST", "/api/ask"],
  passage: ["GET", "/api/passage"],
  models: ["GET", "/v1/models"],
  chat: ["POST", "/v1/chat/completions"],
};

const BUSY_TRIES = 5;
const SILENCE_MS = 45000; /* the server says something every 15 s on a stream */

export class Trouble extends Error {
  constructor(word, values = {}, more = {}) {
    super(word);
    this.word = word;
    this.values = values;
    Object.assign(this, more);
  }
}

/* What the page does about these is its business. */
export const hooks = { onExpired() {}, onGone() {}, onBack() {} };

let token = null;

export function setToken(value) {
  token = value;
}

export function urlOf(name, path = {}, query = {}) {
  const where = ROUTES[name][1].replace(/\{(\w+)\}/g, (_, key) => encodeURIComponent(path[key]));
  const what = Object.entries(query).map(([key, value]) => key + "=" + encodeURIComponent(value)).join("&");
  return what ? where + "?" + what : where;
}

function headersOf(name, isJson) {
  const headers = {};
  if (isJson) headers["Content-Type"] = "application/json";
  if (token && ROUTES[name][0] !== "GET") headers["X-CSRF-Token"] = token;
  return headers;
}

const WORD_OF = { 403: "forbidden", 404: "gone", 409: "matterExists", 413: "tooLong", 421: "wrongAddress", 507: "diskFull" };

/* 'header' gives a field of the answer, or null. */
function troubleOf(name, status, error, header) {
  const more = { status, code: error.code || "" };
  if (status === 401) return new Trouble(name === "login" ? "loginWrong" : "loginAgain", {}, more);
  if (status === 429) return new Trouble("loginWait", {}, { ...more, seconds: Number(header("Retry-After")) || 60 });
  if (status === 503) return new Trouble(name === "upload" || name === "removeDocument" ? "matterBusy" : "stillBusy", {}, more);
  if (error.code === "context_length_exceeded") return new Trouble(name === "chat" ? "chatTooLong" : "tooLong", {}, more);
  if (error.param === "model") return new Trouble("noChatModel", {}, more);
  return new Trouble(WORD_OF[status] || "failed", { id: header("X-Request-Id") || "–" }, more);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    });
  });
}

/* ---- is it there at all? --------------------------------------------------------------------- */

let isGone = false;

async function askUntilItIsBack() {
  for (let wait = 1000; isGone; wait = Math.min(wait * 2, 10000)) {
    await pause(wait);
    try {
      const answer = await fetch(urlOf("health"), { cache: "no-store", signal: AbortSignal.timeout(5000) });
      isGone = !answer.ok;
    } catch { /* not yet */ }
  }
  hooks.onBack();
}

function noteGone() {
  if (isGone) return;
  isGone = true;
  hooks.onGone();
  askUntilItIsBack();
}

/* ---- requests -------------------------------------------------------------------------------- */

async function attempt(name, { path, query, body, signal }) {
  const options = { method: ROUTES[name][0], headers: headersOf(name, body !== undefined), signal, cache: "no-store" };
  if (body !== undefined) options.body = JSON.stringify(body);
  try {
    return await fetch(urlOf(name, path, query), options);
  } catch (e) {
    if (e.name === "AbortError") throw e;
    noteGone();
    throw new Trouble("serverGone");
  }
}

async function errorOf(answer) {
  try {
    return (await answer.json()).error || {};
  } catch {
    return {};
  }
}

/* Another window may have logged in meanwhile: the cookie is its session's, the token still ours. */
async function renewToken() {
  const answer = await attempt("session", {});
  if (answer.ok) token = (await answer.json()).csrf_token;
}

/* A Response that is well, or a Trouble. what: path, query, body, signal; onBusy: called when we have to wait. */
export async function request(name, what = {}) {
  let renewed = false;
  for (let tries = 1; ; tries++) {
    const answer = await attempt(name, what);
    if (answer.ok) return answer;
    const error = await errorOf(answer);
    if (answer.status === 503 && tries < BUSY_TRIES) {
      what.onBusy?.();
      await pause(1000 * Math.min(Number(answer.headers.get("Retry-After")) || 1, 10) * tries, what.signal);
    } else if (error.code === "csrf" && !renewed) {
      renewed = true;
      await renewToken();
    } else {
      if (answer.status === 401 && name !== "login" && !what.quiet) hooks.onExpired();
      throw troubleOf(name, answer.status, error, (field) => answer.headers.get(field));
    }
  }
}

export async function json(name, what) {
  return (await request(name, what)).json();
}

/* ---- streams --------------------------------------------------------------------------------- */

function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("silent")), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function parseEvent(block) {
  let name = "message", data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data ? [name, data] : null;
}

/* The events of an answer, as [name, text]. A connection that breaks or falls silent is a Trouble. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await within(SILENCE_MS, reader.read());
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } catch (e) {
    if (e.name === "AbortError" || e instanceof Trouble) throw e;
    noteGone();
    throw new Trouble("broken");
  } finally {
    reader.cancel().catch(() => {});
  }
}

/* ---- files ----------------------------------------------------------------------------------- */

/* fetch() cannot say how much of a body is sent; this old way can. */
function sendOnce(query, file, onProgress) {
  return new Promise((resolve, reject) => {
    const rq = new XMLHttpRequest();
    rq.open(ROUTES.upload[0], urlOf("upload", {}, query));
    for (const [field, value] of Object.entries(headersOf("upload", false))) rq.setRequestHeader(field, value);
    rq.responseType = "json";
    rq.upload.onprogress = (e) => onProgress(e.loaded / Math.max(e.total, 1));
    rq.upload.onload = () => onProgress(1);
    rq.onload = () => resolve(rq);
    rq.onerror = () => { noteGone(); reject(new Trouble("serverGone")); };
    rq.send(file);
  });
}

/* {indexed, path, reason} */
export async function upload(matter, name, file, onProgress) {
  let renewed = false;
  for (let tries = 1; ; tries++) {
    const rq = await sendOnce({ matter, name }, file, onProgress);
    const error = rq.response?.error || {};
    if (rq.status === 200) return rq.response;
    if (rq.status === 503 && tries < BUSY_TRIES) {
      await pause(1000 * tries);
    } else if (error.code === "csrf" && !renewed) {
      renewed = true;
      await renewToken();
    } else {
      if (rq.status === 401) hooks.onExpired();
      const word = rq.status === 413 ? "uploadTooLarge" : rq.status === 400 ? "uploadName" : null;
      throw word ? new Trouble(word) : troubleOf("upload", rq.status, error, (field) => rq.getResponseHeader(field));
    }
  }
}
