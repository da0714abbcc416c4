// Starting a job for the alarm: what rules would start by themselves and what an action lacks stand before the button.

import { change, read } from "./api.js";
import { say } from "./dialog.js";
import { byId, element, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { words } from "./format.js";
import { showPlan } from "./plan.js";

let offers = [];
let asking = 0; // the opening of the dialog whose plan is shown: one that was closed meanwhile tells nothing any more

export function offerStart(alarmId, title, { isOperator, refresh }) {
  byId("retrain").hidden = !isOperator;
  byId("retrain").onclick = () => ask(alarmId, title, refresh);
}

async function ask(alarmId, title, refresh) {
  const dialog = byId("start");
  const mine = ++asking;
  showMessage(byId("start-error"), "");
  byId("start-action").replaceChildren(); // nothing is chosen before it is known what may be: the answer would overrule it
  byId("start-reason").value = `alarm ${alarmId}: ${title}`.slice(0, byId("start-reason").maxLength);
  byId("start-force").checked = false;
  byId("start-yes").disabled = true;
  byId("start-no").onclick = () => dialog.close();
  byId("start-action").onchange = showOffer;
  byId("start-form").onsubmit = (event) => {
    event.preventDefault();
    carryOut(dialog, alarmId, refresh);
  };
  dialog.showModal();
  try {
    const [planned, offered] = await Promise.all([read("/api/v1/jobs/plan"), read("/api/v1/jobs/actions")]);
    if (mine !== asking) return;
    offers = offered;
    showPlan(planned);
    showMessage(byId("plan-empty"), byId("plan-list").childElementCount ? "" : "No rule and no calendar would start anything now.");
    showActions();
  } catch (error) {
    if (mine === asking) showMessage(byId("start-error"), `What would start cannot be told: ${error.message}`);
  }
}

function showActions() {
  const choice = byId("start-action");
  reconcile(choice, offers, { key: ({ action }) => action, create: ({ action }) => element("option", { value: action }), update: updateAction });
  choice.value = offers.find(({ lacks }) => lacks === null)?.action ?? offers[0]?.action ?? "";
  showOffer();
}

function updateAction(option, { action, lacks }) {
  setAttribute(option, "disabled", lacks !== null);
  setText(option, lacks === null ? words(action) : `${words(action)}: ${words(lacks.reason)}`);
}

function showOffer() {
  const lacking = offers.filter(({ lacks }) => lacks !== null).map(({ action, lacks }) => `${words(action)} cannot start: ${words(lacks.reason)}${lacks.detail ? `, ${lacks.detail}` : ""}.`);
  showMessage(byId("start-lacks"), lacking.join(" "));
  byId("start-yes").disabled = offers.every(({ lacks }) => lacks !== null);
}

async function carryOut(dialog, alarmId, refresh) {
  byId("start-yes").disabled = true;
  try {
    const order = { action: byId("start-action").value, reason: byId("start-reason").value.trim(), force: byId("start-force").checked, alarm_id: alarmId };
    const { job } = await change("/api/v1/jobs", order);
    dialog.close();
    say(`Job ${job.job_id} is ${words(job.state)}`);
    await refresh();
    byId("jobs").scrollIntoView({ block: "nearest" });
    byId("told").focus({ preventScroll: true });
  } catch (refused) {
    showMessage(byId("start-error"), `Not started: ${refused.message}`);
    byId("start-yes").disabled = false;
  }
}
