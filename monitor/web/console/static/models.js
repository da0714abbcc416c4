// The reward models, the baseline, and the counts and chips at the top of the page.

import { read } from "./api.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { age, count, plural, setTime } from "./format.js";

const NO_MODEL = "No reward model is registered; length and refusals are watched without one. A promoted candidate appears here.";

const FEW = 5; // candidates

// The champion of a role, the model before it, and the newest of the others.
export async function readModels(role) {
  const which = ["state=champion", "state=previous", `state=candidate&limit=${FEW}`];
  return (await Promise.all(which.map((query) => read(`/api/v1/models?role=${role}&${query}`)))).flat();
}

export function showModels(rows, anchor, correlations) {
  showMessage(byId("models-empty"), rows.length ? "" : NO_MODEL);
  reconcile(byId("models-list"), rows, { key: (row) => row.version, create: createModel, update: updateModel });
  showMessage(byId("anchor"), anchor === null ? "" : anchorOf(anchor));
  setAttribute(byId("anchor"), "data-tone", anchor?.moved ? "bad" : null);
  const moved = correlations.filter(({ has_moved: has }) => has);
  showMessage(byId("correlations"), correlations.length ? `Reward goes with: ${present(correlations).map(correlationOf).join("; ")}.` : "");
  setAttribute(byId("correlations"), "data-tone", moved.length ? "warning" : null);
}

// Those of the policy model and scorer that most of the latest traces have, the strongest first, of two alike the one that moved.
function present(rows) {
  const pairs = (row) => row.current?.pairs ?? 0;
  const most = rows.reduce((best, row) => (pairs(row) > pairs(best) ? row : best));
  const own = rows.filter((row) => row.policy_model === most.policy_model && row.scorer_version === most.scorer_version);
  const size = ({ current, baseline }) => Math.abs((current ?? baseline).estimate);
  return own.sort((a, b) => size(b) - size(a) || Number(b.has_moved ?? false) - Number(a.has_moved ?? false)).slice(0, 5);
}

function correlationOf({ signal, baseline, current, has_moved: moved }) {
  const number = (told) => (told === null ? "not known" : `${told.estimate < 0 ? "−" : "+"}${Math.abs(told.estimate).toFixed(2)}`);
  return `${signal} ${number(current)} (baseline ${number(baseline)}${moved ? ", moved" : ""})`;
}

function anchorOf({ scorer_version: scorer, scored_at: at, mean, pairs, moved }) {
  const scored = `scored ${age(new Date(at))} by ${scorer}`;
  if (mean === null) return `Anchor set: ${scored} for the first time.`;
  const shift = `${mean < 0 ? "−" : "+"}${Math.abs(mean).toFixed(3)} sd from its first scores`;
  const verdict = moved ? "The scorer has changed, and its version has not." : "The scorer stands still.";
  return `Anchor set: ${plural(pairs, "fixed answer")} ${scored}, ${shift}. ${verdict}`;
}

function createModel() {
  return element(
    "li",
    {},
    element("div", { class: "title" }, element("span", { class: "badge", "data-part": "state" }), element("strong", { class: "name", "data-part": "version" })),
    element("p", { class: "note", "data-part": "accuracy" }),
    element("p", { class: "note" }, element("time", { "data-part": "created" })),
  );
}

function updateModel(row, model) {
  const part = parts(row);
  setAttribute(row, "data-role", model.state);
  setText(part.state, model.state);
  setText(part.version, model.version);
  setText(part.accuracy, accuracyOf(model.metrics));
  setTime(part.created, model.created_at);
}

export function accuracyOf(metrics) {
  if (metrics === null) return "not judged on held-out pairs";
  const percent = (ratio) => `${(100 * ratio).toFixed(1)} %`;
  const interval = `[${percent(metrics.accuracy_lower)}, ${percent(metrics.accuracy_upper)}]`;
  return `accuracy ${percent(metrics.accuracy)} ${interval} on ${plural(metrics.pairs, "held-out pair")}`;
}

export function showBaseline(baseline) {
  showMessage(byId("baseline-empty"), baseline ? "" : "None is frozen. The first one appears once enough traces were read.");
  const facts = baseline === null ? [] : [
    ["Frozen", baseline.created_at],
    ["By", baseline.created_by],
    ["From", `${plural(baseline.traces, "trace")}, ${count(baseline.first_trace)} to ${count(baseline.first_trace + baseline.traces - 1)}`],
    ...(baseline.note ? [["Note", baseline.note]] : []),
  ];
  reconcile(byId("baseline-facts"), facts, {
    key: ([name]) => name,
    create: ([name]) => element("div", {}, element("dt", {}, name), element("dd", {}, element(name === "Frozen" ? "time" : "span", { "data-part": "value" }))),
    update: (row, [name, text]) => (name === "Frozen" ? setTime(parts(row).value, text) : setText(parts(row).value, text)),
  });
}

export function showCounts(overview) {
  const [dead, skipped] = [overview.dead_letters, overview.skipped].map((counted) => Object.values(counted).reduce((sum, number) => sum + number, 0));
  const counts = [
    ["Traces", count(overview.traces), `${plural(overview.repeats, "repeat")}, ${plural(overview.duplicates, "duplicate")}`],
    ["Preferences", count(overview.preferences), "pairs that can teach a refresh"],
    ["Labels", count(overview.labels), "what people and models said of traces"],
    ["Dead letters", count(dead), listed(overview.dead_letters) || "none rejected"],
    ["Skipped", count(skipped), listed(overview.skipped) || "nothing passed over"],
    ["To be read", count(overview.kafka_lag_records), overview.kafka_lag_records === null ? "not known to this process" : "records of lag in Kafka"],
    ["To be folded", count(overview.fold_lag_traces), overview.placement_blocked_by ?? "not seen by the detectors"],
  ];
  reconcile(byId("counts"), counts, {
    key: ([name]) => name,
    create: ([name]) => element("div", {}, element("dt", {}, name), element("dd", { "data-part": "value" }), element("dd", { class: "note", "data-part": "note" })),
    update: (tile, [name, value, note]) => {
      setText(parts(tile).value, value);
      setText(parts(tile).note, note);
      setAttribute(tile, "data-tone", toneOf(name, { dead, blocked: overview.placement_blocked_by !== null }));
    },
  });
}

function listed(counted) {
  const reasons = Object.entries(counted).sort(([, a], [, b]) => b - a);
  return reasons.slice(0, 3).map(([reason, number]) => `${reason} ${count(number)}`).join(", ");
}

function toneOf(name, { dead, blocked }) {
  if (name === "To be folded" && blocked) return "bad";
  return name === "Dead letters" && dead ? "warning" : null;
}

export function showChips(readiness, overview) {
  const pages = overview.paging_incidents;
  const waiting = Object.entries(readiness.parts).filter(([, reason]) => reason !== "");
  const last = overview.last_timestamp;
  const chips = [
    ...(waiting.length ? [] : [["health", "good", "ready"]]),
    ...waiting.map(([name, reason]) => [`part ${name}`, "bad", `${name}: ${reason}`]),
    ["leader", overview.has_leader ? "good" : "bad", overview.has_leader ? "has a leader" : "no leader"],
    ["incidents", pages ? "bad" : "good", pages ? plural(pages, "open incident") : "no open incident"],
    ["last", "", last === null ? "no trace yet" : `last trace ${age(new Date(last))}`],
  ];
  reconcile(byId("chips"), chips, {
    key: ([name]) => name,
    create: () => element("li", {}),
    update: (chip, [, tone, text]) => {
      setAttribute(chip, "data-tone", tone);
      setText(chip, text);
    },
  });
}
