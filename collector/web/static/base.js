// Words, elements, numbers and times, and how the server is asked. Texts of devices are put in as text: there is no other way here.
import { WORDS } from "/words.js";

export const $ = (id) => document.getElementById(id);
export const own = { token: null, name: null, role: null, language: localStorage.getItem("language") || document.documentElement.lang };
if (!WORDS[own.language]) own.language = "en";

export const w = (key, values = {}) =>
  (WORDS[own.language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

// The same of a number, in the singular where the language has it.
export const many = (key, n) => w(n === 1 ? `${key}1` : key, { n: count(n) });

export function el(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function speak() {
  document.documentElement.lang = own.language;
  for (const node of document.querySelectorAll("[data-w]")) node.textContent = w(node.dataset.w);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", w(node.dataset.label));
  const other = $("language");
  other.textContent = w("other");
  other.lang = own.language === "en" ? "fr" : "en";
  other.setAttribute("aria-label", `${w("other")}: ${w("otherName")}`);
}

// ---- numbers and times -----------------------------------------------------------------------------------------

const UNITS = { Cel: "°C", m3: "m³", "m/s2": "m/s²", deg: "°", "%RH": "% HR", degF: "°F" };
export const locale = () => (own.language === "fr" ? "fr-FR" : "en-GB");
export const unit = (name) => UNITS[name] ?? name;
export const count = (value) => Number(value).toLocaleString(locale());

export function number(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e15 || size < 1e-4)) return value.toExponential(3);
  return value.toLocaleString(locale(), { maximumFractionDigits: size < 1 ? 5 : 3, useGrouping: size >= 1e4 });
}

export function shown(value) {
  if (value === null || value === undefined || value === "") return "–";
  return typeof value === "number" ? number(value) : String(value).slice(0, 400);
}

export function span(ms) {
  const s = Math.max(0, ms) / 1000;
  const [value, name] = s < 60 ? [s, "s"] : s < 3600 ? [s / 60, "min"] : s < 172800 ? [s / 3600, "h"] : [s / 86400, own.language === "fr" ? "j" : "d"];
  return `${Math.round(value)}\u00a0${name}`;
}

export function when(ms, { seconds = false } = {}) {
  if (ms === null || ms === undefined) return "–";
  const then = new Date(ms), now = new Date();
  const day = then.toDateString() === now.toDateString() ? {} : { day: "numeric", month: "short", ...(then.getFullYear() === now.getFullYear() ? {} : { year: "numeric" }) };
  return then.toLocaleString(locale(), { ...day, hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}), hour12: false });
}

// The clock of the platform: ages are told by it, whatever the clock of this machine says.
let ahead = 0;
export const setNow = (ms) => { ahead = ms - Date.now(); };
export const now = () => Date.now() + ahead;

export function age(ms) {
  if (ms === null || ms === undefined) return el("span", {}, "–");
  return el("time", { datetime: new Date(ms).toISOString(), title: when(ms, { seconds: true }), "data-age": ms }, aged(ms));
}

const aged = (ms) => w("ago", { t: span(now() - ms) });

export function grow() {
  for (const node of document.querySelectorAll("[data-age]")) {
    const text = aged(Number(node.dataset.age));
    if (node.textContent !== text) node.textContent = text;
  }
}

export const state = (level, text) => el("span", { class: "state", "data-level": level }, text);

// ---- the server ------------------------------------------------------------------------------------------------

export class Refused extends Error {
  constructor(status, message, wait) {
    super(message);
    Object.assign(this, { status, wait });
  }
}

export async function ask(path, sent, type = "application/json") {
  const headers = sent === undefined ? {} : { "content-type": type, ...(own.token ? { "x-lamppost-token": own.token } : {}) };
  const body = sent === undefined ? undefined : type === "application/json" ? JSON.stringify(sent) : sent;
  const answer = await fetch(path, { method: sent === undefined ? "GET" : "POST", headers, body, signal: AbortSignal.timeout(60000) });
  const told = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw new Refused(answer.status, told.error, answer.headers.get("retry-after"));
  return told;
}

export const query = (values) => new URLSearchParams(values).toString();
export const at = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;
