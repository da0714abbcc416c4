// One group of alarms as a card: the leading alarm in two lines, every member in its fold.

import { change } from "./api.js";
import { say } from "./dialog.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, effect, plural, setAge, setInstant, utc, words } from "./format.js";
import { cohortOf, isReplaced, isRollUp, scorerOf } from "./stream.js";

const unfolded = new Set(); // keys of groups; a group that moves to another list stays open

export function createCard(group, refresh) {
  const button = element("button", { type: "button", "data-part": "acknowledge" });
  const fold = element(
    "details",
    { open: unfolded.has(group.key), "data-part": "fold" },
    element("summary", { "data-part": "summary" }),
    element("ul", { class: "members", "data-part": "members" }),
  );
  const card = element(
    "li",
    { class: "card alarm" },
    element(
      "div",
      { class: "heading" },
      element(
        "div",
        { class: "title" },
        element("span", { class: "badge", "data-part": "severity" }),
        element("strong", { "data-part": "moved" }),
        element("span", { class: "cohort", "data-part": "cohort" }),
        element("span", { class: "note", "data-part": "model" }),
      ),
      button,
    ),
    element(
      "p",
      { class: "finding" },
      element("span", { class: "effect", "data-part": "effect" }),
      element("span", { class: "note" }, element("span", { "data-part": "delay" }), " · ", element("time", { "data-part": "caught" })),
    ),
    element("p", { class: "note", "data-part": "note" }),
    element("p", { class: "error", role: "alert", hidden: true, "data-part": "error" }),
    fold,
  );
  fold.addEventListener("toggle", () => (fold.open ? unfolded.add(group.key) : unfolded.delete(group.key)));
  button.addEventListener("click", () => acknowledge(card, button, card.group.open).then(refresh).then(() => refocus(button)));
  return card;
}

export function updateCard(card, group, { operator, champion, refresh }) {
  const part = parts(card);
  const { alarm } = group.lead;
  card.group = group;
  setAttribute(card, "data-severity", group.rank);
  showSeverity(part.severity, group.rank);
  setText(part.moved, movedOf(alarm));
  setText(part.cohort, cohortOf(alarm.stream));
  setText(part.model, modelOf(alarm.stream, champion));
  setText(part.effect, effect(alarm.effect));
  setText(part.delay, `caught ${delayOf(group.lead)}`);
  setAge(part.caught, alarm.timestamp);
  setText(part.note, group.open.length ? "" : acknowledgedBy(group.members));
  setText(part.acknowledge, group.open.length > 1 ? `Acknowledge all ${count(group.open.length)}` : "Acknowledge");
  setAttribute(part.acknowledge, "aria-label", `${part.acknowledge.textContent}: ${movedOf(alarm)}`);
  part.acknowledge.hidden = group.open.length === 0 || !operator;
  setText(part.summary, summaryOf(group));
  reconcile(part.members, group.members, {
    key: (item) => item.alarm_id,
    create: (item) => createMember(card, item, refresh),
    update: (row, item) => updateMember(row, item, { offered: operator && group.members.length > 1, rank: group.rank }),
  });
}

function createMember(card, item, refresh) {
  const { alarm } = item;
  const label = `Acknowledge ${movedOf(alarm)}, ${cohortOf(alarm.stream)}`;
  const button = element("button", { type: "button", "aria-label": label, "data-part": "acknowledge" }, "Acknowledge");
  button.addEventListener("click", () => acknowledge(card, button, [item]).then(refresh).then(() => refocus(button)));
  return element(
    "li",
    {},
    element("span", { class: "name" }, cohortOf(alarm.stream), element("span", { class: "badge", "data-part": "severity" })),
    element("span", { "data-part": "effect" }),
    element("span", {}, delayOf(item)),
    element("span", { class: "deed" }, button, element("span", { class: "note", "data-part": "note" })),
    element(
      "p",
      { class: "note" },
      element("span", {}, `alarm ${item.alarm_id}`),
      element("span", {}, "onset ", element("time", { "data-part": "onset" })),
      element("span", {}, `caught at trace ${count(item.trace_number)}, ${utc(new Date(alarm.timestamp))}`),
    ),
    element(
      "p",
      { class: "note" },
      "examples",
      ...(alarm.examples.length ? alarm.examples : [alarm.trace_id]).map((id) => element("code", {}, id)),
    ),
  );
}

function updateMember(row, { state, alarm, acknowledged_by: by }, { offered, rank }) {
  const part = parts(row);
  showSeverity(part.severity, alarm.severity === rank ? "" : alarm.severity);
  setText(part.effect, effect(alarm.effect));
  setInstant(part.onset, alarm.onset_timestamp);
  part.acknowledge.hidden = state !== "open" || !offered;
  setText(part.note, by === null || rank === "acknowledged" ? "" : `acknowledged by ${by}`); // said once where it holds for all
}

function showSeverity(badge, severity) {
  setText(badge, severity);
  setAttribute(badge, "data-severity", severity);
}

function movedOf({ stream, direction }) {
  return `${words(stream.signal)} ${direction === "up" ? "↑ rose" : "↓ fell"}`;
}

function modelOf(stream, champion) {
  const scorer = scorerOf(stream);
  if (scorer === "") return stream.policy_model;
  return `${stream.policy_model} · ${isReplaced(stream, champion) ? "former scorer" : "scorer"} ${scorer}`;
}

function delayOf({ trace_number: caught, onset_trace_number: onset }) {
  return `after ${plural(caught - onset, "trace")}`;
}

function acknowledgedBy(members) {
  return `Acknowledged by ${[...new Set(members.map((item) => item.acknowledged_by ?? "somebody"))].join(", ")}`;
}

function summaryOf({ lead, members }) {
  const others = members.slice(1).map(({ alarm }) => cohortOf(alarm.stream));
  if (others.length === 0) return "Onset and examples";
  return `and ${plural(others.length, isRollUp(lead.alarm.stream) ? "cohort" : "more cohort")}: ${others.join(", ")}`;
}

// One request for each alarm; a refusal does not keep the others from being acknowledged.
async function acknowledge(card, button, items) {
  button.disabled = true;
  const refusals = (await Promise.all(items.map(refusalOf))).filter((refusal) => refusal !== null);
  button.disabled = false;
  showMessage(parts(card).error, refusals.length ? `Not acknowledged: ${refusals.join("; ")}` : "");
  say(`${count(items.length - refusals.length)} of ${plural(items.length, "alarm")} acknowledged`);
}

async function refusalOf({ alarm_id: id, alarm }) {
  try {
    await change(`/api/v1/alarms/${id}/acknowledge`);
    return null;
  } catch (refused) {
    return `${cohortOf(alarm.stream)}: ${refused.message}`;
  }
}

// A button that was disabled or is gone has lost the focus, and the next key would start at the page's top.
function refocus(button) {
  if (document.activeElement !== document.body && document.activeElement !== button) return;
  (button.checkVisibility() ? button : byId("alarms")).focus({ preventScroll: true });
}
