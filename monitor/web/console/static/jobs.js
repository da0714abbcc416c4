// Retraining jobs: where each stands, what the gate said, and what an operator may ask of it.

import { change, download, hasToken } from "./api.js";
import { confirm, say } from "./dialog.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, plural, setTime, words } from "./format.js";
import { createFold, updateFold } from "./job_fold.js";
import { createProgress, updateProgress } from "./job_progress.js";

const FEW = 3; // jobs before "show all"
const RUNS = new Set(["queued", "leased", "running", "evaluating"]);
const BAD = new Set(["failed", "failed_gate"]);
const GOOD = new Set(["passed", "promoted"]);
const QUESTIONS = {
  approve: { verb: "Approve", text: "The job is started or, where it has passed the gate, its candidate is promoted." },
  reject: { verb: "Reject", text: "The job is closed and nothing is promoted.", danger: true },
  cancel: { verb: "Cancel", text: "The run is stopped and what it has computed is not used.", danger: true },
  rollback: { verb: "Roll back", text: "The previous model becomes the champion again.", danger: true },
  keep: { verb: "Keep", text: "The bake window ends, and what was promoted stays." },
};

let shown = [];
let context = null;
let all = false;

export function showJobs(items, given) {
  shown = items;
  context = given;
  const live = items.filter(({ job }) => RUNS.has(job.state) || job.state === "awaiting_approval");
  setText(byId("jobs-tally"), live.length ? `${live.length} live` : "");
  showMessage(
    byId("jobs-empty"),
    items.length ? "" : "No job yet. One appears here when an alarm's rule starts it, or when you start it by hand.",
  );
  draw();
}

byId("jobs-all").addEventListener("click", () => {
  all = !all;
  draw();
});

function draw() {
  byId("jobs-all").hidden = shown.length <= FEW;
  setText(byId("jobs-all"), all ? `Show the latest ${FEW}` : `Show all ${count(shown.length)}`);
  reconcile(byId("jobs-list"), all ? shown : shown.slice(0, FEW), {
    key: ({ job }) => job.job_id,
    create: createCard,
    update: (card, item) => updateCard(card, item, context),
  });
}

function createCard() {
  return element(
    "li",
    { class: "card job" },
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

function updateCard(card, { job, orders, bake }, { operator, refresh }) {
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

// What an action lacks nobody can force, so it is offered with the reason and cannot be chosen.
export function showOffers(offers) {
  const choice = byId("start-action");
  for (const { action, lacks } of offers) {
    const option = [...choice.options].find(({ value }) => value === action);
    if (option === undefined) continue;
    setAttribute(option, "disabled", lacks !== null);
    setText(option, lacks === null ? action : `${action}: ${words(lacks.reason)}`);
    setAttribute(option, "title", lacks === null ? null : lacks.detail);
  }
  if (choice.selectedOptions[0]?.disabled) choice.value = [...choice.options].find(({ disabled }) => !disabled)?.value ?? "";
}

export function wireStartForm(refresh) {
  const reason = byId("start-reason");
  const force = byId("start-force");
  byId("start-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const action = byId("start-action").value;
    const text = reason.value.trim();
    const short = text.length < 3;
    showMessage(byId("start-error"), short ? "Say why, in a few words: the reason is kept with the job." : "");
    setAttribute(reason, "aria-invalid", short ? "true" : null);
    if (short) return reason.focus();
    confirm({ title: `Start ${words(action)}?`, text: `Reason: ${text}`, yes: "Start the job" }, async () => {
      const { job } = await change("/api/v1/jobs", { action, reason: text, force: force.checked });
      reason.value = "";
      force.checked = false;
      say(`Job #${job.job_id} started`);
      await refresh();
    });
  });
}
