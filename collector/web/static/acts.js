// Commands and their results, and open data.
import { ask, at, count, el, now, own, query, shown, state, w, when } from "/base.js";

const DONE = ["verified", "written"];
const FILE_MOST = 33792;

export async function commands(_, again) {
  const told = await ask("/api/commands");
  return el("section", {},
    el("div", { class: "head" }, el("h1", {}, w("commands")), el("p", { class: "hint" }, w("commandsHint"))),
    own.role !== "operator" ? null : told.relays ? upload(again) : el("p", { class: "card hint" }, w("noRelay")),
    el("h2", {}, w("relayedOnes")),
    told.commands.length ? el("ul", { class: "list" }, ...told.commands.map(line)) : el("p", { class: "card" }, w("noCommands")));
}

function outcome(one) {
  if (one.result) {
    const known = ["verified", "written", "refused", "failed", "expired"].includes(one.result.status);
    return state(DONE.includes(one.result.status) ? "ok" : "bad", known ? w(one.result.status === "expired" ? "refused" : one.result.status) : shown(one.result.status));
  }
  if (one.relayed_at === null) return state("warn", w("notRelayed"));
  return one.expires_ms < now() ? state("bad", w("expired")) : state("none", w("noResult"));
}

function line(one) {
  const writes = (one.result?.writes ?? []).map((write) => [w("becomes", { point: shown(write.point), value: shown(write.value) }),
    write.read_back === null || write.read_back === undefined ? "" : w("readBack", { value: shown(write.read_back) }), write.reason ?? ""].filter(Boolean).join(" · "));
  return el("li", { class: "item", "data-command": one.number },
    el("span", { class: "title" }, el("a", { href: at("gateway", one.gateway), "data-key": `command ${one.number}` }, one.gateway), " · ", w("by", one), one.dry_run ? ` (${w("dryRun")})` : ""), outcome(one),
    ...writes.map((text) => el("span", { class: "full" }, text)),
    one.result?.reason ? el("span", { class: "full bad" }, one.result.reason) : null,
    el("span", { class: "hint full" }, `${when(one.issued_ms)} · ${w("signedBy", { name: one.name, t: when(one.expires_ms) })} `, el("code", {}, one.number)));
}

function upload(again) {
  const file = el("input", { type: "file", id: "file", required: true, "data-key": "file" });
  const said = el("div", { role: "status", id: "checked" });
  let bytes = null;
  const relay = async () => {
    try {
      const told = await ask("/api/relay", bytes, "application/cose");
      await again(true);
      document.getElementById("checked").replaceChildren(el("p", { class: "said" }, w(told.listening ? "relayed" : "nobodyListens")));
    } catch (error) { said.replaceChildren(el("p", { class: "said bad" }, error.message)); }
  };
  const check = async (event) => {
    event.preventDefault();
    try {
      if (file.files[0].size > FILE_MOST) throw new Error(w("tooLarge"));
      bytes = new Uint8Array(await file.files[0].arrayBuffer());
      const told = await ask("/api/check", bytes, "application/cose");
      said.replaceChildren(el("p", { class: "said" }, told.sentence), el("p", { class: "hint" }, w("signedBy", { name: told.name, t: when(told.expires_ms, { seconds: true }) })),
        el("div", { class: "actions" }, el("button", { type: "button", class: "primary", id: "relay", onclick: relay }, w("relay"))));
    } catch (error) { said.replaceChildren(el("p", { class: "said bad" }, error.message)); }
  };
  return el("form", { class: "card", id: "upload", onsubmit: check }, el("h2", { class: "first" }, w("upload")), el("label", { for: "file" }, w("file")), file,
    el("div", { class: "actions" }, el("button", {}, w("check"))), said);
}

// ---- open data -------------------------------------------------------------------------------------------------

const DAY = 86400e3;
const day = (ms) => new Date(ms).toISOString().slice(0, 10);

export async function data() {
  const told = await ask("/api/public"), points = told.points;
  const named = (one) => `${one.gateway}/${one.device}/${one.point}`;
  const choice = (id, label, ...options) => [el("label", { for: id }, w(label)), el("select", { id, "data-key": id }, ...options)];
  const date = (id, label, ms) => el("div", {}, el("label", { for: id }, w(label)), el("input", { type: "date", id, value: day(ms), required: true, "data-key": id }));
  const all = el("input", { type: "checkbox", id: "all", "data-key": "all" });
  const form = el("form", { class: "card", id: "download" },
    el("div", { class: "fields" },
      el("div", {}, ...choice("which", "whichPoint", el("option", { value: "" }, w("allPoints")), ...points.map((one) => el("option", { value: named(one) }, named(one))))),
      date("from", "fromDay", now() - DAY), date("to", "toDay", now()),
      el("div", {}, ...choice("form", "format", ...[["csv", "CSV"], ["ndjson", "NDJSON"], ["senml", "SenML (JSON)"]].map(([value, name]) => el("option", { value }, name))))),
    own.role === "operator" ? el("label", { class: "check" }, all, w("everything")) : null,
    el("div", { class: "actions" }, el("button", { class: "primary", id: "take" }, w("download")), el("a", { class: "button", href: "/places.geojson", download: true }, w("places"))));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = (id) => form.querySelector(`#${id}`).value, point = value("which");
    const wanted = { from: Date.parse(value("from")), to: Date.parse(value("to")) + DAY, ...(point ? { point } : {}), ...(all.checked ? { all: 1 } : {}) };
    el("a", { href: `/samples.${value("form")}?${query(wanted)}`, download: true }).click();
  });
  return el("section", {},
    el("div", { class: "head" }, el("h1", {}, w("data")), el("p", { class: "hint" }, w("dataHint"))),
    form,
    el("h2", {}, `${w("publicPoints")} (${count(points.length)})`),
    points.length ? el("ul", { class: "list" }, ...points.map((one) => el("li", {}, el("a", { href: at("point", one.gateway, one.device, one.point), "data-key": named(one) }, named(one)), one.unit ? ` (${one.unit})` : "")))
      : el("p", { class: "hint" }, w("noPublic")));
}
