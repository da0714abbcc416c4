// Retraining jobs: the newest, and how one is started by hand.

import { change } from "./api.js";
import { confirm, say } from "./dialog.js";
import { byId, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, words } from "./format.js";
import { createCard, RUNS, updateCard } from "./job_card.js";

const FEW = 3; // jobs before "show all"
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
