// The incidents: those that page in full, then a line each of warnings and of what was acknowledged, snoozed or ended.

import { byId, reconcile, setText, showMessage } from "./dom.js";
import { count, plural, utc, words } from "./format.js";
import { createCard, updateCard } from "./incident_card.js";

const ALL_QUIET = "No stream has drifted. An incident appears here with what moved, its onset and its likely cause.";
const NO_BASELINE = "No baseline is frozen yet, so nothing can alarm. Alarms appear here once traces are compared with one.";
const LINES = { warnings: "warning", acknowledged: "acknowledged incident", snoozed: "snoozed incident", ended: "ended incident" };
const URGENCIES = { warnings: "warning" };
const FEW = 10; // cards of each urgency
const MANY = 200;

let limit = FEW;
let sought = linked(); // the incident that an alert's link names, until it was shown

function linked() {
  return /^#(incident-\d+)$/.exec(location.hash)?.[1] ?? null;
}

export function boardPath() {
  return `/api/v1/overview/incidents?limit=${limit}${byId("alarms-ended").checked ? "&ended=true" : ""}`;
}

export function wireAlarms(refresh) {
  byId("alarms-ended").addEventListener("change", refresh);
  byId("alarms-more").addEventListener("click", () => {
    limit = limit === FEW ? MANY : FEW;
    refresh();
  });
  addEventListener("hashchange", () => {
    sought = linked();
    refresh();
  });
}

export function showAlarms({ cards, totals }, context) {
  const groups = Map.groupBy(cards, ({ urgency }) => urgency);
  const alert = totals.alert ?? 0;
  setText(byId("alarms-tally"), alert ? `${plural(alert, "open incident")}${alert > 1 ? ", the first told on top" : ""}` : "");
  showMessage(byId("alarms-empty"), alert ? "" : emptyOf(totals, context));
  showCards(byId("alarms-list"), groups.get("alert") ?? [], context);
  for (const [id, noun] of Object.entries(LINES)) showLine(id, URGENCIES[id] ?? id, { groups, totals, noun }, context);
  const left = Object.values(totals).reduce((sum, number) => sum + number, 0) - cards.length;
  byId("alarms-more").hidden = left === 0 && limit === FEW;
  setText(byId("alarms-more"), limit === FEW ? `Show ${count(left)} more` : `Show the first ${FEW} of each`);
  showSought(context);
}

// Who should have been told of these incidents by the daemon itself, and was not.
export function showUntold(receivers) {
  const failing = receivers.filter(({ error }) => error !== null);
  byId("untold").hidden = failing.length === 0;
  setText(byId("untold-who"), failing.map(({ receiver, failing_since: since, error }) => `${receiver} cannot be told since ${utc(new Date(since))}: ${error}.`).join(" "));
}

// Once: where the reader goes from there is theirs. What is not among the first, or has ended since, is asked for.
function showSought({ refresh, asked }) {
  if (sought === null || asked !== boardPath()) return; // the rest is being read
  const card = byId(sought);
  if (card === null && (!byId("alarms-ended").checked || limit !== MANY)) {
    byId("alarms-ended").checked = true;
    limit = MANY;
    refresh();
    return;
  }
  sought = null;
  if (card === null) return;
  for (let node = card.querySelector("details"); node !== null; node = node.parentElement.closest("details")) node.open = true;
  card.scrollIntoView();
}

function emptyOf({ warning = 0, acknowledged = 0, snoozed = 0 }, { hasBaseline }) {
  if (warning + acknowledged + snoozed) return "No incident pages.";
  return hasBaseline ? ALL_QUIET : NO_BASELINE;
}

function showLine(id, urgency, { groups, totals, noun }, context) {
  const cards = groups.get(urgency) ?? [];
  byId(id).hidden = cards.length === 0;
  setText(byId(`${id}-summary`), plural(totals[urgency] ?? 0, noun));
  setText(byId(`${id}-signals`), cards.slice(0, 3).map(({ facts }) => words(facts.summary)).join("; "));
  showCards(byId(`${id}-list`), cards, context);
}

function showCards(list, cards, context) {
  reconcile(list, cards, {
    key: (card) => card.incident_id,
    create: (card) => createCard(card, context),
    update: (node, card) => updateCard(node, card, context),
  });
}
