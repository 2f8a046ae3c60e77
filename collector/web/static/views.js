// Gateways, one gateway, alarms.
import { age, ask, at, count, el, many, own, query, setNow, shown, span, state, unit, w, when } from "/base.js";

const KINDS = { fork: "forkAlarm", broken: "brokenAlarm" };
const PROOF = { proved: "ok", incomplete: "warn", broken: "bad" };
const GAP = { pending: "warn", broken: "bad", ledgered: "none" };

function judged(one, told) {
  if (one.revoked) return ["none", w("revoked")];
  if (one.last_at === null) return ["bad", w("never")];
  return told.now_ms - one.last_at > told.silent_ms ? ["bad", w("silent")] : ["ok", w("online")];
}

function verified(one, told) {
  if (one.forked) return state("bad", w("fork"));
  if (one.broken) return state("bad", w("brokenChain"));
  const proof = told.proofs?.[one.gateway];
  if (!proof) return el("span", { class: "hint" }, w("atArrival"));
  return state(PROOF[proof.state], w("provedAt", { state: w(proof.state), t: span(told.now_ms - proof.at_ms) }));
}

const lag = (one) => (one.last_at === null || one.newest_ms === null ? "–" : span(one.last_at - one.newest_ms));
const key = (text) => el("small", { class: "key" }, text);

function missing(one) {
  const parts = [one.gaps ? many("ranges", one.gaps) : "", one.lost ? many("samplesLost", one.lost) : ""].filter(Boolean);
  return parts.length ? el("span", { class: one.gaps ? "warn" : "" }, parts.join(", ")) : "–";
}

const alarmCount = (one) => (one.alarms ? state(one.unknown_alarms ? "bad" : "warn", count(one.alarms)) : "–");

function tile(name, level, value, ...more) {
  return el("div", { class: "tile", "data-level": level, "data-tile": name }, el("dt", {}, w(name)), el("dd", {}, value), ...more.map((one) => el("dd", {}, one)));
}

export async function gateways() {
  const told = await ask("/api/gateways");
  setNow(told.now_ms);
  const all = told.gateways, live = all.filter((one) => !one.revoked);
  const online = live.filter((one) => judged(one, told)[0] === "ok").length;
  const sum = (name) => all.reduce((before, one) => before + one[name], 0);
  const newest = all.reduce((before, one) => Math.max(before, one.last_at ?? 0), 0);
  return el("section", {},
    el("div", { class: "head" }, el("h1", {}, w("gateways"))),
    el("dl", { class: "tiles" },
      tile("onlineTile", online === live.length ? "ok" : "bad", w("onlineOf", { n: online, all: live.length })),
      tile("alarmTile", sum("unknown_alarms") ? "bad" : sum("alarms") ? "warn" : "ok", count(sum("alarms")), sum("unknown_alarms") ? w("unknownOf", { n: count(sum("unknown_alarms")) }) : w("allKnown")),
      tile("gapTile", sum("gaps") ? "warn" : "ok", count(sum("gaps")), sum("lost") ? w("lostHint", { n: count(sum("lost")) }) : w("gapHint")),
      tile("deliveryTile", newest ? "ok" : "none", newest ? age(newest) : "–")),
    el("h2", { class: "quiet" }, w("gateways")),
    all.length ? [
      el("div", { class: "names", "aria-hidden": "true" }, ...["gateway", "state", "lastDelivery", "lag", "missing", "verification", "alarms"].map((name) => el("span", {}, w(name)))),
      el("ul", { class: "list" }, ...all.map((one) => line(one, told)))] : el("p", { class: "card" }, w("noGateways")));
}

function line(one, told) {
  const [level, text] = judged(one, told);
  return el("li", { class: "gateway", "data-gateway": one.gateway },
    el("span", { class: "name" }, el("span", {}, el("a", { href: at("gateway", one.gateway), "data-key": one.gateway }, one.gateway), el("small", {}, one.site)), state(level, text)),
    el("span", { class: "wide" }, state(level, text)),
    el("span", {}, key(w("lastDelivery")), age(one.last_at)),
    el("span", { class: "num", title: w("lagHint") }, key(w("lag")), lag(one)),
    el("span", {}, key(w("missing")), missing(one)),
    el("span", {}, key(w("verification")), verified(one, told)),
    el("span", {}, key(w("alarms")), alarmCount(one)));
}

// ---- one gateway -----------------------------------------------------------------------------------------------

export async function gateway(name, again) {
  const [told, all] = await Promise.all([ask(`/api/gateway?${query({ gateway: name })}`), ask("/api/gateways")]);
  setNow(told.now_ms);
  const one = told.gateway, open = told.alarms.filter((alarm) => alarm.cleared_at === null);
  const [level, text] = judged(one, all);
  return el("section", {},
    el("a", { class: "back", href: "#/", "data-key": "back" }, `← ${w("back")}`),
    el("div", { class: "head" }, el("h1", {}, name), state(level, text), el("p", { class: "hint" }, one.site)),
    el("dl", { class: "tiles" },
      tile("lastDelivery", level, age(one.last_at), w("dataUpTo") + " " + when(one.newest_ms, { seconds: true })),
      tile("lag", "none", lag(one), w("lagHint")),
      tile("gapTile", one.gaps ? "warn" : "ok", count(one.gaps), one.lost ? w("lostHint", { n: count(one.lost) }) : w("gapHint"), ...(one.waiting ? [w("waiting", { n: count(one.waiting) })] : [])),
      tile("verification", one.forked || one.broken ? "bad" : told.proof ? PROOF[all.proofs[name]?.state] : "none", verified(one, all))),
    open.length ? [el("h2", {}, w("alarms")), el("ul", { class: "list" }, ...open.map((alarm) => alarmLine(alarm, false)))] : null,
    el("h2", {}, w("devices")),
    told.devices.length ? el("div", { class: "cards" }, ...told.devices.map((device) => deviceCard(name, device))) : el("p", { class: "hint" }, w("noDevices")),
    el("h2", {}, w("gaps")),
    told.gaps.length ? gapTable(told.gaps) : el("p", { class: "hint" }, w("noGaps")),
    el("h2", {}, w("verification")),
    proof(name, told, all, again));
}

function deviceCard(gateway, device) {
  const place = device.latitude === null ? "" : `${device.latitude.toFixed(5)}, ${device.longitude.toFixed(5)}`;
  const about = [device.asset_id, place, ...Object.entries(device.labels).map(([name, value]) => `${name}: ${value}`)].filter(Boolean);
  return el("article", { class: "card device", "data-device": device.device },
    el("header", {}, el("h3", {}, device.device), about.length ? el("p", {}, about.join(" · ")) : null),
    ...device.points.map((point) => pointLine(gateway, device.device, point)));
}

function pointLine(gateway, device, point) {
  const low = point.class === 2 ? "bad" : point.class === 1 ? "warn" : "";
  const name = `${device}/${point.point}`;
  return el("div", { class: "point", "data-point": name },
    el("a", { class: "name", href: at("point", gateway, device, point.point), "data-key": name }, point.point),
    el("span", { class: "value" }, `${shown(point.value)} ${point.value === null ? "" : unit(point.unit)}`.trim()),
    el("small", { class: low }, [point.class ? point.quality : "", point.public ? w("publicPoint") : ""].filter(Boolean).join(" · ")),
    el("small", { class: "right" }, point.utc_ms === null ? w("noValue") : age(point.utc_ms)));
}

function gapTable(gaps) {
  const what = (gap) => [gap.first === null ? "" : w("numbers", { first: gap.first, last: gap.last }), gap.samples === null ? "" : w("samples", { n: count(gap.samples) })].filter(Boolean).join(", ");
  return el("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": w("gaps") }, el("table", {},
    el("thead", {}, el("tr", {}, ...["state", "from", "to", "what", "why"].map((name) => el("th", { scope: "col" }, w(name))))),
    el("tbody", {}, ...gaps.map((gap) => el("tr", { "data-gap": gap.state },
      el("td", {}, state(GAP[gap.state] ?? "none", w(gap.state))), el("td", {}, when(gap.from_ms, { seconds: true })), el("td", {}, when(gap.to_ms, { seconds: true })), el("td", {}, what(gap)), el("td", {}, gap.reason))))));
}

function proof(name, told, all, again) {
  const streams = (told.proof?.streams ?? []).map((one) => el("li", {},
    state(PROOF[one.state], w(one.state)), " ", w("streamProof", { stream: one.stream.slice(0, 8), state: w(one.state), batches: count(one.batches), samples: count(one.samples) }),
    ...one.faults.map((fault) => el("p", { class: "bad" }, `${fault.kind}${fault.number === null ? "" : ` ${fault.number}`}: ${fault.detail}`))));
  const said = el("p", { class: "said", role: "status" }, all.proving ? w("proving", { gateway: all.proving }) : "");
  const start = async () => {
    try {
      await ask("/api/prove", { gateway: name });
      said.textContent = w("proving", { gateway: name });
      setTimeout(again, 1000);
    } catch (error) { said.textContent = error.message; }
  };
  return el("div", {}, streams.length ? el("ul", { class: "list" }, ...streams) : el("p", { class: "hint" }, w("proofHint")),
    own.role === "operator" ? el("div", { class: "actions" }, el("button", { type: "button", id: "prove", "data-key": "prove", disabled: Boolean(all.proving), onclick: start }, w("proveNow"))) : null, said);
}

// ---- alarms ----------------------------------------------------------------------------------------------------

export async function alarms(_, again) {
  const told = await ask("/api/alarms");
  const open = told.alarms.filter((one) => one.cleared_at === null), past = told.alarms.filter((one) => one.cleared_at !== null);
  return el("section", {},
    el("div", { class: "head" }, el("h1", {}, w("alarms")), el("p", { class: "hint" }, w("alarmsHint"))),
    el("h2", {}, w("alarmsOpen")),
    open.length ? el("ul", { class: "list" }, ...open.map((one) => alarmLine(one, own.role === "operator", again))) : el("p", { class: "card" }, w("noAlarms")),
    el("h2", {}, w("alarmsPast")),
    past.length ? el("ul", { class: "list" }, ...past.map((one) => alarmLine(one, false))) : el("p", { class: "hint" }, w("noPast")));
}

function alarmLine(one, mayKnow, again) {
  const title = `${w(KINDS[one.kind] ?? one.kind)}${one.subject ? `: ${one.kind === "fork" || one.kind === "gap" ? one.subject.slice(0, 8) : one.subject}` : ""}`;
  const known = one.acknowledged_at !== null, over = one.cleared_at !== null;
  const badge = over ? state("ok", w("cleared", { t: when(one.cleared_at) })) : known ? state("warn", w("knownTo", { who: one.acknowledged_by })) : state("bad", w("unknown"));
  return el("li", { class: "item", "data-alarm": one.id },
    el("span", { class: "title" }, el("a", { href: at("gateway", one.gateway), "data-key": `alarm ${one.id}` }, one.gateway), ` · ${title}`), badge,
    el("span", { class: "hint full" }, `${one.detail} · ${w("raised", { t: when(one.raised_at) })}${one.note ? ` · ${one.note}` : ""}`),
    mayKnow && !known ? acknowledge(one, again) : null);
}

function acknowledge(one, again) {
  const note = el("input", { id: `note-${one.id}`, maxlength: 400, autocomplete: "off", "data-key": `note ${one.id}` }), said = el("p", { role: "alert" });
  const send = async (event) => {
    event.preventDefault();
    try {
      await ask("/api/acknowledge", { id: one.id, note: note.value.trim() });
      again();
    } catch (error) { said.textContent = error.message; }
  };
  return el("form", { class: "full", onsubmit: send }, el("div", {}, el("label", { for: note.id }, w("note")), note), el("button", {}, w("acknowledge")), said);
}
