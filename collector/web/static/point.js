// A point over time. The chart is uPlot (see /uplot.txt).
import { ask, at, el, locale, many, now, number, query, shown, span, state, unit, w, when } from "/base.js";

const HOUR = 3600e3, DAY = 24 * HOUR;
const SPANS = { hour: HOUR, day: DAY, week: 7 * DAY, month: 30 * DAY, year: 365 * DAY };
const chosen = { span: DAY, end: null };
let drawn = null;

export async function point(parts, again) {
  const [gateway, device, name] = parts;
  const to = Math.ceil(chosen.end ?? now()), from = to - chosen.span;
  const told = await ask(`/api/chart?${query({ gateway, device, point: name, from, to })}`);
  const steer = (label, key, act, pressed) => el("button", { type: "button", "data-key": key, "aria-pressed": pressed, onclick: () => { act(); again(); } }, label);
  const ranges = Object.entries(SPANS).map(([key, ms]) => steer(w(key), key, () => { chosen.span = ms; }, String(chosen.span === ms)));
  const moves = [
    steer(`← ${w("earlier")}`, "earlier", () => { chosen.end = to - chosen.span / 2; }),
    steer(`${w("later")} →`, "later", () => { chosen.end = to + chosen.span / 2 >= now() ? null : to + chosen.span / 2; }),
    ...(chosen.end === null ? [] : [steer(w("latest"), "latest", () => { chosen.end = null; })]),
  ];
  const plot = el("div", { class: "plot", role: "img" }), said = el("p", { class: "at" }), values = told.mean.filter((value) => value !== null);
  const card = el("div", { class: "card chart", "data-places": told.utc_ms.length }, plot, said);
  const numeric = values.length > 0;
  if (numeric) describe(plot, said, told, values, `${device}/${name}`);
  return Object.assign(el("section", {},
    el("a", { class: "back", href: at("gateway", gateway), "data-key": "back" }, `← ${gateway}`),
    el("div", { class: "head" }, el("h1", {}, `${device}/${name}`), told.unit ? state("none", unit(told.unit)) : null),
    el("div", { class: "ranges", role: "group", "aria-label": w("span") }, ...ranges, ...moves),
    numeric ? card : el("p", { class: "card" }, told.newest.length ? w("textPoint") : w("noSamples")),
    told.newest.length ? table(told) : null),
  { settled: () => (numeric ? draw(plot, said, told, `${device}/${name}`) : drop()), gone: drop, fresh: chosen.span > DAY ? 60000 : 10000 });
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const least = (values) => values.reduce((low, value) => Math.min(low, value), Infinity);
const most = (values) => values.reduce((high, value) => Math.max(high, value), -Infinity);

function describe(plot, said, told, values, name) {
  const lows = told.low.filter((value) => value !== null), highs = told.high.filter((value) => value !== null), of = unit(told.unit);
  const [low, high] = [least(lows.length ? lows : values), most(highs.length ? highs : values)];
  plot.setAttribute("aria-label", [
    w("chartLabel", { point: name, low: `${number(low)} ${of}`, high: `${number(high)} ${of}`, mean: `${number(mean(values))} ${of}`, from: when(told.from_ms), to: when(told.to_ms) }),
    told.gaps.length ? many("gapsIn", told.gaps.length) : ""].join(" ").trim());
  const fact = (key, value) => [`${w(key)} `, el("strong", {}, `${number(value)} ${of}`), " · "];
  const rest = [told.step_ms ? w("summed", { step: span(told.step_ms) }) : "", told.gaps.length ? many("gapsIn", told.gaps.length) : ""].filter(Boolean).join(" ");
  said.replaceChildren(...fact("lowest", low), ...fact("average", mean(values)), ...fact("highest", high).slice(0, 2), ...(rest ? [` · ${rest}`] : []));
}

function table(told) {
  return el("details", { class: "card", "data-keep": "newest" }, el("summary", { "data-key": "newest" }, w("newest")),
    el("table", {}, el("thead", {}, el("tr", {}, ...["time", "value", "quality"].map((name) => el("th", { scope: "col" }, w(name))))),
      el("tbody", {}, ...told.newest.map((one) => el("tr", {}, el("td", {}, when(one.utc_ms, { seconds: true })),
        el("td", {}, `${shown(one.value)} ${one.value === null ? "" : unit(told.unit)}`.trim()), el("td", { class: ["", "warn", "bad"][one.class] }, one.quality))))));
}

// ---- the drawing -----------------------------------------------------------------------------------------------

function drop() {
  drawn?.plot.destroy();
  drawn?.watch.disconnect();
  drawn = null;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function ticks(_, splits, __, ___, increment) {
  const long = increment >= 86400, day = { day: "numeric", month: "short" }, hour = { hour: "2-digit", minute: "2-digit", hour12: false };
  return splits.map((s, place) => {
    const then = new Date(s * 1000), first = place === 0 || new Date(splits[place - 1] * 1000).toDateString() !== then.toDateString();
    if (long) return then.toLocaleDateString(locale(), increment >= 28 * 86400 ? { month: "short", year: "2-digit" } : day);
    const time = then.toLocaleTimeString(locale(), { ...hour, ...(increment < 60 ? { second: "2-digit" } : {}) });
    return first ? `${time}\n${then.toLocaleDateString(locale(), day)}` : time;
  });
}

// What is missing lies as a shade behind the line.
function shade(plot, gaps) {
  const { ctx, bbox } = plot, right = bbox.left + bbox.width;
  ctx.save();
  ctx.fillStyle = colour("--lost");
  for (const gap of gaps) {
    const begin = Math.max(bbox.left, plot.valToPos((gap.from_ms ?? gap.to_ms) / 1000, "x", true));
    const end = Math.min(right, plot.valToPos((gap.to_ms ?? gap.from_ms) / 1000, "x", true));
    ctx.fillRect(begin, bbox.top, Math.max(end - begin, 2), bbox.height);
  }
  ctx.restore();
}

function draw(node, said, told, name) {
  drop();
  const summed = told.step_ms > 0, line = colour("--link"), text = colour("--soft"), grid = { stroke: colour("--grid"), width: 1 };
  const facts = [...said.childNodes], font = "13px system-ui, sans-serif";
  const size = () => ({ width: node.clientWidth, height: Math.max(260, Math.min(400, Math.round(node.clientWidth * 0.42))) });
  const steps = told.type === "bool" ? { paths: uPlot.paths.stepped({ align: 1 }) } : {};
  const edge = { stroke: "transparent", width: 0, points: { show: false } };
  const tell = (plot) => {
    const place = plot.cursor.idx;
    if (place === null || place === undefined || told.mean[place] === null) { said.replaceChildren(...facts); return; }
    const range = summed ? ` (${number(told.low[place])} – ${number(told.high[place])})` : "";
    said.replaceChildren(`${when(told.utc_ms[place], { seconds: !summed })} · `, el("strong", {}, `${number(told.mean[place])} ${unit(told.unit)}`), range);
  };
  const plot = new uPlot({
    ...size(), legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: true, range: () => [told.from_ms / 1000, told.to_ms / 1000] } },
    series: [{}, { label: name, stroke: line, width: 2, ...steps, points: { show: told.utc_ms.length < 60, size: 5, fill: line } }, ...(summed ? [edge, edge] : [])],
    bands: summed ? [{ series: [3, 2], fill: colour("--band") }] : [],
    axes: [{ stroke: text, grid, ticks: grid, font, values: ticks, space: 90 }, { stroke: text, grid, ticks: grid, font, size: 68, values: (_, all) => all.map((value) => number(value)) }],
    hooks: { drawClear: [(made) => shade(made, told.gaps)], setCursor: [tell] },
  }, [told.utc_ms.map((ms) => ms / 1000), told.mean, ...(summed ? [told.low, told.high] : [])], node);
  const watch = new ResizeObserver(() => { if (node.clientWidth && node.clientWidth !== plot.width) plot.setSize(size()); });
  watch.observe(node);
  drawn = { plot, watch };
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("hashchange")));
