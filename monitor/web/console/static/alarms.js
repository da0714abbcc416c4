// The alarms nobody has dealt with, worst first, then those acknowledged.

import { change } from "./api.js";
import { say } from "./dialog.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, effect, plural, setTime, words } from "./format.js";

const RANK = { alert: 0, warning: 1 };

export function showAlarms(alarms, { operator, hasBaseline, refresh }) {
  const open = alarms.filter((item) => item.state === "open").length;
  setText(byId("alarms-tally"), open ? `${open} open` : "");
  showMessage(
    byId("alarms-empty"),
    alarms.length ? "" : hasBaseline
      ? "No stream has drifted. An alarm appears here with its direction, onset and effect."
      : "No baseline is frozen yet, so nothing can alarm. Alarms appear here once traces are compared with one.",
  );
  reconcile(byId("alarms-list"), alarms.toSorted(byUrgency), {
    key: (item) => item.alarm_id,
    create: (item) => createCard(item, refresh),
    update: (card, item) => updateCard(card, item, operator),
  });
}

function byUrgency(a, b) {
  const order = (item) => (item.state === "open" ? 0 : 10) + RANK[item.alarm.severity];
  return order(a) - order(b) || b.alarm_id - a.alarm_id;
}

function createCard(item, refresh) {
  const button = element("button", { type: "button", "data-part": "acknowledge" }, "Acknowledge");
  const card = element(
    "li",
    { class: "card alarm" },
    element(
      "div",
      { class: "title" },
      element("span", { class: "badge", "data-part": "severity" }),
      element("strong", { "data-part": "signal" }),
      element("span", { class: "direction", "data-part": "direction" }),
      element("span", { class: "cohort", "data-part": "cohort" }),
      button,
    ),
    element("p", { class: "effect", "data-part": "effect" }),
    element(
      "dl",
      { class: "facts" },
      element("dt", {}, "Onset"),
      element("dd", {}, element("time", { "data-part": "onset" })),
      element("dt", {}, "Caught"),
      element("dd", {}, element("span", { "data-part": "delay" }), " · ", element("time", { "data-part": "caught" })),
      element("dt", {}, "Policy model"),
      element("dd", { "data-part": "model" }),
      element("dt", {}, "Examples"),
      element("dd", { class: "ids", "data-part": "examples" }),
    ),
    element("p", { class: "note", "data-part": "note" }),
    element("p", { class: "error", role: "alert", hidden: true, "data-part": "error" }),
  );
  button.addEventListener("click", () => acknowledge(card, item, refresh));
  return card;
}

function updateCard(card, { state, alarm, acknowledged_by: by }, operator) {
  const part = parts(card);
  const open = state === "open";
  setAttribute(card, "data-severity", open ? alarm.severity : "acknowledged");
  setText(part.severity, alarm.severity);
  setText(part.signal, words(alarm.stream.signal));
  setText(part.direction, alarm.direction === "up" ? "↑ rose" : "↓ fell");
  setText(part.cohort, alarm.stream.cohort === "*" ? "all cohorts" : alarm.stream.cohort);
  setText(part.effect, effect(alarm.effect));
  setTime(part.onset, alarm.onset_timestamp);
  setText(part.delay, `after ${plural(alarm.trace_index - alarm.onset_index, "trace")} (trace ${count(alarm.trace_index)})`);
  setTime(part.caught, alarm.timestamp);
  setText(part.model, alarm.stream.policy_model);
  setText(part.examples, alarm.examples.length ? alarm.examples.join("  ") : alarm.trace_id);
  setText(part.note, by === null ? "" : `Acknowledged by ${by}`);
  part.acknowledge.hidden = !open || !operator;
}

async function acknowledge(card, item, refresh) {
  const { acknowledge: button, error } = parts(card);
  button.disabled = true;
  try {
    await change(`/api/v1/alarms/${item.alarm_id}/acknowledge`);
    showMessage(error, "");
    say(`Alarm ${item.alarm_id} acknowledged`);
    await refresh();
  } catch (refused) {
    showMessage(error, refused.message);
  } finally {
    button.disabled = false;
  }
}
