// One job as a card: where it stands, what the gate said, and what an operator may ask of it.

import { change, download, hasToken } from "./api.js";
import { confirm, say } from "./dialog.js";
import { element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, plural, setTime, words } from "./format.js";
import { createFold, updateFold } from "./job_fold.js";
import { createProgress, updateProgress } from "./job_progress.js";

export const RUNS = new Set(["queued", "leased", "running", "evaluating"]);
const BAD = new Set(["failed", "failed_gate"]);
const GOOD = new Set(["passed", "promoted"]);
const QUESTIONS = {
  approve: { verb: "Approve", text: "The job is started or, where it has passed the gate, its candidate is promoted." },
  reject: { verb: "Reject", text: "The job is closed and nothing is promoted.", danger: true },
  cancel: { verb: "Cancel", text: "The run is stopped and what it has computed is not used.", danger: true },
  rollback: { verb: "Roll back", text: "The previous model becomes the champion again.", danger: true },
  keep: { verb: "Keep", text: "The bake window ends, and what was promoted stays." },
};

export function createCard({ job }) {
  return element(
    "li",
    { class: "card job", id: `job-${job.job_id}` },
    element(
      "div",
      { class: "title" },
      element("span", { class: "badge", "data-part": "state" }),
      element("strong", { "data-part": "name" }),
      element("span", { class: "orders", "data-part": "orders" }),
    ),
    element("p", { "data-part": "reason" }),
    element("p", { class: "note" }, element("span", { "data-part": "by" }), " · ", element("time", { "data-part": "updated" })),
    createProgress(),
    element("p", { class: "note", "data-part": "bake" }),
    element("p", { class: "error", "data-part": "error" }),
    createReportLink(),
    createFold(),
  );
}

// Where tokens are asked for, a link would be refused: the page is fetched with the token, and saved.
function createReportLink() {
  const link = element("a", { class: "report", target: "_blank", rel: "noopener", hidden: true, "data-part": "report" }, "Report of the verdict");
  link.addEventListener("click", async (event) => {
    if (!hasToken()) return;
    event.preventDefault();
    const path = link.getAttribute("href");
    try {
      await download(path, `job-${path.split("/").slice(-2).join("-")}.html`);
    } catch (refused) {
      say(`The report cannot be had: ${refused.message}`);
    }
  });
  return link;
}

export function updateCard(card, { job, orders, bake }, { operator, refresh }) {
  const part = parts(card);
  setAttribute(card, "data-state", RUNS.has(job.state) ? "runs" : BAD.has(job.state) ? "bad" : GOOD.has(job.state) ? "good" : "");
  setText(part.state, words(job.state));
  setText(part.name, `#${job.job_id} ${words(job.action)}`);
  setText(part.reason, job.reason);
  setText(part.by, `by ${job.requested_by}` + (job.attempt > 1 ? `, attempt ${job.attempt}` : ""));
  setTime(part.updated, job.updated_at);
  updateProgress(part.progress, job);
  showMessage(part.bake, bake === null ? "" : bakeOf(bake));
  setAttribute(part.bake, "data-tone", bake?.state === "asks" ? "bad" : bake?.state === "unseen" ? "warning" : null);
  showMessage(part.error, job.error ?? "");
  part.report.hidden = !operator || job.verdict === null;
  setAttribute(part.report, "href", `/api/v1/jobs/${job.job_id}/report`);
  updateFold(part.fold, job);
  reconcile(part.orders, operator ? orders : [], {
    key: (order) => order,
    create: (order) => createOrder(order, job, refresh),
    update: () => {},
  });
}

function bakeOf({ state, version, traces_seen: seen, traces_wanted: wanted, reason }) {
  const told = { baking: "Bake window", unseen: "Bake window, hardly seen", asks: "Bake window asks: roll back or keep?" };
  return `${told[state]}: ${count(seen)} of ${plural(wanted, "trace")} of ${version}${reason ? `: ${reason}` : ""}`;
}

function createOrder(order, job, refresh) {
  const { verb, text, danger } = QUESTIONS[order];
  const name = `job #${job.job_id} (${words(job.action)})`;
  const button = element("button", { type: "button", "aria-label": `${verb} ${name}` }, verb);
  button.addEventListener("click", () =>
    confirm({ title: `${verb} ${name}?`, text, yes: `${verb} job`, danger }, async () => {
      await change(`/api/v1/jobs/${job.job_id}/${order}`);
      say(`${verb} ${name}: done`);
      await refresh();
    }),
  );
  return button;
}
