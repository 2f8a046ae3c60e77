// The technician's page. Texts of devices are put in as text, never as HTML: there is no other way in this file.
import { WORDS } from "/words.js";

const NOW_MS = 2000, TREND_MS = 30000, SLOW_MS = 10000;
const UNITS = { Cel: "°C", m3: "m³", "m/s2": "m/s²", deg: "°", "%RH": "% HR", degF: "°F" };
const $ = (id) => document.getElementById(id);

let language = localStorage.getItem("language") || document.documentElement.lang;
if (!WORDS[language]) language = "en";
let token = null, status = null, trends = {}, walk = null, answers = true, trouble = null, heardAt = 0;

// ---- words and elements ----------------------------------------------------------------------------------------

const w = (key, values = {}) =>
  (WORDS[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

function el(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function level(node, name) {
  if (node.dataset.level !== name) node.dataset.level = name;
}

function speak() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-w]")) put(node, w(node.dataset.w));
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", w(node.dataset.label));
  put($("language"), w("other"));
  $("language").lang = language === "en" ? "fr" : "en";
  $("language").setAttribute("aria-label", `${w("other")}: ${w("otherName")}`);
}

const locale = () => (language === "fr" ? "fr-FR" : "en-GB");

function number(value, digits = 3) {
  return value.toLocaleString(locale(), { maximumFractionDigits: digits, useGrouping: false });
}

const count = (value) => value.toLocaleString(locale());

function span(seconds) {
  const [value, name] = seconds < 60 ? [seconds, "s"] : seconds < 3600 ? [seconds / 60, "min"]
    : seconds < 172800 ? [seconds / 3600, "h"] : [seconds / 86400, language === "fr" ? "j" : "d"];
  return `${Math.round(value)}\u00a0${name}`;
}

function when(ms) {
  const then = new Date(ms), today = new Date().toDateString() === then.toDateString();
  return then.toLocaleString(locale(), today
    ? { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }
    : { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hour12: false });
}

const unit = (name) => UNITS[name] ?? name;

function shown(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return number(value, Math.abs(value) < 1 ? 5 : 3);
  return String(value).slice(0, 200);
}

function quality(text) {
  if (text === "good") return "";
  if (text === "none yet") return w("none");
  if (language === "en") return text;
  const [, name, reason] = text.match(/^(\w+)(?: \((.*)\))?$/) ?? [null, text];
  const words = WORDS.fr.quality;
  return (words[name] ?? name) + (reason ? ` (${words[reason] ?? reason})` : "");
}

const judged = (text) => (text === "good" ? "ok" : text.startsWith("bad") ? "bad" : "warn");
const STATES = { online: "ok", suspect: "warn", offline: "bad", unknown: "none" };

// ---- asking ----------------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(code, told, wait) {
    super(told.error ?? String(code));
    this.code = code;
    this.remedy = told.remedy ?? "";
    this.wait = wait;
  }
}

async function ask(path, body) {
  const options = { cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(60000) };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { "content-type": "application/json", "x-lamppost-token": token ?? "" };
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401 && path !== "/api/login") closed("loginEnded");
  if (!answer.ok) throw new Refused(answer.status, told, answer.headers.get("retry-after"));
  return told;
}

// ---- coming and going ------------------------------------------------------------------------------------------

async function enter(body) {
  try {
    token = (await ask("/api/login", body)).token;
    opened();
  } catch (error) {
    const wait = error.code === 429;
    await closed(wait ? "loginWait" : body.code ? "loginUsed" : "loginWrong", { n: error.wait ?? "" });
  }
}

async function begin() {
  const code = location.hash.slice(1);
  if (/^[\w-]{22}$/.test(code)) {
    history.replaceState(null, "", "/");
    await enter({ code });
    return;
  }
  const session = await ask("/api/session");
  token = session.token;
  if (token) opened();
  else await closed("", {}, session);
}

async function closed(said, values = {}, session = null) {
  token = null;
  for (const id of ["page", "nav", "leave"]) $(id).hidden = true;
  $("login").hidden = false;
  put($("login-said"), said ? w(said, values) : "");
  const found = session ?? (await ask("/api/session").catch(() => ({ password: false })));
  $("login-password").hidden = !found.password;
  put($("login-how"), w(found.password ? "loginPassword" : "loginCode"));
}

function opened() {
  $("login").hidden = true;
  for (const id of ["page", "nav", "leave"]) $(id).hidden = false;
  tick.now(); tick.slow(); tick.trend();
}

// ---- the state -------------------------------------------------------------------------------------------------

function tile(key, name, big, small) {
  let node = $(`tile-${key}`);
  if (!node) {
    node = el("div", { class: "tile", id: `tile-${key}` }, el("dt"), el("dd"), el("dd"));
    $("tiles").append(node);
  }
  level(node, name);
  [w(key), big, small].forEach((text, index) => put(node.children[index], text));
}

function allDevices() {
  return status.buses.flatMap((bus) => bus.devices.map((device) => ({ ...device, bus: bus.id })));
}

function verdict() {
  const node = $("verdict");
  let name = "ok", text = w("well"), more = "";
  if (!answers) [name, text, more] = trouble ? ["bad", w("gone"), trouble] : ["bad", w("lost"), w("lostHint")];
  else {
    const devices = allDevices(), silent = devices.filter((device) => device.state === "offline");
    const { held, memory, made_room: room } = status.buffer, waits = count(held.samples);
    const whole = !memory.given_up && !room.evicted && !room.thinned;
    const down = status.buses.find((bus) => !bus.up);
    const problems = [
      [status.stuck.length, "bad", w("stuck", { what: status.stuck.join(", ") })],
      [status.buffer.error, "bad", w("diskBad")],
      [status.uplink && !status.uplink.up, "bad", w("linkDown"), w(whole ? "linkSafe" : "linkWaits", { n: waits })],
      [silent.length, "bad", w("devicesDown", { n: silent.length, all: devices.length })],
      [down, "bad", w("busDown", { id: down?.id })],
      [status.clock === "unset", "warn", w("clockUnset")],
    ].filter(([found]) => found);
    if (problems.length) {
      [, name, text] = problems[0];
      more = problems.slice(1).map((one) => one[2]).join(" · ") || problems[0][3] || "";
    }
  }
  level(node, name);
  const said = `${text}\n${more}`;
  if (node.dataset.said === said) return;
  node.dataset.said = said;
  node.replaceChildren(el("span", {}, text, more ? el("small", {}, more) : null));
}

function tiles() {
  const { uplink, buffer } = status, devices = allDevices();
  if (!uplink) tile("link", "none", "–", w("noUplink"));
  else {
    const acked = uplink.last_ack_s === null ? w("neverAcked") : w("acked", { t: span(uplink.last_ack_s) });
    tile("link", uplink.up ? "ok" : "bad", w(uplink.up ? "up" : "down"), uplink.up ? acked : w("since", { t: span(uplink.since_s) }));
  }
  const part = Math.min(100, (100 * buffer.bytes) / buffer.limit);
  const waits = buffer.held.samples ? w("waiting", { n: count(buffer.held.samples) }) : w("nothingWaits");
  tile("buffer", buffer.error ? "bad" : part > 90 ? "warn" : "ok", waits, w("full", { p: number(part, part < 10 ? 1 : 0) }));
  const time = new Date(status.utc_ms).toLocaleTimeString(locale(), { hour12: false });
  const from = w("clockFrom", { what: WORDS[language].origins[status.clock_from] ?? status.clock_from });
  tile("clock", { synchronized: "ok", holdover: "warn" }[status.clock] ?? "bad", time, `${w(status.clock)}, ${from}`);
  const well = devices.filter((device) => device.state === "online").length;
  tile("devices", well === devices.length ? "ok" : "bad", w("online_of", { n: well, all: devices.length }), w("onlineHint"));
}

// ---- devices and points ----------------------------------------------------------------------------------------

const rows = new Map();
let drawn = "";

function draw() {
  const names = JSON.stringify([status.buses.map((bus) => bus.devices.map((d) => d.id)), status.points.map((p) => p.id)]);
  if (names === drawn) return;
  drawn = names;
  rows.clear();
  $("device-list").replaceChildren(...allDevices().map(drawDevice));
}

function drawDevice(device) {
  const state = el("span", { class: "state" }), small = el("small");
  const name = el("span", { class: "name" }, device.id, small);
  const points = status.points.filter((point) => point.id.startsWith(`${device.id}/`)).map(drawPoint);
  rows.set(`device ${device.id}`, { state, small });
  return el("details", { class: "card", "data-device": device.id }, el("summary", {}, name, state), ...points);
}

function drawPoint(point) {
  const value = el("span"), kind = el("small", {}, ` ${unit(point.unit)}`), note = el("div", { class: "quality" });
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const spark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  spark.setAttribute("class", "spark");
  spark.setAttribute("viewBox", "0 0 60 40");
  spark.setAttribute("preserveAspectRatio", "none");
  spark.setAttribute("role", "img");
  spark.append(path);
  rows.set(point.id, { value, note, spark, path });
  return el("div", { class: "point", "data-point": point.id },
    el("div", { class: "label" }, point.id.slice(point.id.indexOf("/") + 1)),
    el("div", { class: "value" }, value, kind), note, spark);
}

function fill() {
  for (const device of allDevices()) {
    const row = rows.get(`device ${device.id}`);
    level(row.state, STATES[device.state] ?? "none");
    put(row.state, w(device.state));
    const heard = device.heard_s === null ? w("neverHeard") : w("heard", { t: span(device.heard_s) });
    const wrong = device.state === "online" || !device.last_error ? "" : ` · ${device.last_error}`;
    put(row.small, `${device.bus} · ${heard}${wrong}`.slice(0, 300));
  }
  for (const point of status.points) {
    const row = rows.get(point.id);
    put(row.value, shown(point.value));
    put(row.note, quality(point.quality));
    level(row.note, judged(point.quality));
    line(row, [...(trends[point.id] ?? []), typeof point.value === "number" ? point.value : null]);
    live(point);
  }
}

function line(row, values) {
  const known = values.filter((value) => typeof value === "number");
  row.spark.style.visibility = known.length > 1 ? "visible" : "hidden";
  if (known.length < 2) {
    row.spark.setAttribute("aria-hidden", "true");
    return;
  }
  const low = Math.min(...known), high = Math.max(...known), range = high - low || 1, flat = high === low;
  const first = values.findIndex((value) => typeof value === "number"), width = Math.max(1, values.length - 1 - first);
  let pen = "M", d = "";
  values.forEach((value, index) => {
    if (typeof value !== "number") { if (index > first) pen = "M"; return; }
    d += `${pen}${((60 * (index - first)) / width).toFixed(1)} ${flat ? 20 : (37 - (34 * (value - low)) / range).toFixed(1)}`;
    pen = "L";
  });
  row.path.setAttribute("d", d);
  row.spark.removeAttribute("aria-hidden");
  row.spark.setAttribute("aria-label", w("hour", { low: shown(low), high: shown(high) }));
}

// ---- events and the doctor -------------------------------------------------------------------------------------

function events(found) {
  const all = [
    ...found.events.map((one) => ({
      ms: one.utc_ms, text: one.text + (one.times > 1 ? ` (${w("times", { n: one.times })})` : ""),
      level: { warning: "warn", error: "bad", critical: "bad" }[one.level] ?? "none",
    })),
    ...found.commands.map((one) => ({
      ms: one.accepted_ms, level: ["verified", "written"].includes(one.status) ? "none" : "warn",
      text: w("command", { status: one.status, who: one.who, what: one.writes.map((x) => `${x.point} = ${x.value}`).join(", ") }),
    })),
  ].sort((a, b) => b.ms - a.ms).slice(0, 60);
  const list = all.map((one) => el("li", {}, el("time", { datetime: new Date(one.ms).toISOString() }, when(one.ms)),
    el("span", { "data-level": one.level }, one.text)));
  const key = JSON.stringify([language, all]);
  if ($("event-list").dataset.key === key) return;
  $("event-list").dataset.key = key;
  $("event-list").replaceChildren(...(list.length ? list : [el("li", {}, el("span"), el("span", {}, w("noEvents")))]));
}

function finding(one) {
  const french = language === "fr" && WORDS.fr.faults[one.fault];
  return el("div", { class: "finding", "data-level": one.level, "data-fault": one.fault },
    french ? el("strong", {}, french) : null,
    el(french ? "p" : "strong", { lang: "en" }, one.message),
    one.remedy ? el("p", {}, `${w("todo")} `, el("code", {}, one.remedy)) : null);
}

async function doctor() {
  const button = $("ask");
  button.disabled = true;
  put($("findings"), w("asking"));
  try {
    const found = await ask("/api/doctor", {});
    const wrong = found.findings.filter((one) => one.level !== "ok");
    const well = { level: "ok", message: w("doctorWell", { n: found.findings.length }) };
    const shownOnes = (wrong.length ? wrong : [well]).map(finding);
    if (!wrong.length) shownOnes[0].querySelector("strong").lang = language;
    $("findings").replaceChildren(...shownOnes);
  } catch (error) {
    $("findings").replaceChildren(finding({ level: "failure", message: error.message, remedy: error.remedy }));
  }
  button.disabled = false;
}

// ---- commissioning ---------------------------------------------------------------------------------------------

const steps = new Map();
let walked = "";

function drawWalk() {
  const key = JSON.stringify([language, walk.points.map((look) => look.point)]);
  if (key !== walked) {
    walked = key;
    steps.clear();
    const devices = [...new Set(walk.points.map((look) => look.point.split("/")[0]))];
    $("walk").replaceChildren(...devices.map((device) => {
      const looks = walk.points.filter((look) => look.point.split("/")[0] === device);
      const left = el("span", { class: "state" });
      const node = el("details", { class: "card", "data-walk": device, open: devices.length === 1 },
        el("summary", {}, el("span", { class: "name" }, device), left), ...looks.map(drawStep));
      steps.set(`device ${device}`, { node, left, points: looks.map((look) => look.point) });
      return node;
    }));
  }
  walk.points.forEach(fillStep);
  fillProgress();
}

function drawStep(look) {
  const mark = (name, verdict) => el("button", {
    type: "button", class: verdict === "ok" ? "right" : "wrong", "aria-pressed": "false",
    "aria-label": w("mark", { verdict: w(name), point: look.point }), onclick: () => say(look.point, verdict),
  }, `${verdict === "ok" ? "✓" : "✕"} ${w(name)}`);
  const right = mark("right", "ok"), wrong = mark("wrong", "fault");
  const value = el("span", { class: "value" }), seen = el("div", { class: "seen" });
  const note = el("input", {
    maxlength: 400, placeholder: w("note"), "aria-label": w("notePoint", { point: look.point }),
    autocomplete: "off", onchange: () => say(look.point, null),
  });
  const node = el("div", { class: "step", "data-step": look.point },
    el("div", { class: "head" }, el("span", {}, look.point.slice(look.point.indexOf("/") + 1)), value),
    el("div", { class: "marks" }, right, wrong), note, seen);
  steps.set(look.point, { node, right, wrong, note, value, seen });
  return node;
}

function live(point) {
  const step = steps.get(point.id);
  if (step) put(step.value, `${shown(point.value)} ${unit(point.unit)}`);
}

function fillStep(look) {
  const step = steps.get(look.point);
  step.right.setAttribute("aria-pressed", String(look.verdict === "ok"));
  step.wrong.setAttribute("aria-pressed", String(look.verdict === "fault"));
  if (document.activeElement !== step.note) step.note.value = look.note;
  const value = /^-?\d+\.\d+$/.test(look.value) ? shown(Number(look.value)) : shown(look.value);
  const said = look.verdict === "open" ? "" : w("seen", { value: `${value} ${unit(look.unit)}`, t: when(look.seen_ms) });
  put(step.seen, said);
  step.node.hidden = $("only-open").checked && look.verdict !== "open" && !step.node.contains(document.activeElement);
}

function fillProgress() {
  const all = walk.points.length, seen = walk.points.filter((look) => look.verdict !== "open");
  const bad = seen.filter((look) => look.verdict === "fault").length;
  $("progress").max = Math.max(all, 1);
  $("progress").value = seen.length;
  put($("progress-label"), w("progress", { n: seen.length, all, bad }));
  const verdicts = new Map(walk.points.map((look) => [look.point, look.verdict]));
  for (const [key, group] of steps) {
    if (!key.startsWith("device ")) continue;
    const done = group.points.filter((point) => verdicts.get(point) !== "open");
    const faulty = done.some((point) => verdicts.get(point) === "fault");
    put(group.left, `${done.length}/${group.points.length}`);
    level(group.left, faulty ? "bad" : done.length === group.points.length ? "ok" : "none");
    group.node.hidden = $("only-open").checked && done.length === group.points.length && !group.node.contains(document.activeElement);
  }
  if (walk.record && !$("signed").hasChildNodes()) {
    $("signed").append(el("p", {}, w("lastRecord", { t: when(walk.record) })), download());
  }
}

const download = () => el("a", { href: "/record.cose", download: true }, w("download"));

async function say(point, verdict) {
  const look = walk.points.find((one) => one.point === point), step = steps.get(point);
  const wanted = verdict === null ? look.verdict : look.verdict === verdict ? "open" : verdict;
  try {
    Object.assign(look, await ask("/api/tick", { point, verdict: wanted, note: step.note.value.trim() }));
    fillStep(look);
    fillProgress();
  } catch (error) {
    put(step.seen, `${error.message} ${error.remedy ?? ""}`);
  }
}

async function sign(event) {
  event.preventDefault();
  put($("signed"), w("signing"));
  try {
    const told = await ask("/api/sign", { who: $("sign-who").value.trim(), note: $("sign-note").value.trim() });
    $("signed").replaceChildren(
      el("p", {}, el("strong", {}, w("signed", told))), el("p", {}, el("code", {}, told.hash.slice(0, 16))),
      told.open ? el("p", {}, w("openLeft", { n: told.open })) : null ?? "", download());
  } catch (error) {
    put($("signed"), `${error.message} ${error.remedy ?? ""}`);
  }
}

async function again() {
  if (!confirm(w("againSure"))) return;
  await ask("/api/tick", { point: "*", verdict: "open", note: "" });
  walk = await ask("/api/walk");
  drawWalk();
}

// ---- the beat --------------------------------------------------------------------------------------------------

async function now() {
  try {
    status = await ask("/api/now");
    [answers, trouble, heardAt] = [true, null, Date.now()];
  } catch (error) {
    if (!token) return;
    [answers, trouble] = [false, error instanceof Refused ? `${error.message} – ${error.remedy}` : null];
  }
  document.body.classList.toggle("stale", !answers);
  if (status) {
    put($("gateway"), status.gateway);
    put($("site"), status.site);
    document.title = `${status.gateway} · Lamppost`;
    draw(); tiles(); fill();
  }
  verdict();
}

async function trend() {
  trends = (await ask("/api/trends")).points;
  if (status) fill();
}

async function slow() {
  events(await ask("/api/events"));
  walk = await ask("/api/walk");
  drawWalk();
}

function every(ms, act) {
  let running = false, timer = 0;
  const beat = async () => {
    clearTimeout(timer);
    if (running) return;
    running = true;
    if (token && !document.hidden) await act().catch(() => {});
    running = false;
    timer = setTimeout(beat, ms);
  };
  return beat;
}

const tick = { now: every(NOW_MS, now), slow: every(SLOW_MS, slow), trend: every(TREND_MS, trend) };

function relearn() {
  language = language === "en" ? "fr" : "en";
  localStorage.setItem("language", language);
  speak();
  if (!token) begin();
  else if (status) {
    delete $("verdict").dataset.said;
    tiles(); fill(); verdict(); tick.slow();
    if (walk) drawWalk();
    put($("findings"), w("doctorHint"));
  }
}

$("language").addEventListener("click", relearn);
$("leave").addEventListener("click", async () => { await ask("/api/logout", {}).catch(() => {}); closed(""); });
$("login-form").addEventListener("submit", (event) => { event.preventDefault(); enter({ password: $("password").value }); });
$("ask").addEventListener("click", doctor);
$("sign").addEventListener("submit", sign);
$("again").addEventListener("click", again);
$("only-open").addEventListener("change", () => walk && drawWalk());
document.addEventListener("visibilitychange", () => { if (!document.hidden && token) { tick.now(); tick.slow(); tick.trend(); } });
addEventListener("hashchange", () => { if (/^#[\w-]{22}$/.test(location.hash)) begin(); });
speak();
begin().catch(() => closed("lost"));
