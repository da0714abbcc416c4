// The incidents: those that page in full, then a line each of warnings and of what was acknowledged, snoozed or ended.

import { byId, reconcile, setText, showMessage } from "./dom.js";
import { plural, words } from "./format.js";
import { describeIncidents } from "./incident.js";
import { createCard, updateCard } from "./incident_card.js";

const ALL_QUIET = "No stream has drifted. An incident appears here with what moved, its onset and its likely cause.";
const NO_BASELINE = "No baseline is frozen yet, so nothing can alarm. Alarms appear here once traces are compared with one.";
const LINES = { warnings: "warning", acknowledged: "acknowledged incident", snoozed: "snoozed incident", ended: "ended incident" };
const RANKS = { warnings: "warning" };

let sought = linked(); // the incident that an alert's link names, until it was shown

function linked() {
  return /^#(incident-\d+)$/.exec(location.hash)?.[1] ?? null;
}

export function wantsEnded() {
  return byId("alarms-ended").checked;
}

export function wireEnded(refresh) {
  byId("alarms-ended").addEventListener("change", refresh);
  addEventListener("hashchange", () => {
    sought = linked();
    refresh();
  });
}

export function showAlarms(incidents, alarms, context) {
  const groups = Map.groupBy(describeIncidents(incidents, alarms), ({ rank }) => rank);
  const alert = groups.get("alert") ?? [];
  const live = incidents.filter(({ facts }) => facts.state !== "recovered" && facts.state !== "superseded");
  const order = alert.length > 1 ? ", the first told on top" : "";
  setText(byId("alarms-tally"), alert.length ? `${plural(alert.length, "open incident")}${order}` : "");
  showMessage(byId("alarms-empty"), alert.length ? "" : emptyOf(live, context));
  showCards(byId("alarms-list"), alert, context);
  for (const [id, noun] of Object.entries(LINES)) showLine(id, groups.get(RANKS[id] ?? id) ?? [], noun, context);
  showSought(context);
}

// Once: where the reader goes from there is theirs. What has ended since is looked for among what has ended.
function showSought({ refresh }) {
  if (sought === null) return;
  const card = byId(sought);
  if (card === null && !wantsEnded()) {
    byId("alarms-ended").checked = true;
    refresh();
    return;
  }
  sought = null;
  if (card === null) return;
  for (let node = card.querySelector("details"); node !== null; node = node.parentElement.closest("details")) node.open = true;
  card.scrollIntoView();
}

function emptyOf(live, { hasBaseline }) {
  if (live.length) return "No incident pages.";
  return hasBaseline ? ALL_QUIET : NO_BASELINE;
}

function showLine(id, incidents, noun, context) {
  byId(id).hidden = incidents.length === 0;
  setText(byId(`${id}-summary`), plural(incidents.length, noun));
  setText(byId(`${id}-signals`), incidents.slice(0, 3).map(({ facts }) => words(facts.summary)).join("; "));
  showCards(byId(`${id}-list`), incidents, context);
}

function showCards(list, incidents, context) {
  reconcile(list, incidents, {
    key: (incident) => incident.id,
    create: (incident) => createCard(incident, context.refresh),
    update: (card, incident) => updateCard(card, incident, context),
  });
}
