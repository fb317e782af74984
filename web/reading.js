/* reading.js: the panel that shows a passage where it stands.
 *
 * The server gives paragraphs with the bytes they have in the document; a place is a range of such bytes. What is shown is
 * always one unbroken range, which grows at either end. */
import { json } from "./net.js";
import { w } from "./words.js";
import { $, announce, el, fileName, say, sayWith } from "./view.js";

const STEP_BYTES = 3000; /* what the server gives before and after a place */

let place = null;  /* { matter, path, start, end } */
let shown = null;  /* { start, end, lastPage } */
let opener = null; /* where the focus goes back to */
let turn = 0;

const encoder = new TextEncoder(), decoder = new TextDecoder();
const narrow = matchMedia("(max-width: 64rem)");

/* On small screens the panel covers the rest, so the rest is out of reach. */
function coverRest() {
  const covered = narrow.matches && !$("passage").hidden;
  $("main").inert = covered;
  document.querySelector("header").inert = covered;
  document.body.classList.toggle("reading", covered);
}
narrow.addEventListener("change", coverRest);

export function closePassage(focus = true) {
  if ($("passage").hidden) return;
  turn++;
  $("passage").hidden = true;
  coverRest();
  if (focus && opener?.isConnected) opener.focus();
}

/* The text of a block in up to three parts: before, in, and after the place. */
function paragraph(block) {
  const raw = encoder.encode(block.text);
  const cut = (at) => Math.min(Math.max(at - block.start, 0), raw.length);
  const from = cut(place.start), to = cut(place.end);
  const part = (a, b) => decoder.decode(raw.subarray(a, b));
  const p = el("p", {}, part(0, from));
  if (to > from) p.append(el("mark", {}, part(from, to)));
  p.append(part(to, raw.length));
  return p;
}

/* What of the block is not shown yet. */
function unseen(block, from, to) {
  if (block.start >= from && block.end <= to) return block;
  const raw = encoder.encode(block.text);
  const a = Math.max(from - block.start, 0), b = Math.min(to - block.start, raw.length);
  return b > a ? { ...block, start: block.start + a, end: block.start + b, text: decoder.decode(raw.subarray(a, b)) } : null;
}

function nodesOf(blocks, pageBefore) {
  const nodes = [];
  let page = pageBefore;
  for (const block of blocks) {
    if (block.page && block.page !== page) nodes.push(say(el("p", { className: "page-mark" }), "page", { n: block.page }));
    page = block.page;
    nodes.push(paragraph(block));
  }
  return nodes;
}

function fetchText(start, end) {
  return json("passage", { query: { matter: place.matter, path: place.path, start, end } });
}

async function showMore(earlier) {
  const mine = turn, button = $(earlier ? "earlier" : "later");
  const at = earlier ? Math.max(shown.start - STEP_BYTES, 0) : shown.end + STEP_BYTES;
  button.disabled = true;
  try {
    const text = await fetchText(at, at);
    if (mine !== turn) return;
    const from = earlier ? 0 : shown.end, to = earlier ? shown.start : Infinity;
    const blocks = text.blocks.map((b) => unseen(b, from, to)).filter(Boolean);
    const body = $("passage-body"), height = body.scrollHeight;
    if (earlier) {
      $("blocks").prepend(...nodesOf(blocks, 0));
      body.scrollTop += body.scrollHeight - height;
      shown.start = blocks[0]?.start ?? 0;
    } else {
      $("blocks").append(...nodesOf(blocks, shown.lastPage));
      shown.end = blocks.at(-1)?.end ?? Infinity;
      shown.lastPage = blocks.at(-1)?.page;
    }
    button.hidden = !(earlier ? text.earlier : text.later) || blocks.length === 0;
  } catch (trouble) {
    report(trouble);
  }
  button.disabled = false;
}

function report(trouble) {
  const gone = trouble.word === "gone";
  $("blocks").append(say(el("p", { className: "warning", role: "alert" }), gone ? "passageGone" : trouble.word || "failed",
    trouble.values || { id: "–" }));
}

function begin(what, from) {
  place = what;
  opener = from;
  shown = null;
  turn++;
  $("passage-heading").textContent = what.title || fileName(what.path);
  $("passage-place").textContent = fileName(what.path);
  $("blocks").replaceChildren(say(el("p", { className: "quiet" }), "passageLoading"));
  $("earlier").hidden = $("later").hidden = true;
  $("passage").hidden = false;
  coverRest();
  $("passage-heading").focus({ preventScroll: true });
}

/* what: { matter, path, title, page, start, end }; the element 'from' gets the focus back. */
export async function openPassage(what, from) {
  begin(what, from);
  const mine = turn;
  try {
    const text = await fetchText(what.start, what.end);
    if (mine !== turn) return;
    if (text.blocks.length === 0) {
      $("blocks").replaceChildren();
      report({ word: "gone" });
      return;
    }
    $("passage-heading").textContent = text.title || fileName(text.path);
    sayWith($("passage-place"), () => [fileName(text.path),
      !what.page ? "" : text.pages ? w("pageOf", { n: what.page, all: text.pages }) : w("atPage", { n: what.page })].filter(Boolean).join(", "));
    shown = { start: text.blocks[0].start, end: text.blocks.at(-1).end, lastPage: text.blocks.at(-1).page };
    $("blocks").replaceChildren(...nodesOf(text.blocks, 0));
    $("earlier").hidden = !text.earlier;
    $("later").hidden = !text.later;
    const marks = $("blocks").querySelectorAll("mark");
    if (marks.length) {
      const body = $("passage-body"), at = marks[0].getBoundingClientRect().top - body.getBoundingClientRect().top;
      body.scrollTop += at - body.clientHeight / 3; /* this panel only: the answer beside it stays where it is */
      announce([...marks].map((m) => m.textContent).join(" "));
    } else {
      $("passage-body").scrollTop = 0;
    }
  } catch (trouble) {
    if (mine !== turn) return;
    $("blocks").replaceChildren();
    report(trouble);
  }
}

export function startReading() {
  $("passage-close").onclick = () => closePassage();
  $("earlier").onclick = () => showMore(true);
  $("later").onclick = () => showMore(false);
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && !$("dialog").open) closePassage();
  });
}
