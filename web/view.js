/* view.js: small tools for the other files: elements, words that follow the language, spoken announcements, the dialog.
 *
 * Text from documents and models reaches the page only as text nodes; there is no way from a string to markup here, and
 * the page's policy forbids the browser's own. */
import { getLanguage, w } from "./words.js";

export const $ = (id) => document.getElementById(id);

/* An element: its tag, properties ("class" and on... included), children (nodes or strings). */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

/* ---- words ----------------------------------------------------------------------------------- */

const said = new WeakMap();

/* Let the node say what fn() gives, now and after a change of language. */
export function sayWith(node, fn) {
  said.set(node, fn);
  node.dataset.said = "";
  node.textContent = fn();
  return node;
}

export function say(node, key, values = {}) {
  return sayWith(node, () => w(key, values));
}

export function saying(tag, props, key, values) {
  return say(el(tag, props), key, values);
}

export function applyWords() {
  for (const node of document.querySelectorAll("[data-word]")) node.textContent = w(node.dataset.word);
  for (const node of document.querySelectorAll("[data-word-label]")) node.ariaLabel = w(node.dataset.wordLabel);
  for (const node of document.querySelectorAll("[data-word-placeholder]")) node.placeholder = w(node.dataset.wordPlaceholder);
  for (const node of document.querySelectorAll("[data-said]")) node.textContent = said.get(node)?.() ?? "";
}

/* ---- numbers and names ----------------------------------------------------------------------- */

export function fileName(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function folderName(path) {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

export function bytes(n) {
  const units = [[1e9, "gigabyte"], [1e6, "megabyte"], [1e3, "kilobyte"], [1, "byte"]];
  const [size, unit] = units.find(([least]) => n >= least) || units[3];
  return (n / size).toLocaleString(getLanguage(), { style: "unit", unit, maximumFractionDigits: n < 1e6 ? 0 : 1 });
}

/* ---- for those who listen -------------------------------------------------------------------- */

export function announce(text) {
  $("live").replaceChildren(el("p", {}, text));
}

/* Reads a growing text aloud sentence by sentence, not syllable by syllable. */
export class Speaker {
  constructor() {
    this.rest = "";
    $("live").replaceChildren();
  }
  add(text) {
    this.rest += text;
    for (let m; (m = /^[^]*?[.!?:\n](?=\s)/.exec(this.rest));) {
      if (m[0].trim()) $("live").append(el("p", {}, m[0].trim()));
      this.rest = this.rest.slice(m[0].length).trimStart();
    }
  }
  end(text) {
    if (this.rest.trim()) $("live").append(el("p", {}, this.rest.trim()));
    if (text) $("live").append(el("p", {}, text));
    this.rest = "";
  }
}

/* ---- the dialog ------------------------------------------------------------------------------ */

/* Ask for a yes, or for a line of text when 'label' is given. 'act' is called with it and may throw a Trouble, which is
 * shown; true when it was done. */
export function ask({ title, text, label, ok, act }) {
  const dialog = $("dialog"), input = $("dialog-input"), error = $("dialog-error");
  $("dialog-title").textContent = title;
  $("dialog-text").textContent = text;
  $("dialog-label").textContent = label || "";
  $("dialog-label").hidden = input.hidden = !label;
  $("dialog-ok").textContent = ok;
  input.value = "";
  input.required = Boolean(label);
  error.hidden = true;
  return new Promise((resolve) => {
    let done = false;
    $("dialog-form").onsubmit = async (e) => {
      e.preventDefault();
      $("dialog-ok").disabled = true;
      try {
        await act(input.value.trim());
        done = true;
        dialog.close();
      } catch (trouble) {
        error.textContent = w(trouble.word || "failed", trouble.values || { id: "–" });
        error.hidden = false;
      }
      $("dialog-ok").disabled = false;
    };
    $("dialog-cancel").onclick = () => dialog.close();
    dialog.onclose = () => resolve(done);
    dialog.showModal();
  });
}

/* Enter sends, Shift+Enter does not; an Enter that ends the choice of a character sends nothing. */
export function sendOnEnter(area) {
  area.addEventListener("keydown", (e) => {
    if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
    e.preventDefault();
    area.form.requestSubmit();
  });
}

/* As high as its text, within what the style allows. */
export function growing(area) {
  const fit = () => {
    area.rows = Math.min(12, Math.max(3, area.value.split("\n").length + Math.floor(area.value.length / 90)));
  };
  area.addEventListener("input", fit);
  return fit;
}

export async function copyText(button, text) {
  await navigator.clipboard.writeText(text);
  say(button, "copied");
  announce(w("copied"));
  setTimeout(() => say(button, "copy"), 2000);
}
