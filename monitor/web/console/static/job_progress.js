// How far a job's run has come: a bar with its figures where it counts steps, and what it said last.

import { element, parts, setAttribute, setText, showMessage } from "./dom.js";
import { bareValue, count, duration } from "./format.js";

export function createProgress() {
  return element(
    "div",
    { class: "progress", hidden: true, "data-part": "progress" },
    element("div", { class: "steps", "data-part": "steps" }, element("progress", { max: 1, "data-part": "bar" }), element("span", { "data-part": "figures" })),
    element("p", { "data-part": "line" }),
  );
}

// The figures are of a run under way; of one that has ended its last line is left.
export function updateProgress(box, job) {
  const part = parts(box);
  const run = job.state === "running" ? job.progress_detail : null;
  const counts = run !== null && run.total > 0;
  part.steps.hidden = !counts;
  if (counts) {
    const share = Math.min(run.done / run.total, 1);
    setAttribute(part.bar, "value", share);
    setAttribute(part.bar, "aria-label", `Progress of job #${job.job_id}`);
    setText(part.figures, figures(run, share));
  }
  showMessage(part.line, job.progress ?? "");
  box.hidden = !counts && part.line.hidden;
}

function figures(run, share) {
  const told = [`${run.phase}: step ${count(run.done)} of ${count(run.total)} (${Math.floor(100 * share)} %)`];
  if (run.loss !== null) told.push(`loss ${bareValue(run.loss, "")}`);
  if (run.rate !== null) told.push(`${bareValue(run.rate, "")} steps/s`);
  if (run.seconds_left !== null) told.push(`${duration(run.seconds_left)} left`);
  return told.join(" · ");
}
