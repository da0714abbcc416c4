// What a job's fold holds: the gate's checks and the job's history, which is read when the fold is open.

import { read } from "./api.js";
import { element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { plural, setInstant, words } from "./format.js";

export function createFold() {
  const fold = element(
    "details",
    { "data-part": "fold" },
    element("summary", { "data-part": "summary" }),
    element("ul", { class: "checks", "aria-label": "The gate's checks", "data-part": "checks" }),
    element("p", { class: "note", hidden: true, "data-part": "shadow" }),
    element("ol", { class: "events", "aria-label": "History", "data-part": "events" }),
    element("p", { class: "error", hidden: true, "data-part": "unread" }),
  );
  fold.addEventListener("toggle", () => showHistory(fold));
  return fold;
}

export function updateFold(fold, job) {
  fold.job = job;
  showVerdict(parts(fold), job.verdict);
  showHistory(fold);
}

function showVerdict(part, verdict) {
  const checks = verdict?.checks ?? [];
  const failed = checks.filter((check) => !check.passed).length;
  const judged = failed ? `Gate failed ${failed} of ${checks.length} checks` : `Gate passed, ${checks.length} checks`;
  setText(part.summary, verdict === null ? "History" : judged);
  setAttribute(part.summary, "data-passed", verdict === null ? null : verdict.passed ? "yes" : "no");
  part.checks.hidden = checks.length === 0;
  reconcile(part.checks, checks, { key: (check, index) => index, create: createCheck, update: updateCheck });
}

function createCheck() {
  return element(
    "li",
    {},
    element("span", { "data-part": "mark" }),
    element("span", {}, element("b", { "data-part": "name" }), " ", element("span", { "data-part": "reason" })),
  );
}

function updateCheck(row, check) {
  const part = parts(row);
  setText(part.mark, check.passed ? "✓ passed" : "✗ failed");
  setAttribute(row, "data-passed", check.passed ? "yes" : "no");
  setText(part.name, words(check.name));
  setText(part.reason, check.reason);
}

// The list of jobs carries no history; it is asked for once for each change of an open job.
async function showHistory(fold) {
  const { job_id: id, updated_at: version } = fold.job;
  if (!fold.open || (fold.shown === version && fold.job.state !== "passed")) return; // a passed one may be shadowed
  const part = parts(fold);
  fold.shown = version;
  try {
    const { events, shadow } = await read(`/api/v1/jobs/${id}`);
    if (fold.shown !== version) return; // it has changed since, and is read anew
    showMessage(part.shadow, shadow === null ? "" : shadowOf(shadow));
    reconcile(part.events, events, { key: (event, index) => index, create: createEvent, update: updateEvent });
    showMessage(part.unread, "");
  } catch (refused) {
    if (fold.shown !== version) return;
    fold.shown = null;
    showMessage(part.unread, `The history cannot be read: ${refused.message}`);
  }
}

function shadowOf({ traces, champion, overall, by_cohort: cohorts }) {
  const told = (line) =>
    line.correlation === null
      ? plural(line.traces, "trace")
      : `correlation ${line.correlation.toFixed(3)}, ${(100 * line.rank_agreement).toFixed(1)} % of pairs in one order, ` +
        `${line.mean_difference < 0 ? "−" : "+"}${Math.abs(line.mean_difference).toFixed(2)} sd`;
  const each = Object.entries(cohorts).map(([name, line]) => `${name}: ${told(line)}`);
  return `Beside ${champion} on ${plural(traces, "trace")}: ${told(overall)}. ${each.join("; ")}`;
}

function createEvent() {
  return element(
    "li",
    {},
    element("time", { "data-part": "at" }),
    element("span", {}, element("b", { "data-part": "state" }), " ", element("span", { "data-part": "note" })),
  );
}

function updateEvent(row, event) {
  const part = parts(row);
  setInstant(part.at, event.at);
  setText(part.state, words(event.state));
  setText(part.note, `by ${event.actor}${event.note ? `: ${event.note}` : ""}`);
}
