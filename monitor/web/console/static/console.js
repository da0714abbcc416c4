// The console's first page: each part is read when the server says that it has changed, or now and then where it cannot say so.

import { read, readiness } from "./api.js";
import { boardPath, showAlarms, showUntold, wireAlarms } from "./alarms.js";
import { byId, setText, showMessage } from "./dom.js";
import { age, utc } from "./format.js";
import { follow } from "./feed.js";
import { heatmapPath, showView } from "./heatmap_view.js";
import { showJobs, showOffers, wireStartForm } from "./jobs.js";
import { showBaseline, showChips, showCounts, showModels, readModels } from "./models.js";
import { showPolicies } from "./policies.js";
import { showMoved } from "./moved.js";
import { showPlan } from "./plan.js";
import { refreshProbes } from "./probes.js";
import { admit, askAgain } from "./session.js";
import { refreshSignals } from "./signals.js";
import { wireView } from "./view.js";
import { refreshRates } from "./winrate.js";

const POLL_MILLISECONDS = 5000; // where there are no events
const REST_MILLISECONDS = 60_000; // a part may change without an event: by time alone, say
const AGE_MILLISECONDS = 10_000; // between two looks at the ages on the page
const AGAIN_MILLISECONDS = 5000; // after which events are asked for again
const FULL_MILLISECONDS = 30_000; // the same where the server has no room for more
const RETRY_MILLISECONDS = 2000; // after which what could not be read is read again
const SLOW_MILLISECONDS = 2000; // between two looks at whether what changes seldom is due

// What each part reads, all of it at once.
const READS = {
  counts: () => ({ ready: readiness(), overview: read("/api/v1/overview") }),
  incidents: () => ({ board: read(boardPath()), asked: boardPath(), receivers: read("/api/v1/notifications") }),
  streams: () => ({ heatmap: read(heatmapPath()), moved: read("/api/v1/moved") }),
  jobs: () => ({ items: read("/api/v1/jobs?limit=50"), planned: read("/api/v1/jobs/plan"), offers: read("/api/v1/jobs/actions") }),
  models: () => ({
    models: readModels("reward"),
    policies: readModels("policy"),
    announcements: read("/api/v1/announcements?limit=1"),
    baseline: read("/api/v1/baseline"),
    anchor: read("/api/v1/anchor"),
    correlations: read("/api/v1/correlations"),
  }),
};
const ALL = Object.keys(READS);
const PART_OF = { health: "counts" }; // what events name otherwise

const state = {}; // the latest of all that was read
const heard = {}; // the version of each part, as events told it last
const due = new Set(); // parts to be read
let reading = null;
let who = null;
let lastGood = null; // when the page was last known to show what is
let trouble = null;
let told = { trouble: null, at: 0 };
let hasEvents = false;

// Read what is due; whoever asks meanwhile is served by one more turn.
function refresh(...parts) {
  for (const part of parts.length ? parts : ALL) due.add(part);
  reading ??= readDue().finally(() => (reading = null));
  return reading;
}

async function readDue() {
  while (due.size) {
    const parts = [...due];
    due.clear();
    try {
      who = await admit();
      Object.assign(state, await readParts(parts));
      lastGood = new Date();
      trouble = null;
      show(parts);
    } catch (error) {
      for (const part of parts) due.add(part);
      if (error.status === 401) await askAgain(error.message);
      else return lose(error);
    }
    tellTrouble();
  }
}

async function readParts(parts) {
  const asked = parts.flatMap((part) => Object.entries(READS[part]()));
  const values = await Promise.all(asked.map(([, value]) => value));
  return Object.fromEntries(asked.map(([name], index) => [name, values[index]]));
}

function lose(error) {
  if (error.status === undefined) console.warn(error);
  trouble = error.status === undefined ? "The monitor does not answer." : `The monitor cannot say: ${firstLine(error.message)}.`;
  tellTrouble();
  setTimeout(() => !document.hidden && due.size && refresh(...due), RETRY_MILLISECONDS);
}

// Read aloud whenever it changes, so its age is told once a minute.
function tellTrouble() {
  if (trouble !== null && trouble === told.trouble && Date.now() - told.at < REST_MILLISECONDS) return;
  told = { trouble, at: Date.now() };
  const since = lastGood === null ? "" : ` What is shown is from ${utc(lastGood)}, ${age(lastGood)}.`;
  showMessage(byId("lost"), trouble === null ? "" : trouble + since);
}

function show(parts) {
  if (!("baseline" in state && "board" in state)) return; // the first turn reads everything
  const context = { operator: who.role === "operator", hasBaseline: state.baseline !== null, champion: state.models.find((model) => model.state === "champion")?.version ?? null, refresh };
  for (const part of parts.includes("models") ? ALL : parts) SHOWS[part](context); // what counts as the champion is told with the rest
  byId("start").hidden = !context.operator;
  setText(byId("who"), `${who.name} (${who.role})`);
}

const SHOWS = {
  counts() {
    const pages = state.overview.paging_incidents;
    showChips(state.ready, state.overview);
    showCounts(state.overview);
    document.title = pages ? `(${pages}) rlhf-monitor` : "rlhf-monitor";
  },
  incidents(context) {
    showAlarms(state.board, { ...context, asked: state.asked });
    showUntold(state.receivers);
  },
  streams(context) {
    showView(state.heatmap, context);
    showMoved(state.moved);
  },
  jobs(context) {
    showJobs(state.items, context);
    showPlan(state.planned);
    showOffers(state.offers);
  },
  models() {
    showModels(state.models, state.anchor, state.correlations);
    showPolicies(state.policies, state.announcements[0] ?? null);
    showBaseline(state.baseline);
  },
};

// What a service said may go on for lines; its log holds them.
function firstLine(text) {
  return text.split("\n", 1)[0].replace(/[.?!]$/, "");
}

// Events for as long as somebody looks at the page; each end of a stream is followed by another try.
async function listen() {
  for (;;) {
    const pause = document.hidden || who === null ? AGAIN_MILLISECONDS : await hearOut();
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

async function hearOut() {
  const hidden = new AbortController();
  const stop = () => document.hidden && hidden.abort();
  document.addEventListener("visibilitychange", stop);
  try {
    await follow("/api/v1/overview/changes", { told: hear, alive, signal: hidden.signal });
    return 0; // its time was over, or the server stops
  } catch (error) {
    return error.status === 503 ? FULL_MILLISECONDS : AGAIN_MILLISECONDS;
  } finally {
    document.removeEventListener("visibilitychange", stop);
    hasEvents = false;
  }
}

function alive() {
  hasEvents = true;
  if (trouble === null && due.size === 0) lastGood = new Date(); // nothing has changed since
}

function hear(name, data) {
  if (name === "away") return lose({ status: 503, message: data.detail });
  const changed = Object.keys(data).filter((part) => heard[part] !== data[part]);
  Object.assign(heard, data);
  const parts = new Set(changed.map((part) => PART_OF[part] ?? part).filter((part) => part in READS));
  if (trouble !== null) refresh();
  else if (parts.size) refresh(...parts);
}

function tick() {
  const now = new Date();
  byId("clock").dateTime = now.toISOString();
  setText(byId("clock"), utc(now));
}

function every(milliseconds, task) {
  setInterval(() => !document.hidden && task(), milliseconds);
}

function refreshSlowOnes() {
  if (who === null) return;
  refreshRates();
  refreshProbes();
  refreshSignals();
}

wireStartForm(refresh);
wireAlarms(() => refresh("incidents"));
wireView(() => refresh("streams"));
tick();
setInterval(tick, 1000);
every(POLL_MILLISECONDS, () => !hasEvents && refresh());
every(REST_MILLISECONDS, () => refresh());
every(AGE_MILLISECONDS, () => {
  if (trouble === null) show(ALL);
  else tellTrouble();
});
every(SLOW_MILLISECONDS, refreshSlowOnes);
document.addEventListener("visibilitychange", () => !document.hidden && refresh());
refresh().then(refreshSlowOnes).then(listen);
