// What rules and the calendar would start now, and all that holds each of them.

import { byId, element, parts, reconcile, setAttribute, setText } from "./dom.js";
import { age, utc, words } from "./format.js";

// What no alarm or fire time asks for is not worth a line.
const QUIET = new Set(["no_alarm", "not_due"]);

export function showPlan(planned) {
  const told = planned.filter(({ decision }) => !QUIET.has(decision));
  reconcile(byId("plan-list"), told.map((one, number) => ({ ...one, number })), {
    key: ({ number }) => number,
    create: () => element("li", {}, createHold(), element("ul", { "data-part": "others" })),
    update: updateRule,
  });
}

function updateRule(line, { rule, action, decision, detail, until, holds }) {
  const starts = decision === "launch";
  const what = `${words(action)} by the rule “${rule}”${detail ? `: ${detail}` : ""}`;
  updateHold(line.firstElementChild, { reason: starts ? "starts" : decision, detail: what, until });
  reconcile(parts(line).others, holds.slice(1), {
    key: ({ reason }) => reason,
    create: () => element("li", {}, createHold()),
    update: (item, hold) => updateHold(item.firstElementChild, hold),
  });
}

function createHold() {
  return element("span", {}, element("b", { "data-part": "decision" }), element("span", { "data-part": "why" }), element("span", { "data-part": "end" }));
}

function updateHold(node, { reason, detail, until }) {
  const part = parts(node);
  setText(part.decision, words(reason));
  setText(part.why, detail ? `: ${detail}` : "");
  setText(part.end, until === null ? "" : ` · ends ${age(new Date(until))}`);
  setAttribute(part.end, "title", until === null ? null : utc(new Date(until)));
}
