// The curves of an alarm: means beside the baseline's band over its evidence, on one axis of places in the log.

import { readOut } from "./alarm_readout.js";
import { byId, element, reconcile, setAttribute, setText, svg } from "./dom.js";
import { bareValue, plural } from "./format.js";

const LEFT = 52;
const RIGHT = 12;
const TOP = 26; // for the marks' letters
const BOTTOM = 34;
const HEIGHTS = { mean: 230, evidence: 150 };
const MOST_EVIDENCE = 3; // drawn; a curve that goes on climbs out of its plot
const LETTER = 8; // half of a mark's circle

export function showPlots(curves, marks, severity) {
  const lines = curves?.lines ?? [];
  const evidence = curves?.evidence ?? null;
  byId("drawn").hidden = lines.length === 0 && evidence === null;
  if (byId("drawn").hidden) return;
  const width = Math.max(byId("plots").clientWidth, 280);
  const frame = { width, x: (place) => LEFT + ((width - LEFT - RIGHT) * (place - curves.first_place)) / Math.max(curves.stop_place - 1 - curves.first_place, 1) };
  const plots = [...(lines.length ? [meanPlot(curves, frame, marks)] : []), ...(evidence ? [evidencePlot(curves, frame, marks)] : [])];
  readOut(curves, frame, plots);
  showKeys(lines, marks);
  setText(byId("drawn-note"), noteOf(curves, severity));
}

function meanPlot(curves, frame, marks) {
  const { band, lines, unit } = curves;
  const values = [...lines.flatMap(({ points }) => points.map(({ value }) => value)), band.mean, band.lower, band.upper];
  const near = [band.accepted_lower, band.accepted_upper];
  const [low, high] = spread(Math.min(...values, ...near), Math.max(...values, ...near));
  const [own] = lines;
  const last = own.points.at(-1);
  const label = `Mean of the latest ${own.window} observations under ${own.policy_model}: last ${bareValue(last.value, unit)}; the baseline's is ${bareValue(band.mean, unit)}, ${bareValue(band.lower, unit)} to ${bareValue(band.upper, unit)}.`;
  const { plot, y } = frameOf(curves, frame, { height: HEIGHTS.mean, low, high, name: `mean, ${unit === "ratio" ? "%" : unit}`, label, shown: (value) => bareValue(value, unit).replace(" %", "") });
  plot.append(
    bandOf(frame, y, band.accepted_lower, band.accepted_upper, "accepted"),
    bandOf(frame, y, band.lower, band.upper, "band"),
    svg("line", { x1: LEFT, x2: frame.width - RIGHT, y1: y(band.mean), y2: y(band.mean), class: "centre" }),
    ...lines.map(({ points }, at) => curveOf(points, frame, y, `line line-${at}`)).reverse(),
    ...marks.map((mark) => markOf(mark, frame, HEIGHTS.mean, marks)),
  );
  return plot;
}

function evidencePlot(curves, frame, marks) {
  const { points } = curves.evidence;
  const high = Math.min(Math.max(...points.map(({ value }) => value), 1.2), MOST_EVIDENCE);
  const peak = points.reduce((best, point) => (point.value > best.value ? point : best));
  const crossed = points.find(({ value }) => value >= 1);
  const label = `Evidence as a share of what the alarm takes: ${crossed ? "reaches it" : "does not reach it here"}, ${peak.value.toFixed(2)} at most.`;
  const { plot, y } = frameOf(curves, frame, { height: HEIGHTS.evidence, low: 0, high, name: "evidence, log e / log A", label, shown: (value) => value.toFixed(1) });
  plot.append(
    svg("line", { x1: LEFT, x2: frame.width - RIGHT, y1: y(1), y2: y(1), class: "threshold" }),
    curveOf(points.map(({ place, value }) => ({ place, value: Math.min(value, high) })), frame, y, "line line-evidence"),
    ...marks.map((mark) => markOf(mark, frame, HEIGHTS.evidence, marks)),
  );
  return plot;
}

// An empty plot with its axes: values to the left, trace times below.
function frameOf(curves, frame, { height, low, high, name, label, shown }) {
  const plot = svg("svg", { viewBox: `0 0 ${frame.width} ${height}`, width: frame.width, height, role: "img", class: "plot", "aria-label": label });
  const y = (value) => (TOP + ((height - TOP - BOTTOM) * (high - value)) / (high - low)).toFixed(1);
  for (const value of ticksOf(low, high)) {
    plot.append(svg("line", { x1: LEFT, x2: frame.width - RIGHT, y1: y(value), y2: y(value), class: "grid" }));
    plot.append(svg("text", { x: LEFT - 6, y: Number(y(value)) + 4, class: "tick value" }, shown(value)));
  }
  for (const { place, text } of timesOf(curves, frame)) plot.append(svg("text", { x: frame.x(place).toFixed(1), y: height - 18, class: "tick time" }, text));
  plot.append(svg("text", { x: LEFT, y: 12, class: "tick name" }, name));
  plot.append(svg("text", { x: frame.width - RIGHT, y: height - 3, class: "tick value" }, "trace time, UTC"));
  return { plot, y };
}

function timesOf({ moments, first_place: first, stop_place: stop }, frame) {
  if (moments.length === 0) return [];
  const wanted = Math.max(2, Math.floor((frame.width - LEFT) / 110));
  const picked = Array.from({ length: wanted }, (_, at) => first + ((stop - 1 - first) * (at + 0.5)) / wanted);
  let day = "";
  return picked.map((place) => {
    const near = moments.reduce((best, moment) => (Math.abs(moment.place - place) < Math.abs(best.place - place) ? moment : best));
    const [date, time] = near.trace_time.split("T");
    const text = `${date === day ? "" : `${date.slice(5)} `}${time.slice(0, 5)}`;
    day = date;
    return { place: near.place, text };
  });
}

function bandOf(frame, y, lower, upper, kind) {
  const top = Number(y(upper));
  return svg("rect", { x: LEFT, width: frame.width - LEFT - RIGHT, y: top, height: Math.max(Number(y(lower)) - top, 1).toFixed(1), class: kind });
}

function curveOf(points, frame, y, kind) {
  const curve = svg("polyline", { class: kind });
  // Numbers of our own, and more of them than a text from outside may have characters.
  curve.setAttribute("points", points.map(({ place, value }) => `${frame.x(place).toFixed(1)},${y(value)}`).join(" "));
  return curve;
}

// Letters that would cover each other stand in two rows.
function markOf({ letter, place, kind, what, apart }, frame, height, marks) {
  const x = frame.x(place);
  const before = marks.slice(0, marks.findIndex((mark) => mark.letter === letter)).filter((mark) => Math.abs(frame.x(mark.place) - x) < 2 * LETTER);
  const y = TOP + 2 + LETTER + before.length * 2 * LETTER;
  return svg(
    "g",
    { class: "mark", "data-kind": kind, "data-apart": apart },
    svg("title", {}, `${letter}: ${what}`),
    svg("line", { x1: x.toFixed(1), x2: x.toFixed(1), y1: TOP, y2: height - BOTTOM }),
    svg("circle", { cx: x.toFixed(1), cy: y, r: LETTER }),
    svg("text", { x: x.toFixed(1), y: y + 4, class: "letter" }, letter),
  );
}

function showKeys(lines, marks) {
  const keys = [
    ...lines.map(({ policy_model: model, window }, at) => ({ kind: `line-${at}`, text: `${model}, mean of ${plural(window, "observation")}` })),
    ...(lines.length ? [{ kind: "band", text: "the baseline's mean, two standard errors to either side" }, { kind: "accepted", text: "what is accepted beyond" }] : []),
    ...marks.map(({ letter, what, kind, apart }) => ({ kind: "letter", letter, mark: kind, text: apart ? `${what} (at its wall time)` : what })),
  ];
  reconcile(byId("keys"), keys, {
    key: ({ kind, letter, text }) => `${kind} ${letter ?? ""} ${text}`,
    create: ({ kind, letter, mark, text }) => element("li", {}, element("span", { class: `key ${kind}`, "data-kind": mark ?? null, "aria-hidden": letter === undefined }, letter ?? ""), element("span", {}, text)),
    update: (row, { kind }) => setAttribute(row, "data-key-kind", kind),
  });
}

function noteOf({ evidence, until_now: untilNow, unit }, severity) {
  const told = [];
  if (evidence === null) told.push("The log has forgotten what the evidence was made of.");
  else if (!evidence.whole) told.push(`The evidence is counted anew from shortly before, so it is at least this; 1 is the ${severity}.`);
  else if (evidence.agrees === false) told.push(`The evidence is folded again by the settings of today, from the end of the baseline; then it was another. 1 is the ${severity}.`);
  else told.push(`The evidence is folded again from the end of the baseline; 1 is the ${severity}.`);
  if (unit === "") told.push("What is asked has no mean of its own.");
  told.push(untilNow ? "The curves go on to this moment." : "The log goes on after the curves.");
  return told.join(" ");
}

function spread(low, high) {
  const room = Math.max(high - low, Math.abs(high) * 0.02, 1e-6) * 0.08;
  return [low >= 0 ? Math.max(low - room, 0) : low - room, high + room];
}

function ticksOf(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) ticks.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return ticks;
}
