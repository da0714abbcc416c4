// Incidents with their alarms, as the page shows them: what moved, a line each, and how urgent the whole is.

import { isRollUp } from "./stream.js";

const RANK = { alert: 0, warning: 1, acknowledged: 2, snoozed: 3, ended: 4 };

// Those that page come first, then warnings, then what somebody has dealt with; within each the first told on top,
// since what moved first is the likeliest cause.
export function describeIncidents(incidents, alarms) {
  const members = Map.groupBy(alarms, ({ incident_id: id }) => id);
  return incidents
    .map(({ incident_id: id, facts }) => describe(id, facts, members.get(id) ?? []))
    .sort((a, b) => RANK[a.rank] - RANK[b.rank] || a.facts.opened_at.localeCompare(b.facts.opened_at) || a.id - b.id);
}

function describe(id, facts, alarms) {
  const members = alarms.toSorted((a, b) => a.alarm.place - b.alarm.place || a.alarm_id - b.alarm_id);
  const findings = [...Map.groupBy(members, ({ alarm }) => keyOf(alarm))]
    .map(([key, found]) => findingOf(key, found))
    .sort((a, b) => RANK[a.lead.alarm.severity] - RANK[b.lead.alarm.severity]); // a warning never stands above a page
  return { id, facts, members, findings, rank: rankOf(facts) };
}

function rankOf({ state, severity }) {
  if (state === "open") return severity;
  return state in RANK ? state : "ended";
}

function keyOf({ kind, stream, direction }) {
  return JSON.stringify([kind, stream.signal, direction, stream.policy_model, stream.scorer_version]);
}

// The roll-up's alarm leads where there is one, else the earliest; an alert leads before the warning it took the place of.
function findingOf(key, members) {
  const alerts = members.filter(({ alarm }) => alarm.severity === "alert");
  const first = alerts.length ? alerts : members;
  const lead = first.find(({ alarm }) => isRollUp(alarm.stream)) ?? first[0];
  const cohorts = new Set(members.map(({ alarm }) => alarm.stream.cohort));
  return { key, lead, others: cohorts.size - 1 };
}
