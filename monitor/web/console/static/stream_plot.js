// A stream over time: mean, quantiles, each baseline's band while it held, marks, and below it how many observations there were.

import uPlot from "./vendor/uplot-1.6.32/uPlot.esm.js";

import { byId, element, reconcile, setAttribute, setText } from "./dom.js";
import { bareValue, count, utc, value } from "./format.js";

const HEIGHT = 320;
const COUNTS_HEIGHT = 90;
const NARROW = 600;
const RADIUS = 8; // of a mark's circle
const COLOURS = { onset: "--warning", warning: "--warning", alert: "--bad", recovery: "--good" };

let plots = [];
let read = null; // the middle of the point that is read, in seconds; kept while the plots are drawn anew

export function drawPlot(history, marks) {
  const place = byId("plot");
  const kept = read;
  for (const plot of plots) plot.destroy();
  const data = columnsOf(history);
  const width = Math.max(place.clientWidth, 260);
  const look = { colour, width, unit: history.unit, history, marks, kept };
  plots = [new uPlot(meanOptions(look), data.slice(0, 5), place), new uPlot(countOptions(look), [data[0], data[5]], place)];
  setAttribute(place, "aria-label", labelOf(history));
  showKeys(history);
  if (!data[0].includes(kept)) showReadout(history, null);
  place.onkeydown = (event) => moveCursor(event, data[0], history);
}

// A row a point of the whole range; null where nothing was observed, so that no line goes over a gap.
function columnsOf({ since, until, width_seconds: width, points }) {
  const known = new Map(points.map((point) => [Date.parse(point.start) / 1000, point]));
  const starts = [];
  for (let start = Date.parse(since) / 1000; start < Date.parse(until) / 1000; start += width) starts.push(start);
  const column = (pick) => starts.map((start) => (known.has(start) ? pick(known.get(start)) : null));
  return [
    starts.map((start) => start + width / 2),
    column(({ p90, upper }) => p90 ?? upper),
    column(({ p10, lower }) => p10 ?? lower),
    column(({ p50 }) => p50),
    column(({ mean }) => mean),
    column(({ observations }) => observations),
  ];
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function common({ width, history }) {
  const inside = { min: Date.parse(history.since) / 1000, max: Date.parse(history.until) / 1000 };
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: "stream" }, points: { show: true } },
    scales: { x: { time: true, range: () => [inside.min, inside.max] } },
    axis,
  };
}

function meanOptions(look) {
  const { axis, ...shared } = common(look);
  const { history, unit, marks, kept } = look;
  const line = { spanGaps: false, points: { size: 5 } };
  return {
    ...shared,
    height: look.width < NARROW ? HEIGHT * 0.8 : HEIGHT,
    padding: [24, 22, 0, 0],
    scales: { ...shared.scales, y: { range: (_, low, high) => room(low, high, history.bands) } },
    axes: [{ ...axis, values: timesOf }, { ...axis, size: 60, values: (_, values) => values.map((each) => bareValue(each, unit)) }],
    series: [
      {},
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
      { ...line, stroke: colour("--ink"), width: 1, dash: [4, 4], points: { show: false } },
      { ...line, stroke: colour("--accent"), width: 2 },
    ],
    bands: [{ series: [1, 2], fill: mixed("--muted", 0.22) }],
    hooks: {
      drawClear: [(plot) => history.bands.forEach((held) => drawBand(plot, held))],
      draw: [(plot) => marks.forEach((mark, at) => drawMark(plot, mark, marks.slice(0, at)))],
      ready: [(plot) => plot.data[0].includes(kept) && moveTo(plot, kept)],
      setCursor: [(plot) => readAt(plot, history)],
    },
  };
}

function countOptions(look) {
  const { axis, ...shared } = common(look);
  return {
    ...shared,
    height: COUNTS_HEIGHT,
    padding: [6, 22, 8, 0],
    scales: { ...shared.scales, y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.1] } },
    axes: [{ ...axis, values: timesOf, show: false }, { ...axis, size: 60, values: (_, values) => values.map((each) => count(each)), space: 28 }],
    series: [{}, { paths: uPlot.paths.bars({ size: [0.8, 24, 1] }), fill: mixed("--muted", 0.5), stroke: "transparent", points: { show: false } }],
  };
}

function mixed(name, alpha) {
  return `color-mix(in srgb, ${colour(name)} ${100 * alpha}%, transparent)`;
}

function timesOf(_, splits) {
  let day = "";
  return splits.map((seconds) => {
    const [date, time] = new Date(seconds * 1000).toISOString().split("T");
    const text = date === day ? time.slice(0, 5) : time.startsWith("00:00") ? date.slice(5) : `${date.slice(5)}\n${time.slice(0, 5)}`;
    day = date;
    return text;
  });
}

function room(low, high, bands) {
  const values = [low, high, ...bands.flatMap(({ band }) => [band.accepted_lower, band.accepted_upper])].filter((each) => each !== null && Number.isFinite(each));
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const spare = 0.06 * Math.max(most - least, Math.abs(most) * 0.02, 1e-6);
  return [least >= 0 ? Math.max(least - spare, 0) : least - spare, most + spare];
}

function drawBand(plot, { since, until, band }) {
  const { min, max } = plot.scales.x;
  const x = (at, end) => plot.valToPos(at === null ? end : Math.min(Math.max(Date.parse(at) / 1000, min), max), "x", true);
  const y = (each) => plot.valToPos(each, "y", true);
  const [left, right] = [x(since, min), x(until, max)];
  const context = plot.ctx;
  const rectangle = (lower, upper, fill) => {
    context.fillStyle = fill;
    context.fillRect(left, y(upper), right - left, Math.max(y(lower) - y(upper), 1));
  };
  context.save();
  rectangle(band.accepted_lower, band.accepted_upper, mixed("--accent", 0.08));
  context.strokeStyle = colour("--muted");
  context.lineWidth = devicePixelRatio;
  context.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const edge of [band.accepted_lower, band.accepted_upper]) {
    context.beginPath();
    context.moveTo(left, y(edge));
    context.lineTo(right, y(edge));
    context.stroke();
  }
  rectangle(band.lower, band.upper, colour("--band"));
  context.fillStyle = colour("--accent");
  context.fillRect(left, y(band.mean), right - left, 1);
  context.restore();
}

// Letters that would cover each other stand in two rows.
function drawMark(plot, { at, kind, letter, by_wall: byWall }, before) {
  const ratio = devicePixelRatio;
  const x = plot.valToPos(Date.parse(at) / 1000, "x", true);
  const { top, height } = plot.bbox;
  const near = before.filter((other) => Math.abs(plot.valToPos(Date.parse(other.at) / 1000, "x", true) - x) < 2 * RADIUS * ratio).length;
  const y = top - RADIUS * ratio + near * 2 * RADIUS * ratio;
  const context = plot.ctx;
  context.save();
  context.strokeStyle = context.fillStyle = colour(COLOURS[kind] ?? "--accent");
  context.lineWidth = 1.25 * ratio;
  context.setLineDash(byWall ? [2 * ratio, 4 * ratio] : []);
  context.beginPath();
  context.moveTo(x, top);
  context.lineTo(x, top + height);
  context.stroke();
  if (letter !== "") drawLetter(context, { x, y, letter, ratio });
  context.restore();
}

function drawLetter(context, { x, y, letter, ratio }) {
  const ink = context.fillStyle;
  context.setLineDash([]);
  context.beginPath();
  context.arc(x, y, RADIUS * ratio, 0, 2 * Math.PI);
  context.fillStyle = colour("--panel");
  context.fill();
  context.stroke();
  context.fillStyle = ink;
  context.font = `650 ${11 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(letter, x, y);
}

function showReadout({ since, width_seconds: width, points, unit, bands }, index) {
  const start = index === null ? null : Date.parse(since) / 1000 + index * width;
  const point = start === null ? points.at(-1) : points.find((each) => Date.parse(each.start) / 1000 === start);
  if (point === undefined) return setText(byId("readout"), `${utc(new Date(start * 1000))}: no observation`);
  const spread = point.p10 === null ? `95 % interval ${bareValue(point.lower, unit)} to ${bareValue(point.upper, unit)}` : `10 % ${bareValue(point.p10, unit)}, median ${bareValue(point.p50, unit)}, 90 % ${bareValue(point.p90, unit)}, 99 % ${bareValue(point.p99, unit)}`;
  const held = bandAt(bands, Date.parse(point.start) + (width * 1000) / 2);
  const usual = held === undefined ? "" : `; baseline ${held.baseline_id} accepts ${bareValue(held.band.accepted_lower, unit)} to ${bareValue(held.band.accepted_upper, unit)}`;
  setText(byId("readout"), `${utc(new Date(point.start))}: mean ${bareValue(point.mean, unit)}, ${spread}, n = ${count(point.observations)}${usual}`);
}

function bandAt(bands, milliseconds) {
  return bands.find(({ since, until }) => Date.parse(since) <= milliseconds && (until === null || milliseconds < Date.parse(until)));
}

function readAt(plot, history) {
  const index = plot.cursor.idx ?? null;
  read = index === null ? null : plot.data[0][index];
  showReadout(history, index);
}

function moveTo(plot, seconds) {
  plot.setCursor({ left: plot.valToPos(seconds, "x"), top: 0 });
}

// The arrow keys go from point to point, as the pointer does.
function moveCursor(event, places, history) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const [plot] = plots;
  const last = Math.round((Date.parse(history.points.at(-1).start) - Date.parse(history.since)) / 1000 / history.width_seconds);
  const index = Math.min(Math.max((plot.cursor.idx ?? last + (step < 0 ? 1 : -1)) + step, 0), places.length - 1);
  moveTo(plot, places[index]);
}

function labelOf({ points, bands, unit, since, until }) {
  const means = points.map(({ mean }) => mean);
  const usual = bands.map(({ baseline_id: id, band }) => `; baseline ${id} has ${bareValue(band.mean, unit)}`).join("");
  return `Mean from ${utc(new Date(since))} to ${utc(new Date(until))}: ${bareValue(Math.min(...means), unit)} to ${value(Math.max(...means), unit)}, last ${value(means.at(-1), unit)}${usual}. The arrow keys read single points.`;
}

function showKeys({ bands, points, width_seconds: width }) {
  const isRate = points[0].p10 === null;
  const each = width < 3600 ? `${width / 60} minutes` : width === 3600 ? "an hour" : `${width / 3600} hours`;
  const keys = [
    ["line-0", `mean of ${each}`],
    ...(isRate ? [["quantiles", "95 % interval of the rate"]] : [["median", "median"], ["quantiles", "10 % to 90 % of the observations"]]),
    ...(bands.length ? [["band", "the baseline's mean while it held, two standard errors to either side"], ["accepted", "what is accepted beyond"]] : []),
  ];
  reconcile(byId("keys"), keys, {
    key: ([kind, text]) => `${kind} ${text}`,
    create: ([kind, text]) => element("li", {}, element("span", { class: `key ${kind}`, "aria-hidden": "true" }), element("span", {}, text)),
    update: () => {},
  });
}
