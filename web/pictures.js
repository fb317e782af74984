/* pictures.js: pictures that go with a message, for models that see: chosen, dropped or pasted.
 *
 * They are read here and sent inside of the message; nothing is uploaded or kept. What is shown of one is drawn from its bytes,
 * never loaded from an address: the page's policy allows none. */
import { w } from "./words.js";
import { $, announce, el, say, sayWith } from "./view.js";

const BYTES_MAX = 16 << 20, N_MAX = 8, SIDE = 96;

let chosen = []; /* { name, type, bytes, address } */

/* A small drawing; a kind that the browser cannot read is a name. */
function thumbnail(picture) {
  const canvas = el("canvas", { width: SIDE, height: SIDE });
  canvas.role = "img";
  canvas.ariaLabel = picture.name;
  createImageBitmap(new Blob([picture.bytes], { type: picture.type })).then((image) => {
    const scale = Math.max(SIDE / image.width, SIDE / image.height);
    canvas.getContext("2d").drawImage(image, (SIDE - image.width * scale) / 2, (SIDE - image.height * scale) / 2,
      image.width * scale, image.height * scale);
    image.close();
  }).catch(() => canvas.replaceWith(el("span", { class: "name" }, picture.name)));
  return canvas;
}

export function thumbnails(pictures) {
  return el("div", { class: "pictures" }, ...pictures.map(thumbnail));
}

function show() {
  $("chosen").replaceChildren(...chosen.map((p) => {
    const button = el("button", { type: "button", class: "plain" }, "\u00d7");
    sayWith(button, () => { button.ariaLabel = w("removePicture", { file: p.name }); return "\u00d7"; });
    button.onclick = () => {
      chosen = chosen.filter((other) => other !== p);
      show();
      $("message").focus();
    };
    return el("li", {}, thumbnail(p), button);
  }));
  $("chosen").hidden = chosen.length === 0;
}

function refuse(key) {
  say($("picture-trouble"), key);
  $("picture-trouble").hidden = false;
  announce(w(key));
}

function addressOf(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function add(files) {
  $("picture-trouble").hidden = true;
  for (const file of files) {
    const all = chosen.reduce((sum, p) => sum + p.bytes.byteLength, file.size);
    if (!file.type.startsWith("image/")) return refuse("pictureKind");
    if (chosen.length === N_MAX || all > BYTES_MAX) return refuse("pictureTooMany");
    chosen.push({ name: file.name || w("picture"), type: file.type, bytes: await file.arrayBuffer(), address: await addressOf(file) });
  }
  show();
  $("message").focus();
}

/* ---- for the conversation -------------------------------------------------------------------- */

export function takePictures() {
  const pictures = chosen;
  chosen = [];
  show();
  $("picture-trouble").hidden = true;
  return pictures;
}

export function putPictures(pictures) {
  chosen = pictures;
  show();
}

/* What a message says to the model. */
export function contentOf(text, pictures) {
  if (pictures.length === 0) return text;
  return [...pictures.map((p) => ({ type: "image_url", image_url: { url: p.address } })), { type: "text", text }];
}

const canSee = () => !$("chat-picture").hidden && !$("chat").hidden;

/* Whether the model sees is known when it is asked. */
export function offerPictures(sees) {
  $("chat-picture").hidden = !sees;
  if (!sees) takePictures();
}

export function startPictures() {
  $("chat-picture").onclick = () => $("pictures").click();
  $("pictures").onchange = () => {
    const files = [...$("pictures").files];
    $("pictures").value = "";
    add(files);
  };
  $("message").addEventListener("paste", (e) => {
    const files = [...e.clipboardData.files];
    if (files.length === 0 || !canSee()) return;
    e.preventDefault();
    add(files);
  });
  addEventListener("drop", (e) => {
    if (canSee() && e.dataTransfer.files.length) add([...e.dataTransfer.files]);
  });
}
