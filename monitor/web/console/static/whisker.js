// A rate with its intervals on one axis, and the same over weeks.

import { setAttribute, setText, svg } from "./dom.js";

const WIDTH = 220;
const HEIGHT = 26;
const MIDDLE = 10; // of what is drawn of the estimate; the labels alone stand below
const EVEN = 0.5;
const STEP = 0.1; // the axis begins and ends at a multiple of it
const ROOM = 0.2; // of the axis, that its ends take for their words
const TREND_WIDTH = 130;
const RADIUS = 2.5;

// The part of 0 to 1 that all of `intervals` need, so that rows can be compared.
export function rangeOf(intervals) {
  const known = intervals.filter((bounds) => bounds !== null);
  const lower = Math.min(1 - STEP, ...known.map((bounds) => bounds.lower));
  const upper = Math.max(lower + STEP, ...known.map((bounds) => bounds.upper));
  return { lower: Math.max(0, Math.floor(lower / STEP + 1e-9) * STEP), upper: Math.min(1, Math.ceil(upper / STEP - 1e-9) * STEP) };
}

// The axis in words: its ends, and one half where it lies between them.
export function showScale(node, { lower, upper }) {
  const at = (share) => `${Math.round(100 * share)} %`;
  const [first, half, last] = node.children;
  const middle = (EVEN - lower) / (upper - lower);
  setText(first, at(lower));
  setText(half, middle > ROOM && middle < 1 - ROOM ? at(EVEN) : "");
  setText(last, at(upper));
  node.style.setProperty("--half", middle);
}

export function createWhisker() {
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "whisker", "data-part": "whisker" },
    svg("title"),
    svg("line", { y1: 0, y2: HEIGHT, class: "even" }),
    svg("path", { class: "anytime" }),
    svg("rect", { y: MIDDLE - 5, height: 10, rx: 3, class: "band" }),
    svg("rect", { y: HEIGHT - 5, height: 3, rx: 1.5, class: "alone" }),
    svg("circle", { cy: MIDDLE, r: 4.5, class: "mean" }),
  );
}

export function updateWhisker(node, { estimate, bounds, anytime, classical, range }, told) {
  const [title, even, ends, band, alone, point] = node.children;
  const place = (share) => (WIDTH * (share - range.lower)) / (range.upper - range.lower);
  setAttribute(node, "aria-label", told);
  setText(title, told);
  setAttribute(node, "hidden", estimate === null);
  if (estimate === null) return;
  setAttribute(even, "x1", place(EVEN).toFixed(1));
  setAttribute(even, "x2", place(EVEN).toFixed(1));
  spread(band, bounds, place);
  spread(alone, classical, place);
  setAttribute(ends, "d", anytime === null ? "" : capped(place(anytime.lower), place(anytime.upper)));
  setAttribute(point, "cx", place(estimate).toFixed(1));
}

function spread(rect, bounds, place) {
  setAttribute(rect, "visibility", bounds === null ? "hidden" : null);
  if (bounds === null) return;
  setAttribute(rect, "x", place(bounds.lower).toFixed(1));
  setAttribute(rect, "width", Math.max(2, place(bounds.upper) - place(bounds.lower)).toFixed(1));
}

function capped(from, to) {
  const [left, right] = [from.toFixed(1), to.toFixed(1)];
  return `M${left} ${MIDDLE}H${right}M${left} ${MIDDLE - 4}v8M${right} ${MIDDLE - 4}v8`;
}

export function createTrend() {
  return svg(
    "svg",
    { viewBox: `0 0 ${TREND_WIDTH} ${HEIGHT}`, role: "img", class: "trend", "data-part": "trend" },
    svg("title"),
    svg("path", { class: "spread" }),
    svg("polyline", { class: "line" }),
    svg("path", { class: "points" }),
  );
}

// One mark a week, oldest first; a week without a rate is a gap. The axis is the row's own.
export function updateTrend(node, weeks, told) {
  const [title, spread, line, points] = node.children;
  const known = weeks.map((week, number) => ({ ...week, number })).filter(({ estimate }) => estimate !== null);
  setAttribute(node, "hidden", known.length < 2);
  setAttribute(node, "aria-label", told);
  setText(title, told);
  if (known.length < 2) return;
  const lowest = Math.min(...known.map(({ bounds }) => bounds.lower));
  const highest = Math.max(...known.map(({ bounds }) => bounds.upper));
  const step = (TREND_WIDTH - 4 * RADIUS) / Math.max(1, weeks.length - 1);
  const x = ({ number }) => (2 * RADIUS + step * number).toFixed(1);
  const y = (share) => (HEIGHT - 2 - ((HEIGHT - 4) * (share - lowest)) / Math.max(highest - lowest, 1e-6)).toFixed(1);
  setAttribute(spread, "d", known.map((week) => `M${x(week)} ${y(week.bounds.lower)}V${y(week.bounds.upper)}`).join(""));
  setAttribute(line, "points", known.map((week) => `${x(week)},${y(week.estimate)}`).join(" "));
  setAttribute(points, "d", known.map((week) => `M${x(week)} ${y(week.estimate)}h.01`).join(""));
}
