// One incident as a card: what moved, the likely cause, what an operator may do, and every alarm in its fold once that is opened.

import { change, read } from "./api.js";
import { askSnooze, say } from "./dialog.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, decomposition, effect, plural, setAge, setInstant, utc, words } from "./format.js";
import { cohortOf, isReplaced, isRollUp, scorerOf } from "./stream.js";

const unfolded = new Set(); // incidents; one that moves to another list stays open
const ENDED = new Set(["recovered", "superseded"]);
const MOST = 100; // alarms in a fold; the API has the rest

export function createCard({ incident_id: id }, { refresh }) {
  const button = (part, text) => element("button", { type: "button", "data-part": part }, text);
  const acknowledge = button("acknowledge", "Acknowledge");
  const snooze = button("snooze", "Snooze…");
  const reopen = button("reopen", "Reopen");
  const fold = element(
    "details",
    { open: unfolded.has(id), "data-part": "fold" },
    element("summary", { "data-part": "summary" }),
    element("ul", { class: "members", "data-part": "members" }),
    element("p", { class: "note", "data-part": "rest" }),
  );
  const card = element(
    "li",
    { class: "card alarm", id: `incident-${id}` },
    element(
      "div",
      { class: "heading" },
      element(
        "div",
        { class: "title" },
        element("span", { class: "badge", "data-part": "severity" }),
        element("strong", {}, `Incident ${id}`),
        element("span", { class: "note" }, "began ", element("time", { "data-part": "onset" })),
        element("span", { class: "note", "data-part": "state" }),
      ),
      element("div", { class: "orders" }, acknowledge, snooze, reopen),
    ),
    element("ul", { class: "findings", "data-part": "findings" }),
    element("p", { class: "note", "data-part": "more" }),
    element("p", { class: "note", "data-part": "cause" }),
    element("p", { class: "error", role: "alert", hidden: true, "data-part": "error" }),
    fold,
  );
  const path = `/api/v1/incidents/${id}`;
  const name = `Incident ${id}`;
  fold.addEventListener("toggle", () => {
    if (!fold.open) return unfolded.delete(id);
    unfolded.add(id);
    showMembers(card);
  });
  acknowledge.addEventListener("click", () => order(card, acknowledge, `${path}/acknowledge`, `${name} acknowledged`, refresh));
  reopen.addEventListener("click", () => order(card, reopen, `${path}/reopen`, `${name} is open again`, refresh));
  snooze.addEventListener("click", () =>
    askSnooze(`Snooze ${name.toLowerCase()}?`, async (seconds) => {
      await change(`${path}/snooze`, { seconds });
      say(`${name} snoozed`);
      await refresh();
    }),
  );
  return card;
}

export function updateCard(card, told, context) {
  const { incident_id: id, urgency, facts, findings, more_findings: more, alarms } = told;
  const { operator, champion } = context;
  const part = parts(card);
  const offered = { acknowledge: ["open", "snoozed"], snooze: ["open", "acknowledged", "snoozed"], reopen: ["acknowledged", "snoozed"] };
  setAttribute(card, "data-severity", urgency);
  showBadge(part.severity, urgency === "ended" ? facts.state : urgency);
  setAge(part.onset, facts.onset_timestamp);
  setText(part.state, stateOf(facts));
  for (const [name, states] of Object.entries(offered)) {
    part[name].hidden = !operator || !states.includes(facts.state);
    setAttribute(part[name], "aria-label", `${part[name].textContent.replace("…", "")} incident ${id}`);
  }
  setText(part.cause, facts.causes.map(causeOf).join("; "));
  setText(part.summary, plural(alarms, "alarm"));
  reconcile(part.findings, findings, {
    key: ({ kind, direction, stream: { signal, policy_model: model, scorer_version: scorer } }) => JSON.stringify([kind, signal, direction, model, scorer]),
    create: createFinding,
    update: (row, finding) => updateFinding(row, finding, champion),
  });
  setText(part.more, more ? `and ${plural(more, "further finding")}` : "");
  card.told = { told, context };
  if (part.fold.open) showMembers(card);
}

// The alarms themselves are read where somebody has opened the fold, and again whenever the incident has changed.
async function showMembers(card) {
  const { told, context } = card.told ?? {};
  if (told === undefined) return; // it is just being made
  const part = parts(card);
  let members;
  try {
    ({ alarms: members } = await read(`/api/v1/incidents/${told.incident_id}`));
    if (card.told.told !== told) return; // it has changed since, and is read anew
  } catch (lost) {
    if (card.told.told === told) showMessage(part.error, `The alarms cannot be read: ${lost.message}`);
    return;
  }
  reconcile(part.members, members.slice(0, MOST), {
    key: (item) => item.alarm_id,
    create: (item) => createMember(card, item, context.refresh),
    update: (row, item) => updateMember(row, item, { offered: context.operator && members.length > 1, rank: told.urgency }),
  });
  setText(part.rest, members.length > MOST ? `and ${plural(members.length - MOST, "more alarm")}: the heatmap shows which` : "");
}

function createFinding() {
  return element(
    "li",
    {},
    element(
      "span",
      { class: "title" },
      element("b", {}, element("a", { "data-part": "moved" })),
      element("span", { class: "cohort", "data-part": "cohort" }),
      element("span", { class: "note", "data-part": "model" }),
    ),
    element("span", { class: "effect", "data-part": "effect" }),
    element("span", { class: "note", "data-part": "parts" }),
    element("span", { class: "note" }, element("span", { "data-part": "delay" }), " · ", element("time", { "data-part": "caught" })),
  );
}

function updateFinding(row, alarm, champion) {
  const { others } = alarm;
  const part = parts(row);
  setText(part.moved, movedOf(alarm));
  setAttribute(part.moved, "href", `/alarms/${alarm.alarm_id}`);
  const more = others ? ` and ${isRollUp(alarm.stream) ? `${count(others)} by ${others > 1 ? "themselves" : "itself"}` : plural(others, "more cohort")}` : "";
  setText(part.cohort, alarm.direction === null ? "" : cohortOf(alarm.stream) + more);
  setText(part.model, alarm.direction === null ? "" : modelOf(alarm.stream, champion));
  setText(part.effect, effectOf(alarm));
  setText(part.parts, partsOf(alarm));
  setText(part.delay, `caught ${delayOf(alarm)}`);
  setAge(part.caught, alarm.timestamp);
}

function createMember(card, item, refresh) {
  const { alarm } = item;
  const label = `Acknowledge ${movedOf(alarm)}, ${cohortOf(alarm.stream)}`;
  const button = element("button", { type: "button", "aria-label": label, "data-part": "acknowledge" }, "Acknowledge");
  const path = `/api/v1/alarms/${item.alarm_id}/acknowledge`;
  button.addEventListener("click", () => order(card, button, path, `Alarm ${item.alarm_id} acknowledged`, refresh));
  return element(
    "li",
    {},
    element("span", { class: "name" }, `${movedOf(alarm)}, ${cohortOf(alarm.stream)}`, element("span", { class: "badge", "data-part": "severity" })),
    element("span", { "data-part": "effect" }),
    element("span", {}, delayOf(item)),
    element("span", { class: "deed" }, button, element("span", { class: "note", "data-part": "state" })),
    element(
      "p",
      { class: "note" },
      element("a", { href: `/alarms/${item.alarm_id}` }, `alarm ${item.alarm_id}`),
      element("span", {}, "onset ", element("time", { "data-part": "onset" })),
      element("span", {}, `caught at trace ${count(item.trace_number)}, ${utc(new Date(alarm.timestamp))}`),
    ),
    element("p", { class: "note", "data-part": "verdicts" }),
    element(
      "p",
      { class: "note" },
      ...(alarm.examples.length || alarm.trace_id ? ["examples"] : []),
      ...(alarm.examples.length ? alarm.examples : [alarm.trace_id]).filter(Boolean).map((id) => element("code", {}, id)),
    ),
  );
}

function updateMember(row, item, { offered, rank }) {
  const part = parts(row);
  const { state, alarm, acknowledged_by: by, snoozed_until: until } = item;
  showBadge(part.severity, ENDED.has(state) ? state : alarm.severity === rank ? "" : alarm.severity);
  setText(part.effect, effectOf(alarm));
  setInstant(part.onset, alarm.onset_timestamp);
  part.acknowledge.hidden = state !== "open" || !offered;
  setText(part.state, state === "acknowledged" && rank !== "acknowledged" ? `acknowledged by ${by}` : until !== null && rank !== "snoozed" ? "snoozed" : "");
  setText(part.verdicts, [partsOf(alarm), alarm.effect === null ? "" : alarm.detail, ...verdictsOf(item)].filter(Boolean).join(" · "));
}

function showBadge(badge, text) {
  setText(badge, text);
  setAttribute(badge, "data-severity", text);
}

function stateOf({ state, acknowledged_by: by, snoozed_until: until, recovered_at: recovered }) {
  if (state === "acknowledged") return `acknowledged by ${by ?? "somebody"}`;
  if (state === "snoozed") return until === null ? "snoozed" : `snoozed until ${utc(new Date(until))}`;
  return recovered === null ? "" : `recovered ${utc(new Date(recovered))}`;
}

function causeOf({ cause, likelihood, because }) {
  return cause === "unknown" ? `cause unknown: ${because}` : `${likelihood} cause: ${words(cause)} (${because})`;
}

function verdictsOf({ reference_verdict: reference, reference_note: why, scorer_verdict: scorer, scorer_note: note }) {
  const told = (verdict, who, text) => (verdict === null ? "" : `${who}: ${words(verdict)}${text ? ` (${text})` : ""}`);
  return [told(reference, "asked again", why), told(scorer, "anchor set", note)];
}

function movedOf({ kind, stream, direction }) {
  if (direction === null) return words(kind);
  return `${words(stream.signal)} ${direction === "up" ? "↑ rose" : "↓ fell"}`;
}

function effectOf(alarm) {
  return alarm.effect === null ? alarm.detail : effect(alarm.effect);
}

function partsOf(alarm) {
  return alarm.decomposition === null ? "" : decomposition(alarm.decomposition);
}

function modelOf(stream, champion) {
  const scorer = scorerOf(stream);
  if (scorer === "") return stream.policy_model;
  return `${stream.policy_model} · ${isReplaced(stream, champion) ? "former scorer" : "scorer"} ${scorer}`;
}

function delayOf({ trace_number: caught, onset_trace_number: onset }) {
  return `after ${plural(caught - onset, "trace")}`;
}

async function order(card, button, path, done, refresh) {
  button.disabled = true;
  try {
    await change(path);
    showMessage(parts(card).error, "");
    say(done);
  } catch (refused) {
    showMessage(parts(card).error, `Not done: ${refused.message}`);
  }
  button.disabled = false;
  await refresh();
  refocus(button);
}

// A button that was disabled or is gone has lost the focus, and the next key would start at the page's top.
function refocus(button) {
  if (document.activeElement !== document.body && document.activeElement !== button) return;
  (button.checkVisibility() ? button : byId("alarms")).focus({ preventScroll: true });
}
