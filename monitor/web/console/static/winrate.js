// The win rate and the other rates that labels tell: each with its interval, what the labels alone would say, and why there is none.

import { read } from "./api.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { age, count, plural, words } from "./format.js";
import { createTrend, createWhisker, rangeOf, showScale, updateTrend, updateWhisker } from "./whisker.js";

const PERIOD_MILLISECONDS = 30_000; // the daemon makes them anew no more often than labels come
const PAST_WEEKS = 8;
const FEW = 10; // rows before "show all"
const CONTROLLED = "win_rate_lc";
const LOST = 0.1; // of the blocks; above it something is wrong
const NONE =
  "No rate yet. It takes traces with a reference response, and people's verdicts on some of them: from the review queue, the topic of labels, or POST /api/v1/labels.";
const WHY = {
  not_selected: "not drawn by the review queue",
  no_probability: "without an inclusion probability",
  small_probability: "with too small an inclusion probability",
  other_criteria: "by other criteria",
  late: "too late",
  block_dropped: "in a block that was dropped",
  not_eligible: "on repeats, or without a reference response",
  no_trace: "on traces that are not stored",
  user: "of users",
  ai: "of models",
};

let dueAt = 0;
let shown = [];
let all = false;

// Read and show the rates where they are due; the rest of the console does not wait for them.
export async function refreshRates() {
  if (performance.now() < dueAt) return;
  dueAt = performance.now() + PERIOD_MILLISECONDS;
  try {
    const [reports, agreement] = await Promise.all([read(`/api/v1/estimates?past_weeks=${PAST_WEEKS}`), read("/api/v1/review/agreement")]);
    showRates(reports, agreement);
    showMessage(byId("rates-lost"), "");
  } catch (error) {
    dueAt = 0;
    showMessage(byId("rates-lost"), `The rates cannot be read: ${error.message}`);
  }
}

function showRates(reports, agreement) {
  shown = reports;
  showMessage(byId("rates-empty"), reports.some(({ estimates }) => estimates.length) ? "" : NONE);
  reconcile(byId("rates-signal"), reports, {
    key: ({ signal }) => signal,
    create: ({ signal }) => element("option", { value: signal }, words(signal)),
    update: () => {},
  });
  showMessage(byId("rates-agreement"), agreementOf(agreement));
  byId("rates-signal").parentElement.hidden = reports.length < 2;
  draw();
}

byId("rates-signal").addEventListener("change", draw);
byId("rates-window").addEventListener("change", draw);
byId("rates-all").addEventListener("click", () => {
  all = !all;
  draw();
});

function draw() {
  const window = byId("rates-window").value;
  const wanted = shown.filter(({ signal }) => signal === byId("rates-signal").value);
  const rows = wanted.flatMap((report) => rowsOf(report, window));
  const told = rows.filter(({ estimate }) => estimate !== null);
  byId("rates-table").hidden = byId("rates-legend").hidden = rows.length === 0;
  byId("rates-window").parentElement.hidden = wanted.every(({ estimates }) => estimates.length === 0);
  reconcile(byId("rates-notes"), wanted.filter(hasNews), { key: ({ signal }) => signal, create: createNotes, update: updateNotes });
  byId("rates-all").hidden = rows.length <= FEW;
  setText(byId("rates-all"), all ? `Show the first ${FEW}` : `Show all ${count(rows.length)}`);
  setText(byId("rates-tally"), rows.length ? spanOf(rows[0].span) : "");
  const range = rangeOf(told.flatMap(({ bounds, anytime, classical }) => [bounds, anytime, classical]));
  showScale(byId("rates-scale"), range);
  reconcile(byId("rates-rows"), (all ? rows : rows.slice(0, FEW)).map((row) => ({ ...row, range })), {
    key: ({ cohort, policy_model: model, criteria_version: criteria }) => JSON.stringify([cohort, model, criteria]),
    create: createRow,
    update: updateRow,
  });
}

// All cohorts first, then those with most traces; a rate that cannot be told yet after those that can.
function rowsOf({ estimates, past }, window) {
  const same = (one) => (other) => other.cohort === one.cohort && other.policy_model === one.policy_model && other.criteria_version === one.criteria_version;
  const rows = estimates.filter(({ signal, span }) => span.name === window && signal !== CONTROLLED);
  const lengthless = estimates.filter(({ signal, span }) => span.name === window && signal === CONTROLLED);
  const current = estimates.filter(({ signal, span }) => span.name === "week" && signal !== CONTROLLED);
  const weeks = [...past.filter(({ signal }) => signal !== CONTROLLED), ...current];
  const order = ({ cohort, estimate, traces }) => [cohort === "*" ? 0 : 1, estimate === null ? 1 : 0, -traces];
  const joined = rows.map((row) => ({ ...row, controlled: lengthless.find(same(row)) ?? null, weeks: weeks.filter(same(row)) }));
  return joined.sort((a, b) => order(a).reduce((found, key, place) => found || key - order(b)[place], 0));
}

function createRow() {
  const cell = (label, name, ...children) => element("td", { "data-label": label, class: name }, ...children);
  const lines = (main, note) => [element("span", { class: "told", "data-part": main }), element("span", { class: "note", "data-part": note })];
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, ...lines("cohort", "model")),
    cell("Rate", "rate", ...lines("rate", "interval"), element("span", { class: "note", "data-part": "controlled" })),
    cell("Interval", "drawn", createWhisker(), element("span", { class: "note", "data-part": "reason" })),
    cell("Labels alone", "", element("span", { class: "told number", "data-part": "classical" })),
    cell("Labels", "", ...lines("labels", "worth")),
    cell("Weeks", "drawn", createTrend()),
  );
}

function updateRow(row, rate) {
  const part = parts(row);
  setText(part.cohort, rate.cohort === "*" ? "all cohorts" : rate.cohort);
  setText(part.model, rate.policy_model);
  setText(part.rate, percent(rate.estimate));
  setText(part.interval, rate.bounds === null ? "" : interval(rate.bounds));
  setText(part.controlled, besideOf(rate));
  setText(part.labels, `${count(rate.labels)} of ${plural(rate.traces, "trace")}`);
  setText(part.worth, worthOf(rate));
  setText(part.reason, rate.estimate === null ? (rate.reason ?? "") : "");
  setText(part.classical, rate.classical === null ? "–" : interval(rate.classical));
  updateWhisker(part.whisker, rate, tellOf(rate));
  updateTrend(part.trend, rate.weeks, rate.weeks.map((week) => `${spanOf(week.span)}: ${tellOf(week)}`).join("\n"));
}

// What the rate is without what labels correct, and without what length explains.
function besideOf({ opinion, controlled }) {
  const raw = opinion === null ? "" : `${percent(opinion)} by the model alone`;
  return [raw, controlled?.estimate == null ? "" : `${percent(controlled.estimate)} length-controlled`].filter(Boolean).join("; ");
}

function worthOf({ labels, effective_labels: worth, labels_to_halve: more }) {
  if (worth === null) return "";
  const gain = Math.round(worth - labels);
  const said = gain > 0 ? `as good as ${count(Math.round(worth))}` : "";
  return [said, more === null ? "" : `${count(more)} more halve the interval`].filter(Boolean).join("; ");
}

function tellOf({ estimate, bounds, anytime, classical, reason }) {
  if (estimate === null) return reason ?? "not known";
  const told = [`${percent(estimate)}, 95 % interval ${interval(bounds)}`];
  if (anytime !== null) told.push(`however often one looks ${interval(anytime)}`);
  if (classical !== null) told.push(`the labels alone ${interval(classical)}`);
  return told.join("; ");
}

function hasNews({ blocks, labels }) {
  return blocks.waiting + blocks.matured + blocks.dropped > 0 || Object.keys(labels).length > 0;
}

function createNotes() {
  return element(
    "li",
    {},
    element("p", { class: "note", "data-part": "blocks" }),
    element("p", { class: "note", "data-part": "labels" }),
    element("p", { class: "note", "data-tone": "warning", "data-part": "hint" }),
  );
}

function updateNotes(item, { blocks, labels, hint }) {
  const part = parts(item);
  const settled = blocks.matured + blocks.dropped;
  setText(part.blocks, blocksOf(blocks));
  setAttribute(part.blocks, "data-tone", settled && blocks.dropped / settled > LOST ? "warning" : null);
  setText(part.labels, labelsOf(labels));
  showMessage(part.hint, hint && `${sentence(hint)}.`);
}

function blocksOf({ waiting, waiting_since: since, matured, dropped }) {
  const oldest = since === null ? "" : `, the oldest for ${age(new Date(since)).replace(" ago", "")}`;
  const lost = dropped ? ` and ${count(dropped)} dropped (${Math.round((100 * dropped) / (matured + dropped))} %), since a label did not come` : "";
  const settled = matured + dropped ? `; ${count(matured)} of the last seven days counted${lost}` : "";
  return `${waiting ? `${plural(waiting, "block")} ${waiting === 1 ? "waits" : "wait"} for labels${oldest}` : "No block waits for labels"}${settled}.`;
}

function labelsOf(labels) {
  const unused = Object.entries(labels).filter(([use]) => use in WHY).sort(([, a], [, b]) => b - a);
  const waiting = labels.waiting ? `, ${count(labels.waiting)} wait for the rest of their blocks` : "";
  const rest = unused.length ? `. Not counted: ${unused.map(([use, number]) => `${count(number)} ${WHY[use]}`).join(", ")}` : "";
  return `Labels of the last seven days: ${count(labels.counted ?? 0)} counted${waiting}${rest}.`;
}

// How far to trust the verdicts themselves: by the criteria of now.
function agreementOf({ current, checks, turnover }) {
  const told = [];
  if (current !== null && current.raw !== null) {
    const chance = [["Cohen’s kappa", current.kappa], ["Krippendorff’s alpha", current.alpha]].filter(([, measure]) => measure !== null);
    const beyond = chance.map(([name, { value }]) => `${name} ${value.toFixed(2)}`).join(", ");
    const by = current.name ? ` by criteria ${current.name}` : "";
    told.push(`${plural(current.raw.annotators, "annotator")} agree on ${percent(current.raw.value)} of ${plural(current.raw.items, "item")} judged twice${by}${beyond ? `: ${beyond}` : ""}.`);
  }
  const [everybody] = checks;
  if (everybody?.agreed_with_gold) told.push(`${percent(everybody.agreed_with_gold.value)} of ${plural(everybody.agreed_with_gold.count, "gold answer")} are as known.`);
  if (everybody?.chose_first) told.push(`What stood first was chosen in ${percent(everybody.chose_first.value)} of ${plural(everybody.chose_first.count, "choice")}.`);
  if (turnover !== null) told.push(`${percent(Math.max(turnover.joined, turnover.left))} of the labels have passed to other annotators.`);
  return told.join(" ");
}

function percent(share) {
  return share === null ? "–" : `${(100 * share).toFixed(1)} %`;
}

function interval({ lower, upper }) {
  return `${(100 * lower).toFixed(1)} to ${(100 * upper).toFixed(1)}`;
}

// Whole days; the last one is left out.
function spanOf({ start, stop }) {
  const last = new Date(Date.parse(stop) - 86_400_000).toISOString().slice(0, 10);
  return start === last ? start : `${start} to ${last}`;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
