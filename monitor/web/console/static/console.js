// The console's loop: read everything, show it, again in two seconds.

import { read, readiness } from "./api.js";
import { showAlarms, wantsEnded, wireEnded } from "./alarms.js";
import { byId, setText, showMessage } from "./dom.js";
import { utc } from "./format.js";
import { showJobs, showOffers, wireStartForm } from "./jobs.js";
import { showBaseline, showChips, showCounts, showModels } from "./models.js";
import { showPolicies } from "./policies.js";
import { showMoved } from "./moved.js";
import { showPlan } from "./plan.js";
import { refreshProbes } from "./probes.js";
import { admit, askAgain } from "./session.js";
import { refreshSignals } from "./signals.js";
import { showStreams } from "./streams.js";
import { refreshRates } from "./winrate.js";

const PERIOD_MILLISECONDS = 2000;

let who = null;
let turn = 0;
let lastGood = null;

async function refresh() {
  const mine = ++turn;
  try {
    who = await admit();
    const state = await readAll();
    if (mine !== turn) return; // a later refresh has begun and knows more
    show(state);
    lastGood = new Date();
    showMessage(byId("lost"), "");
  } catch (error) {
    if (error.status === 401) return askAgain(error.message);
    const since = lastGood === null ? "" : ` What is shown is from ${utc(lastGood)}.`;
    const said = error.status === undefined ? "The monitor does not answer." : `The monitor cannot say: ${firstLine(error.message)}.`;
    showMessage(byId("lost"), said + since);
  }
}

async function readAll() {
  const states = ["open", "acknowledged", "snoozed", ...(wantsEnded() ? ["recovered", "superseded"] : [])];
  const [ready, overview, streams, moved, incidents, items, planned, offers, models, policies, told, baseline, anchor, correlations, ...alarms] = await Promise.all([
    readiness(),
    read("/api/v1/overview"),
    read("/api/v1/streams"),
    read("/api/v1/moved"),
    read(`/api/v1/incidents?limit=200&${states.map((state) => `state=${state}`).join("&")}`),
    read("/api/v1/jobs?limit=50"),
    read("/api/v1/jobs/plan"),
    read("/api/v1/jobs/actions"),
    read("/api/v1/models"),
    read("/api/v1/models?role=policy"),
    read("/api/v1/announcements?limit=1"),
    read("/api/v1/baseline"),
    read("/api/v1/anchor"),
    read("/api/v1/correlations"),
    ...states.map((state) => read(`/api/v1/alarms?state=${state}&limit=1000`)),
  ]);
  const registered = { models, policies, told: told[0] ?? null, baseline, anchor, correlations };
  return { ready, overview, streams, moved, incidents, alarms: alarms.flat(), items, planned, offers, registered };
}

function show({ ready, overview, streams, moved, incidents, alarms, items, planned, offers, registered }) {
  const { models, policies, told, baseline, anchor, correlations } = registered;
  const champion = models.champion?.version ?? null;
  const context = { operator: who.role === "operator", hasBaseline: baseline !== null, champion, refresh };
  showChips(ready, overview);
  showCounts(overview);
  showAlarms(incidents, alarms, context);
  showStreams(streams, alarms.filter(({ state }) => state === "open" || state === "acknowledged" || state === "snoozed"), context);
  refreshRates();
  refreshProbes();
  refreshSignals();
  showMoved(moved);
  showJobs(items, context);
  showPlan(planned);
  showOffers(offers);
  showModels(models, anchor, correlations);
  showPolicies(policies, told);
  showBaseline(baseline);
  byId("start").hidden = !context.operator;
  byId("review").hidden = !context.operator;
  setText(byId("who"), `${who.name} (${who.role})`);
  document.title = overview.paging_incidents ? `(${overview.paging_incidents}) rlhf-monitor` : "rlhf-monitor";
}

// What a service said may go on for lines; its log holds them.
function firstLine(text) {
  return text.split("\n", 1)[0].replace(/[.?!]$/, "");
}

function tick() {
  const now = new Date();
  byId("clock").dateTime = now.toISOString();
  setText(byId("clock"), utc(now));
}

// One refresh after the other; a page nobody looks at asks for nothing.
async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, PERIOD_MILLISECONDS);
}

wireStartForm(refresh);
wireEnded(refresh);
tick();
setInterval(tick, 1000);
document.addEventListener("visibilitychange", () => !document.hidden && refresh());
loop();
