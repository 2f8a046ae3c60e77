// Logging in, which view is shown, and keeping it fresh.
import { $, Refused, ask, grow, own, speak, w } from "/base.js";
import { commands, data } from "/acts.js";
import { point } from "/point.js";
import { alarms, gateway, gateways } from "/views.js";

const VIEWS = { "": gateways, gateway: (parts, again) => gateway(parts[0], again), point, alarms, commands, data };
const FRESH_MS = { gateways: 4000, gateway: 5000, point: 10000, alarms: 5000, commands: 4000, data: 600000 };
let timer = 0, turn = 0, shownKey = "", gone = null;

function place() {
  const [name, ...parts] = location.hash.replace(/^#\/?/, "").split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  const wants = { gateway: 1, point: 3 }[name] ?? 0;
  return VIEWS[name] && parts.length >= wants ? { name, parts } : { name: "", parts: [] };
}

function busy() {
  const node = document.activeElement;
  return $("view").contains(node) && (["SELECT", "TEXTAREA"].includes(node.tagName) || (node.tagName === "INPUT" && node.type !== "checkbox"))
    || Boolean($("relay")) || [...$("view").querySelectorAll("input")].some((input) => input.value && input.value !== input.defaultValue && input.type !== "checkbox");
}

function put(made) {
  const key = document.activeElement?.dataset?.key, open = [...$("view").querySelectorAll("details[open]")].map((node) => node.dataset.keep);
  gone?.();
  gone = made.gone ?? null;
  $("view").replaceChildren(made);
  for (const node of $("view").querySelectorAll("details[data-keep]")) node.open = open.includes(node.dataset.keep);
  made.settled?.();
  if (key) $("view").querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

async function show(fresh = false) {
  clearTimeout(timer);
  if (!own.token) return;
  const mine = ++turn, { name, parts } = place(), key = `${own.language} ${name} ${parts.join("/")}`, other = key !== shownKey;
  let wait = FRESH_MS[name || "gateways"];
  if (!document.hidden && (other || fresh || !busy())) {
    try {
      const made = await VIEWS[name](parts, (now = true) => show(now));
      if (mine !== turn || !own.token) return;
      wait = made.fresh ?? wait;
      if (other || fresh || !busy()) put(made);
      trouble("");
      if (other) arrive(name, key);
    } catch (error) {
      if (mine !== turn) return;
      if (error instanceof Refused && error.status === 401) { closed(w("ended")); return; }
      trouble(error instanceof Refused ? error.message : w("lost"));
    }
  }
  timer = setTimeout(show, wait);
}

function arrive(name, key) {
  const first = shownKey === "";
  shownKey = key;
  const title = $("view").querySelector("h1");
  document.title = `${title?.textContent ?? ""} · Lamppost`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === `#/${["gateway", "point"].includes(name) ? "" : name}`;
    if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  scrollTo(0, 0);
  if (!first) $("view").focus({ preventScroll: true });
}

function trouble(text) {
  $("trouble").hidden = !text;
  if ($("trouble").textContent !== text) $("trouble").textContent = text;
}

// ---- coming and going ------------------------------------------------------------------------------------------

function closed(said) {
  Object.assign(own, { token: null, name: null, role: null });
  clearTimeout(timer);
  gone?.();
  gone = null;
  shownKey = "";
  $("view").replaceChildren();
  $("who").textContent = "";
  $("nav").hidden = $("leave").hidden = true;
  $("login").hidden = false;
  $("login-said").textContent = said;
  document.title = `${w("login")} · Lamppost`;
}

function entered(told) {
  Object.assign(own, told);
  $("login").hidden = true;
  $("nav").hidden = $("leave").hidden = false;
  named();
  show();
}

const named = () => { if (own.token) $("who").textContent = `${own.name} (${w(own.role)})`; };

async function enter(sent) {
  try {
    entered(await ask("/api/login", sent));
  } catch (error) {
    const text = { 401: w("wrong"), 429: w("tooMany", { s: error.wait }), 403: w("notHere") }[error.status] ?? (error instanceof Refused ? error.message : w("lost"));
    closed(text);
  }
  $("password").value = "";
}

async function begin() {
  const told = await ask("/api/session");
  if (told.token) entered(told);
  else if (told.vouched) await enter({});
  else closed("");
}

$("login").addEventListener("submit", (event) => { event.preventDefault(); enter({ name: $("name").value.trim(), password: $("password").value }); });
$("leave").addEventListener("click", async () => { await ask("/api/logout", {}).catch(() => {}); closed(""); });
$("skip").addEventListener("click", (event) => { event.preventDefault(); $("view").focus(); });
$("language").addEventListener("click", () => {
  own.language = own.language === "en" ? "fr" : "en";
  localStorage.setItem("language", own.language);
  speak(); named(); show(true);
});
addEventListener("hashchange", () => show(true));
document.addEventListener("visibilitychange", () => { if (!document.hidden) show(); });
setInterval(grow, 1000);
speak();
begin().catch(() => closed(w("lost")));
