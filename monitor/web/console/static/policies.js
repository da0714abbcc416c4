// The policies that answer, and whether whoever serves them was told of the latest change.

import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { age, plural, setTime } from "./format.js";

export function showPolicies(rows, told) {
  byId("policies").hidden = rows.length === 0;
  reconcile(byId("policies-list"), rows, { key: ({ version }) => version, create: createPolicy, update: updatePolicy });
  showMessage(byId("policies-told"), told === null ? "" : toldOf(told));
  setAttribute(byId("policies-told"), "data-tone", told?.deliveries.some(({ error }) => error !== null) ? "bad" : null);
}

function toldOf({ event, version, created_at: at, deliveries }) {
  const what = `${event === "policy.promoted" ? "Promotion" : "Roll-back"} of ${version}, ${age(new Date(at))}`;
  if (deliveries.length === 0) return `${what}: nobody was told yet.`;
  const ways = deliveries.map(({ channel, delivered_at: delivered, attempts, error }) =>
    delivered === null ? `${channel} has not taken it after ${plural(attempts, "attempt")}: ${error}` : `told by ${channel}`,
  );
  return `${what}: ${ways.join("; ")}.`;
}

function createPolicy() {
  return element(
    "li",
    {},
    element("div", { class: "title" }, element("span", { class: "badge", "data-part": "state" }), element("strong", { class: "name", "data-part": "version" })),
    element("p", { class: "note", "data-part": "served" }),
    element("p", { class: "note" }, element("time", { "data-part": "created" })),
  );
}

function updatePolicy(row, policy) {
  const part = parts(row);
  setAttribute(row, "data-role", policy.state);
  setText(part.state, policy.state);
  setText(part.version, policy.version);
  setText(part.served, policy.served_as === null ? "never promoted" : `served as ${policy.served_as}`);
  setTime(part.created, policy.created_at);
}
