// The page of one alarm: what is said of it at once, and what is made again from the log as it comes.

import { read } from "./api.js";
import { offerAnswers } from "./alarm_answers.js";
import { showCauses } from "./alarm_causes.js";
import { showCohorts } from "./alarm_cohorts.js";
import { marksOf, showHistory } from "./alarm_history.js";
import { offerFreeze } from "./alarm_freeze.js";
import { showOrders } from "./alarm_orders.js";
import { showPlots } from "./alarm_plot.js";
import { offerStart } from "./alarm_start.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { decomposition, setInstant, utc, words } from "./format.js";
import { createFold, updateFold } from "./job_fold.js";
import { admit, askAgain, leaveFor } from "./session.js";
import { cohortOf, isRollUp, scorerOf } from "./stream.js";

const PERIOD_MILLISECONDS = 10_000;
const CURVES_EVERY = 6; // periods: they are folded again
const { kind, number } = document.documentElement.dataset;
const path = `/api/v1/alarms/${number}`;
const HALF_A_DAY_MILLISECONDS = 43_200_000;
const GOOD = new Set(["passed", "promoted"]);
const BAD = new Set(["failed", "failed_gate"]);

let told = null;
let curves = null;
let explained = null;
let period = 0;
let turn = 0;
let isOperator = false;

// What was asked for before an order was given may come after it, and is not shown.
async function refresh() {
  const mine = ++turn;
  try {
    const who = await admit();
    setText(byId("who"), `${who.name} (${who.role})`);
    isOperator = who.role === "operator";
    if (kind === "incident") return await goOn();
    const page = await read(`${path}/page`);
    if (mine !== turn) return;
    told = page;
    showMessage(byId("lost"), "");
  } catch (error) {
    return mine === turn ? lost(error) : undefined;
  }
  show();
  if (period++ % CURVES_EVERY !== 0) return;
  try {
    await Promise.all([readCurves(), readExplanation()]);
  } catch (error) {
    return lost(error);
  }
  show();
}

async function lost(error) {
  if (error.status === 401) return askAgain(error.message);
  showMessage(byId("lost"), error.status === undefined ? "The monitor does not answer." : `The monitor cannot say: ${error.message}`);
}

// An alert names an incident; its page is that of the alarm that leads it.
async function goOn() {
  const { alarms } = await read(`/api/v1/incidents/${number}`);
  const severest = alarms.filter(({ alarm }) => alarm.severity === "alert");
  const first = severest.length ? severest : alarms;
  const lead = first.find(({ alarm }) => isRollUp(alarm.stream)) ?? first[0];
  return leaveFor(`/alarms/${lead.alarm_id}`);
}

async function readCurves() {
  curves = await read(`${path}/curves`);
}

// Made of what was there at the decision, so it is read once.
async function readExplanation() {
  explained ??= await read(`${path}/explanation`);
}

function show() {
  const { stored, sentence, events, jobs, stream_id: stream } = told;
  showHead(stored, sentence);
  byId("stream").hidden = stream === null;
  setAttribute(byId("stream"), "href", `/streams/${stream}?until=${encodeURIComponent(aroundOf(stored))}`);
  showOrders(path, stored, { isOperator, refresh });
  offerStart(stored.alarm_id, byId("title").textContent, { isOperator, refresh });
  offerFreeze({ isOperator, refresh });
  const marks = curves === null ? [] : marksOf(events, curves);
  showPlots(curves, marks, stored.alarm.severity);
  showCohorts(curves, stored.alarm);
  showCauses(explained, stored);
  showJobs(jobs, stored);
  offerAnswers(path, explained, { isOperator, unit: curves?.unit ?? "" });
  showHistory(events, marks);
}

function showHead({ alarm_id: id, state, alarm, acknowledged_by: by, snoozed_until: until, recovered_at: recovered, incident_id: incident }, sentence) {
  const moved = alarm.direction === null ? words(alarm.kind) : `${words(alarm.stream.signal)} ${alarm.direction === "up" ? "rose" : "fell"}`;
  const where = alarm.direction === null ? "" : `, ${cohortOf(alarm.stream)}`;
  setText(byId("title"), `${moved}${where}`);
  document.title = `${byId("title").textContent} · alarm ${id} · rlhf-monitor`;
  setText(byId("severity"), alarm.severity);
  setAttribute(byId("severity"), "data-severity", alarm.severity);
  setText(byId("state"), words(state));
  setText(byId("sentence"), sentence);
  const scorer = scorerOf(alarm.stream);
  const model = [alarm.decomposition === null ? "" : decomposition(alarm.decomposition), scorer === "" ? "" : `scorer ${scorer}`];
  setText(byId("parts"), model.filter(Boolean).join(" · "));
  const ends = { acknowledged: `acknowledged by ${by ?? "somebody"}`, snoozed: until === null ? "snoozed" : `snoozed until ${utc(new Date(until))}`, recovered: recovered === null ? "recovered" : `recovered ${utc(new Date(recovered))}` };
  setText(byId("number"), `alarm ${id}`);
  showMessage(byId("incident"), incident === null ? "" : `incident ${incident}`);
  setAttribute(byId("incident"), "href", `/#incident-${incident}`);
  setText(byId("seen"), ends[state] ?? "");
}

// The end of a day with the alarm in its middle, or nothing to look at after it yet.
function aroundOf({ alarm }) {
  return new Date(Date.parse(alarm.timestamp) + HALF_A_DAY_MILLISECONDS).toISOString();
}

function showJobs(jobs, { alarm_id: id }) {
  byId("jobs").hidden = false;
  showMessage(byId("jobs-empty"), jobs.length ? "" : isOperator ? "No job answers it yet: Start a job… says what holds one." : "No job answers it yet. The console says what holds one.");
  reconcile(byId("jobs-list"), jobs.toReversed(), { key: (job) => job.job_id, create: createJob, update: (card, job) => updateJob(card, job, id) });
}

function createJob() {
  return element(
    "li",
    { class: "card job" },
    element("div", { class: "title" }, element("span", { class: "badge", "data-part": "state" }), element("strong", { "data-part": "name" })),
    element("p", { "data-part": "reason" }),
    element("p", { class: "note" }, element("span", { "data-part": "by" }), " · ", element("time", { "data-part": "started" })),
    element("p", { class: "error", hidden: true, "data-part": "error" }),
    createFold(),
  );
}

function updateJob(card, job, id) {
  const part = parts(card);
  setAttribute(card, "data-state", BAD.has(job.state) ? "bad" : GOOD.has(job.state) ? "good" : "runs");
  setText(part.state, words(job.state));
  setText(part.name, `#${job.job_id} ${words(job.action)}`);
  setText(part.reason, job.reason);
  setText(part.by, `by ${job.requested_by}${job.alarm_id === id ? "" : `, for alarm ${job.alarm_id} of the same incident`}`);
  setInstant(part.started, job.created_at);
  showMessage(part.error, job.error ?? "");
  updateFold(part.fold, job);
}

function tick() {
  const now = new Date();
  byId("clock").dateTime = now.toISOString();
  setText(byId("clock"), utc(now));
}

async function loop() {
  try {
    if (!document.hidden) await refresh();
  } finally {
    setTimeout(loop, PERIOD_MILLISECONDS);
  }
}

tick();
setInterval(tick, 1000);
addEventListener("resize", () => told !== null && show());
loop();
