/* app.js: who is there, which matter, which part of the page. The rest is elsewhere:
 *
 *   words.js    every word, in every language        net.js      requests and what goes wrong with them
 *   talking.js  questions and conversations          reading.js  a passage where it stands
 *   office.js   documents, adding files, searching   view.js     elements, announcements, the dialog
 *   pictures.js pictures that go with a message
 *
 * The address holds the part and the matter's id (#ask/0123...), so that a bookmark comes back to where it was made; the
 * browser sends none of that to anybody. */
import { hooks, json, request, setToken } from "./net.js";
import { WORDS, getLanguage, setLanguage, w } from "./words.js";
import { $, announce, applyWords, ask, say } from "./view.js";
import { closePassage, startReading } from "./reading.js";
import { chatOpened, startTalking, talkAbout } from "./talking.js";
import { loadDocuments, startOffice, workIn } from "./office.js";

const VIEWS = ["ask", "search", "documents", "chat"];
const DEFAULT_MATTER = "default"; /* the store's name for it */

let user = null; /* { user, role, csrf_token } */
let matters = [], matter = null, view = "ask";

/* ---- language -------------------------------------------------------------------------------- */

function remembered(key, value) {
  try { /* a browser may forbid to remember anything */
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function startLanguage() {
  const wished = [remembered("kontor.language"), ...navigator.languages.map((l) => l.slice(0, 2))];
  setLanguage(wished.find((l) => WORDS[l]) || "en");
  $("language").value = getLanguage();
  $("language").onchange = () => {
    setLanguage($("language").value);
    remembered("kontor.language", getLanguage());
    applyWords();
    nameMatters();
  };
  applyWords();
}

/* ---- where we are ---------------------------------------------------------------------------- */

function readAddress() {
  const [part, id] = location.hash.slice(1).split("/");
  view = VIEWS.includes(part) ? part : "ask";
  return id;
}

function writeAddress() {
  history.replaceState(null, "", "#" + view + (matter ? "/" + matter.id : ""));
}

function showView(focus) {
  for (const name of VIEWS) $(name).hidden = name !== view || (!matter && name !== "chat");
  for (const link of document.querySelectorAll("nav a")) {
    link.href = "#" + link.dataset.view + (matter ? "/" + matter.id : "");
    if (link.dataset.view === view) link.ariaCurrent = "page";
    else link.ariaCurrent = null;
  }
  $("no-matter").hidden = Boolean(matter) || view === "chat";
  document.title = w(view) + " – Kontor";
  if (view === "documents" && matter) loadDocuments();
  if (view === "chat") chatOpened();
  if (focus) ({ ask: $("question"), search: $("query"), chat: $("message") })[view]?.focus();
}

/* ---- matters --------------------------------------------------------------------------------- */

function matterName(m) {
  return m.name === DEFAULT_MATTER ? w("matterDefault") : m.name;
}

function nameMatters() {
  const names = new Intl.Collator(getLanguage(), { numeric: true });
  const list = matters.map((m) => [matterName(m), m]).sort((a, b) => names.compare(a[0], b[0]));
  $("matter").replaceChildren(...list.map(([name, m]) => new Option(name, m.id, false, m === matter)));
  $("matter").parentElement.hidden = matters.length === 0;
  say($("no-matter"), user?.role === "admin" ? "noMatterAdmin" : "noMatter");
}

function chooseMatter(id) {
  const next = matters.find((m) => m.id === id) || matters.find((m) => m.name === DEFAULT_MATTER) || matters[0] || null;
  if (next?.id !== matter?.id || next?.right !== matter?.right) {
    closePassage(false);
    workIn(next);
    talkAbout(next?.id ?? null);
  }
  matter = next;
  nameMatters();
  if (matter) remembered("kontor.matter", matter.id);
}

async function loadMatters(wanted) {
  matters = (await json("matters")).matters.filter((m) => m.right !== "none");
  chooseMatter(wanted || matter?.id || remembered("kontor.matter"));
  writeAddress();
}

async function newMatter() {
  let made = null;
  const done = await ask({ title: w("newMatterTitle"), text: w("newMatterText"), label: w("newMatterName"), ok: w("newMatterOk"),
    act: async (name) => { made = await json("newMatter", { body: { name } }); } });
  if (!done) return;
  await loadMatters(made.id);
  location.hash = "#documents/" + made.id;
}

/* ---- who is there ---------------------------------------------------------------------------- */

function showLogin(why, values) {
  $("app").hidden = true;
  $("login").hidden = false;
  if ($("dialog").open) $("dialog").close();
  $("login-why").hidden = !why;
  if (why) say($("login-why"), why, values);
  $("login-password").value = "";
  $(user ? "login-password" : "login-name").focus();
}

async function enter(who) {
  /* what another person left on the page is none of this one's business */
  if (user && user.user !== who.user) {
    location.reload();
    return;
  }
  user = who;
  setToken(who.csrf_token);
  $("login").hidden = true;
  $("app").hidden = false;
  $("who").textContent = who.csrf_token ? who.user : "";
  $("logout").hidden = !who.csrf_token;
  $("new-matter").hidden = who.role !== "admin";
  await loadMatters(readAddress());
  showView(true);
}

function waitWords(seconds) {
  const [key, n] = seconds < 90 ? ["seconds", seconds] : ["minutes", Math.ceil(seconds / 60)];
  return w(key + (n === 1 ? ".one" : ".other"), { n });
}

async function logIn(e) {
  e.preventDefault();
  const button = $("login-form").querySelector("button");
  button.disabled = true;
  try {
    const who = await json("login", { body: { name: $("login-name").value.trim(), password: $("login-password").value } });
    $("login-password").value = "";
    await enter(who);
  } catch (trouble) {
    const values = trouble.seconds ? { time: waitWords(trouble.seconds) } : trouble.values || { id: "–" };
    showLogin(trouble.word || "failed", values);
  }
  button.disabled = false;
}

/* Everything this person had on the screen goes with them. */
async function logOut() {
  try {
    await request("logout", { body: {}, quiet: true });
  } catch (trouble) {
    if (trouble.status !== 401) {
      notice(trouble.word || "failed", true, trouble.values || { id: "–" });
      return;
    }
  }
  $("app").replaceChildren();
  location.replace("/");
}

/* ---- the server ------------------------------------------------------------------------------ */

let noticeTimer = 0;

function notice(key, stays, values) {
  clearTimeout(noticeTimer);
  $("notice").hidden = false;
  $("notice").className = stays ? "notice bad" : "notice";
  say($("notice"), key, values);
  if (!stays) noticeTimer = setTimeout(() => { $("notice").hidden = true; }, 4000);
}

async function start() {
  try {
    await enter(await json("session", { quiet: true }));
  } catch (trouble) {
    if (trouble.status === 401) showLogin();
    else if (trouble.word !== "serverGone") notice(trouble.word || "failed", true, trouble.values || { id: "–" });
  }
}

hooks.onExpired = () => { if ($("login").hidden) showLogin("loginAgain"); };
hooks.onGone = () => notice("serverGone", true);
hooks.onBack = () => {
  notice("serverBack", false);
  if (!user) start();
};

startLanguage();
startReading();
startTalking();
startOffice();
$("login-form").onsubmit = logIn;
$("logout").onclick = logOut;
$("new-matter").onclick = newMatter;
$("skip").onclick = () => $("main").focus();
$("matter").onchange = () => {
  chooseMatter($("matter").value);
  writeAddress();
  showView(false);
  announce(matterName(matter));
};
/* "Back" may bring a page out of the browser's memory as it was left: whoever is there now is asked for again. */
addEventListener("pageshow", (e) => {
  if (!e.persisted) return;
  $("app").hidden = true;
  location.reload();
});
addEventListener("hashchange", () => {
  const id = readAddress();
  if (!user) return;
  if (id && id !== matter?.id) chooseMatter(id);
  if (view !== "ask" && view !== "search") closePassage(false);
  showView(true);
});
start();
