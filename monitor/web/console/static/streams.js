// The streams: where each mean lies against its baseline, and how much evidence says it moved.

import { byId, element, parts, reconcile, setAttribute, setText, showMessage, svg } from "./dom.js";
import { bareValue, count, utc, value, words } from "./format.js";
import { meaningOf } from "./signals.js";
import { cohortOf, isReplaced, nameOf, scorerOf } from "./stream.js";

const WIDTH = 160;
const HEIGHT = 18;
const FEW = 20; // rows before "show all"
const NEAR = 0.7; // of the evidence an alarm takes
const UNSTEADY = "the baseline's own window moved too much for an alert: this stream raises warnings alone";
const QUIET_MILLISECONDS = 3_600_000; // without news for so long, while others have some

let shown = [];
let all = false;

export function showStreams(streams, alarms, { champion, hasBaseline }) {
  const severities = new Map();
  for (const { alarm } of alarms) {
    if (severities.get(nameOf(alarm.stream)) !== "alert") severities.set(nameOf(alarm.stream), alarm.severity);
  }
  const newest = Math.max(...streams.map(({ last_timestamp: last }) => Date.parse(last)));
  shown = streams.map((stream) => ({
    ...stream,
    severity: severities.get(nameOf(stream.key)) ?? null,
    past: pastOf(stream, { champion, newest }),
  }));
  shown.sort((a, b) => rank(a) - rank(b)); // stable: by name within a rank
  showMessage(
    byId("streams-empty"),
    streams.length ? "" : hasBaseline
      ? "The baseline is frozen; its streams appear here with the next traces."
      : "Streams appear here, one for each signal, cohort and policy model, once the first baseline is frozen.",
  );
  byId("streams-table").hidden = byId("streams-legend").hidden = streams.length === 0;
  byId("streams-filter").parentElement.hidden = streams.length === 0;
  draw();
}

byId("streams-filter").addEventListener("input", draw);
byId("streams-all").addEventListener("click", () => {
  all = !all;
  draw();
});

function draw() {
  const wanted = byId("streams-filter").value.trim().toLowerCase();
  const rows = shown.filter(({ key }) => `${words(key.signal)} ${nameOf(key)}`.toLowerCase().includes(wanted));
  const tally = rows.length === shown.length ? count(shown.length) : `${count(rows.length)} of ${count(shown.length)}`;
  setText(byId("streams-tally"), shown.length ? tally : "");
  byId("streams-all").hidden = rows.length <= FEW;
  setText(byId("streams-all"), all ? `Show the first ${FEW}` : `Show all ${count(rows.length)}`);
  reconcile(byId("streams-rows"), all ? rows : rows.slice(0, FEW), { key: (row) => nameOf(row.key), create: createRow, update: updateRow });
}

// Why a stream says nothing about now; "" where it does.
function pastOf({ key, last_timestamp: last }, { champion, newest }) {
  if (isReplaced(key, champion)) return "another scorer is the champion now";
  return newest - Date.parse(last) > QUIET_MILLISECONDS ? `no observation since ${utc(new Date(last))}` : "";
}

// What moves comes first and what is past last; the rest keeps its place, so the table can be read while it refreshes.
function rank({ severity, past, evidence_log: evidence }) {
  if (past !== "") return 4;
  if (severity !== null) return severity === "alert" ? 0 : 1;
  return evidence >= NEAR ? 2 : 3;
}

function createRow() {
  const cell = (label, part, name = null) => element("td", { "data-label": label, "data-part": part, class: name });
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("a", { "data-part": "signal" }), element("span", { "data-part": "mark", class: "badge" })),
    cell("Cohort", "cohort", "name long"),
    cell("Policy model", "model", "name long"),
    cell("Scorer", "scorer", "name version"),
    cell("n", "n", "number"),
    cell("Mean", "mean", "number"),
    element("td", { "data-label": "Against the baseline" }, createInterval()),
    element(
      "td",
      { "data-label": "Evidence" },
      element("span", { class: "evidence" }, createEvidence(), element("span", { "data-part": "evidence", class: "number" })),
    ),
  );
}

function updateRow(row, stream) {
  const part = parts(row);
  setAttribute(row, "data-severity", stream.severity);
  setAttribute(row, "data-past", stream.past !== "");
  setAttribute(row, "title", stream.past || (stream.is_steady ? null : UNSTEADY));
  setText(part.signal, words(stream.key.signal));
  setAttribute(part.signal, "href", stream.stream_id === null ? null : `/streams/${stream.stream_id}`);
  setAttribute(part.signal, "title", meaningOf(stream.key.signal));
  setText(part.mark, stream.severity ?? (stream.is_steady ? "" : "unsteady"));
  setAttribute(part.mark, "data-severity", stream.severity);
  part.mark.hidden = stream.severity === null && stream.is_steady;
  setText(part.cohort, cohortOf(stream.key));
  setText(part.model, stream.key.policy_model);
  setText(part.scorer, scorerOf(stream.key));
  setText(part.n, count(stream.observations));
  setText(part.mean, value(stream.mean, stream.unit));
  updateInterval(part, stream);
  updateEvidence(part, stream.evidence_log ?? 0);
}

function createInterval() {
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "interval", "data-part": "interval" },
    svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2, class: "axis" }),
    svg("rect", { y: 3, height: HEIGHT - 6, rx: 3, class: "band", "data-part": "band" }),
    svg("line", { y1: 3, y2: HEIGHT - 3, class: "centre", "data-part": "centre" }),
    svg("circle", { cy: HEIGHT / 2, r: 4.5, class: "mean", "data-part": "point" }),
  );
}

// The axis is the row's own: the interval in the middle, and wide enough for the mean on either side.
function updateInterval(part, { mean, baseline_lower: lower, baseline_upper: upper, baseline_mean: centre, unit }) {
  const middle = (lower + upper) / 2;
  const reach = Math.max(1.6 * (upper - lower), 1.15 * Math.abs(mean - middle), Number.EPSILON);
  const place = (number) => (WIDTH / 2) * (1 + (0.94 * (number - middle)) / reach);
  setAttribute(part.band, "x", place(lower).toFixed(1));
  setAttribute(part.band, "width", Math.max(2, place(upper) - place(lower)).toFixed(1));
  setAttribute(part.centre, "x1", place(centre).toFixed(1));
  setAttribute(part.centre, "x2", place(centre).toFixed(1));
  setAttribute(part.point, "cx", place(mean).toFixed(1));
  setAttribute(part.interval, "data-outside", mean < lower || mean > upper);
  const range = `${bareValue(lower, unit)} to ${value(upper, unit)}`;
  setAttribute(part.interval, "aria-label", `mean ${value(mean, unit)}, baseline ${range}`);
  titleOf(part.interval, `mean ${value(mean, unit)}; baseline ${value(centre, unit)}, null interval ${range}`);
}

function titleOf(node, text) {
  const title = node.querySelector("title") ?? node.insertBefore(svg("title"), node.firstChild);
  setText(title, text);
}

function createEvidence() {
  return svg(
    "svg",
    { viewBox: "0 0 80 8", class: "gauge", "aria-hidden": "true" },
    svg("rect", { width: 80, height: 8, rx: 4, class: "track" }),
    svg("rect", { height: 8, rx: 4, class: "fill", "data-part": "fill" }),
  );
}

function updateEvidence(part, evidence) {
  const level = Math.min(1, Math.max(0, evidence));
  setAttribute(part.fill, "width", (80 * level).toFixed(1));
  setAttribute(part.fill, "data-level", level >= 1 ? "alert" : level >= NEAR ? "warning" : null);
  setText(part.evidence, evidence.toFixed(2).replace("-", "−"));
}
