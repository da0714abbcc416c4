// What the live model answers to fixed questions: a row a suite, with its last run and its rates.

import { read } from "./api.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, plural, setTime, words } from "./format.js";

const PERIOD_MILLISECONDS = 30_000; // runs come by the hour

let dueAt = 0;

// Read and show the suites where they are due; the rest of the console does not wait for them.
export async function refreshProbes() {
  if (performance.now() < dueAt) return;
  dueAt = performance.now() + PERIOD_MILLISECONDS;
  try {
    showProbes(await read("/api/v1/probes"));
  } catch (error) {
    dueAt = 0;
    showMessage(byId("probes-away"), `The probes cannot be read: ${error.message}`);
  }
}

function showProbes(reports) {
  const asked = reports.filter(({ last_run: run }) => run !== null);
  byId("probes").hidden = asked.length === 0;
  const away = asked.filter(({ last_run: run }) => run.state === "unavailable");
  setText(byId("probes-tally"), asked.length ? plural(asked.length, "suite") : "");
  showMessage(byId("probes-away"), away.length ? `The live model did not answer: ${away[0].last_run.detail}` : "");
  reconcile(byId("probes-rows"), asked, { key: ({ suite }) => suite, create: createRow, update: updateRow });
}

function createRow() {
  const cell = (label, name, ...children) => element("td", { "data-label": label, class: name }, ...children);
  const lines = (main, note) => [element("span", { class: "told", "data-part": main }), element("span", { class: "note", "data-part": note })];
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, ...lines("suite", "signal")),
    cell("Last run", "", element("span", { class: "badge", "data-part": "state" }), element("time", { class: "note", "data-part": "at" })),
    cell("Rate", "number", ...lines("rate", "interval")),
    cell("Of a week", "number", ...lines("week", "range")),
    cell("Asked", "number", ...lines("asked", "model")),
  );
}

function updateRow(row, { suite, signal, items, last_run: run, last_rate: rate, week_rate: week }) {
  const part = parts(row);
  setText(part.suite, words(suite));
  setText(part.signal, suite === signal ? "" : words(signal));
  setText(part.state, run.state);
  setAttribute(part.state, "data-tone", run.state === "unavailable" ? "bad" : run.state === "partial" ? "warning" : null);
  setTime(part.at, run.started_at);
  setText(part.rate, percent(rate));
  setText(part.interval, interval(rate));
  setText(part.week, percent(week));
  setText(part.range, week === null ? "" : `${interval(week)}, ${plural(week.outcomes, "outcome")}`);
  setText(part.asked, items === null ? count(run.asked) : `${count(run.asked)} of ${count(items)}`);
  setText(part.model, run.policy_model);
}

function percent(rate) {
  return rate === null ? "–" : `${(100 * rate.value).toFixed(1)} %`;
}

function interval(rate) {
  return rate === null ? "" : `${(100 * rate.lower).toFixed(1)} to ${(100 * rate.upper).toFixed(1)}`;
}
