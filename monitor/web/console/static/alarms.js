// The alarms: open alerts in full, then a line of warnings and a line of what was acknowledged.

import { createCard, updateCard } from "./alarm_card.js";
import { groupAlarms } from "./alarm_group.js";
import { byId, reconcile, setText, showMessage } from "./dom.js";
import { count, plural, words } from "./format.js";

const ALL_QUIET = "No stream has drifted. An alarm appears here with its direction, onset and effect.";
const NO_BASELINE = "No baseline is frozen yet, so nothing can alarm. Alarms appear here once traces are compared with one.";

export function showAlarms(alarms, context) {
  const groups = Map.groupBy(groupAlarms(alarms), ({ rank }) => rank);
  const { alert = [], warning = [], acknowledged = [] } = Object.fromEntries(groups);
  const open = alarms.filter(({ state }) => state === "open").length;
  const order = alert.length > 1 ? ", the first caught on top" : "";
  setText(byId("alarms-tally"), open ? `${count(open)} open${order}` : "");
  showMessage(byId("alarms-empty"), alert.length ? "" : emptyOf(alarms, context));
  showGroups(byId("alarms-list"), alert, context);
  showLine("warnings", warning, "warning", context);
  showLine("acknowledged", acknowledged, "acknowledged alarm", context);
}

function emptyOf(alarms, { hasBaseline }) {
  if (alarms.length) return "No alert is open.";
  return hasBaseline ? ALL_QUIET : NO_BASELINE;
}

function showLine(id, groups, noun, context) {
  const moved = new Set(groups.map(({ lead: { alarm } }) => `${words(alarm.stream.signal)} ${alarm.direction === "up" ? "↑" : "↓"}`));
  const tally = groups.reduce((sum, { open, members }) => sum + (open.length || members.length), 0);
  byId(id).hidden = groups.length === 0;
  setText(byId(`${id}-summary`), plural(tally, noun));
  setText(byId(`${id}-signals`), [...moved].join(", "));
  showGroups(byId(`${id}-list`), groups, context);
}

function showGroups(list, groups, context) {
  reconcile(list, groups, {
    key: (group) => group.key,
    create: (group) => createCard(group, context.refresh),
    update: (card, group) => updateCard(card, group, context),
  });
}
