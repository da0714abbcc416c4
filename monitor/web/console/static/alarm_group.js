// What one drift raises: alarms of one signal, direction, policy model and scorer, over many cohorts.

import { isRollUp } from "./stream.js";

const RANK = { alert: 0, warning: 1, acknowledged: 2 };

// Group the alarms, alerts before warnings before what was acknowledged; within each the first caught
// comes first, since what moved first is the likeliest cause.
export function groupAlarms(alarms) {
  const groups = Map.groupBy(alarms, ({ alarm }) => keyOf(alarm));
  return [...groups].map(([key, members]) => groupOf(key, members)).sort(byUrgency);
}

function keyOf({ stream, direction }) {
  return JSON.stringify([stream.signal, direction, stream.policy_model, stream.scorer_version]);
}

// The roll-up leads where it alarmed, else the earliest; `open` holds what nobody has acknowledged.
function groupOf(key, alarms) {
  const earliest = alarms.toSorted(byCaught);
  const lead = earliest.find(({ alarm }) => isRollUp(alarm.stream)) ?? earliest[0];
  const members = [lead, ...earliest.filter((item) => item !== lead)];
  const open = members.filter(({ state }) => state === "open");
  return { key, lead, members, open, first: earliest[0], rank: rankOf(open) };
}

function rankOf(open) {
  if (open.length === 0) return "acknowledged";
  return open.some(({ alarm }) => alarm.severity === "alert") ? "alert" : "warning";
}

function byUrgency(a, b) {
  return RANK[a.rank] - RANK[b.rank] || byCaught(a.first, b.first);
}

function byCaught(a, b) {
  return a.alarm.place - b.alarm.place || a.alarm_id - b.alarm_id;
}
