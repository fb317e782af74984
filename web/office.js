/* office.js: what lies in a matter: its documents and what became of each, adding files, searching. */
import { json, upload, urlOf } from "./net.js";
import { getLanguage, w, whyNot, wn } from "./words.js";
import { $, announce, ask, bytes, el, fileName, folderName, say, saying, sayWith } from "./view.js";
import { openPassage } from "./reading.js";

const UPLOAD_BYTES = 64 << 20, UPLOAD_FOLDER = "/upload", SHOWN = 200;

let matter = null; /* { id, right } */
let documents = [], nShown = SHOWN, turn = 0;

/* ---- documents ------------------------------------------------------------------------------- */

const isRead = (d) => d.state === "indexed";

/* What needs a look comes first. */
function inOrder(list) {
  const names = new Intl.Collator(getLanguage(), { numeric: true });
  return list.sort((a, b) => isRead(a) - isRead(b) || names.compare(fileName(a.path), fileName(b.path)) || names.compare(a.path, b.path));
}

function metaOf(d) {
  const folder = folderName(d.path);
  return [d.pages ? wn("nPages", d.pages) : "", bytes(d.bytes), folder === UPLOAD_FOLDER ? w("uploaded") : folder].filter(Boolean).join(" · ");
}

async function removeDocument(d) {
  const file = fileName(d.path), of = matter;
  const done = await ask({ title: w("removeTitle"), text: w("removeText", { file }), ok: w("remove"),
    act: () => json("removeDocument", { path: { document: d.id }, query: { matter: of.id } }) });
  if (!done) return;
  announce(w("removed", { file }));
  await loadDocuments();
  $("documents-heading").tabIndex = -1;
  $("documents-heading").focus();
}

function documentItem(d) {
  const name = el(isRead(d) ? "button" : "span", { class: "name" }, fileName(d.path));
  if (isRead(d)) {
    name.type = "button";
    name.onclick = () => openPassage({ matter: matter.id, path: d.path, title: d.title, start: 0, end: 0 }, name);
  }
  const item = el("li", { class: d.state }, el("div", { class: "row" }, name, saying("span", { class: "state" }, "state." + d.state)),
    sayWith(el("p", { class: "quiet" }), () => metaOf(d)));
  if (!isRead(d))
    item.append(sayWith(el("p", {}), () => whyNot(d.reason, d.path)),
      el("details", {}, saying("summary", {}, "details"), el("p", { class: "quiet", lang: "en" }, d.reason || "")));
  if (d.has_file) {
    const link = saying("a", { href: urlOf("file", { matter: matter.id, document: d.id }), download: fileName(d.path), class: "save" }, "saveFile");
    link.ariaDescription = fileName(d.path);
    item.append(link);
  }
  if (matter.right === "write") {
    const button = saying("button", { type: "button", class: "plain remove" }, "remove");
    button.ariaDescription = fileName(d.path);
    button.onclick = () => removeDocument(d);
    item.append(button);
  }
  return item;
}

function showDocuments() {
  const wanted = $("filter").value.trim().toLocaleLowerCase();
  const list = documents.filter((d) => d.path.toLocaleLowerCase().includes(wanted));
  const n = documents.filter(isRead).length;
  sayWith($("counts"), () => documents.length === 0 ? w("noDocuments") : list.length === 0 ? w("noneOfThisName") :
    [wn("nDocuments", documents.length), w("nIndexed", { n }), n < documents.length ? w("nNotRead", { n: documents.length - n }) : ""]
      .filter(Boolean).join(" · "));
  $("list").replaceChildren(...list.slice(0, nShown).map(documentItem));
  $("more").hidden = list.length <= nShown;
  $("filter").parentElement.hidden = documents.length < 8;
}

export async function loadDocuments() {
  const mine = ++turn;
  try {
    const list = (await json("documents", { query: { matter: matter.id } })).documents;
    if (mine !== turn) return;
    documents = inOrder(list);
    showDocuments();
  } catch (trouble) {
    if (mine === turn) say($("counts"), trouble.word || "failed", trouble.values || { id: "–" });
  }
}

/* ---- adding files ---------------------------------------------------------------------------- */

const waiting = [];
let sending = false;

function isFileName(name) {
  return name && !name.startsWith(".") && !/[/\\\u0000-\u001f\u007f]/.test(name) && new TextEncoder().encode(name).length <= 255;
}

function refusal(file, name) {
  if (file.isFolder) return "uploadFolder";
  if (!isFileName(name)) return "uploadName";
  if (file.size === 0) return "uploadEmpty";
  return file.size > UPLOAD_BYTES ? "uploadTooLarge" : null;
}

function uploadItem(name) {
  const bar = el("progress", { max: 1, value: 0 }), state = saying("span", { class: "state" }, "uploadWaiting");
  bar.ariaLabel = name;
  return { node: el("li", {}, el("span", { class: "name" }, name), state, bar), bar, state };
}

function endItem(item, name, fn, failed) {
  item.bar.remove();
  sayWith(item.state, fn);
  item.node.classList.add(failed ? "failed" : "indexed");
  announce(name + ": " + fn());
}

async function sendFile({ file, name, item, to }) {
  try {
    say(item.state, "uploadSending");
    const result = await upload(to.id, name, file, (part) => {
      item.bar.value = part;
      if (part < 1) return;
      item.bar.removeAttribute("value");
      say(item.state, "uploadReading");
    });
    const path = UPLOAD_FOLDER + "/" + name;
    endItem(item, name, () => result.indexed ? w("uploadDone") : whyNot(result.reason, path), !result.indexed);
  } catch (trouble) {
    endItem(item, name, () => w(trouble.word || "failed", trouble.values || { id: "–" }), true);
  }
}

/* One after the other: the server reads one at a time, too. */
async function sendAll() {
  if (sending) return;
  sending = true;
  for (let next; (next = waiting.shift());) {
    await sendFile(next);
    if (waiting.length === 0 && next.to === matter) await loadDocuments();
  }
  sending = false;
}

async function addFile(file) {
  const name = file.name.normalize("NFC"), item = uploadItem(name), to = matter, why = refusal(file, name);
  $("uploads").append(item.node);
  if (why) {
    endItem(item, name, () => w(why), true);
    return;
  }
  const known = documents.some((d) => d.path === UPLOAD_FOLDER + "/" + name && isRead(d));
  if (known && !(await ask({ title: w("replaceTitle"), text: w("replaceText", { file: name }), ok: w("replace"), act() {} }))) {
    endItem(item, name, () => w("notReplaced"), true);
    return;
  }
  waiting.push({ file, name, item, to });
}

async function addFiles(files) {
  if (!sending) $("uploads").replaceChildren();
  for (const file of files) await addFile(file);
  sendAll();
}

/* Folders look like files without content; the browser tells them apart only here. */
function droppedFiles(transfer) {
  return [...transfer.items].filter((i) => i.kind === "file").map((i) => {
    const entry = i.webkitGetAsEntry?.(), file = i.getAsFile();
    return entry?.isDirectory ? { name: entry.name, isFolder: true } : file;
  }).filter(Boolean);
}

/* A file dropped beside the field would make the browser leave the page. */
function startDropping() {
  const canDrop = () => !$("documents").hidden && matter?.right === "write" && !$("dialog").open;
  addEventListener("dragover", (e) => {
    e.preventDefault();
    $("drop").classList.toggle("over", canDrop());
  });
  addEventListener("dragleave", () => $("drop").classList.remove("over"));
  addEventListener("drop", (e) => {
    e.preventDefault();
    $("drop").classList.remove("over");
    if (canDrop()) addFiles(droppedFiles(e.dataTransfer));
  });
  addEventListener("beforeunload", (e) => { if (sending) e.preventDefault(); });
  $("files").onchange = () => {
    const files = [...$("files").files];
    $("files").value = "";
    addFiles(files);
  };
}

/* ---- searching ------------------------------------------------------------------------------- */

/* The passage's text with the words that were looked for marked, as far as they stand there literally. */
function snippet(text, query) {
  const words = (query.match(/[\p{L}\p{N}]{3,}/gu) || []).slice(0, 32);
  const short = text.replace(/\s+/g, " ").trim();
  if (words.length === 0) return [short];
  return short.split(new RegExp("(" + words.join("|") + ")", "giu")).map((part, i) => i % 2 ? el("mark", {}, part) : part);
}

function hitItem(h, query) {
  const button = el("button", { type: "button", class: "source" },
    sayWith(el("span", { class: "place" }), () => h.page ? fileName(h.path) + ", " + w("atPage", { n: h.page }) : fileName(h.path)),
    el("span", { class: "snippet" }, ...snippet(h.text, query)));
  button.onclick = () => openPassage({ ...h, matter: matter.id }, button);
  return el("li", {}, button);
}

async function search(query) {
  if (!query || !matter) return;
  const mine = ++turn;
  $("hits").replaceChildren();
  say($("found"), "searching");
  try {
    const { hits } = await json("search", { query: { matter: matter.id }, body: { query, k: 20 }, onBusy: () => say($("found"), "busy") });
    if (mine !== turn) return;
    sayWith($("found"), () => hits.length ? wn("nHits", hits.length) : w("nothingFound"));
    $("hits").replaceChildren(...hits.map((h) => hitItem(h, query)));
  } catch (trouble) {
    if (mine === turn) say($("found"), trouble.word || "failed", trouble.values || { id: "–" });
  }
}

/* ---- ------------------------------------------------------------------------------------------ */

/* Another matter: nothing of the one before stays. */
export function workIn(next) {
  turn++;
  matter = next;
  documents = [];
  nShown = SHOWN;
  $("filter").value = "";
  for (const id of ["hits", "found", "list", "counts"]) $(id).replaceChildren();
  if (!sending) $("uploads").replaceChildren();
  $("drop").hidden = next?.right !== "write";
}

export function startOffice() {
  $("search-form").onsubmit = (e) => {
    e.preventDefault();
    search($("query").value.trim());
  };
  $("filter").oninput = () => { nShown = SHOWN; showDocuments(); };
  $("more").onclick = () => { nShown += SHOWN; showDocuments(); };
  startDropping();
}
