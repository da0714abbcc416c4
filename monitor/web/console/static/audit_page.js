// The page of the audit: who changed what, and who read what was said.

import { element, parts } from "./dom.js";
import { setInstant } from "./format.js";
import { showListing } from "./listing.js";

const PLACES = { alarm: (id) => `/alarms/${id}`, incident: (id) => `/incidents/${id}`, job: (id) => `/jobs#job-${id}`, baseline: (id) => `/baselines#baseline-${id}`, trace: (id) => `/traces?trace_id=${encodeURIComponent(id)}` };

showListing({
  path: "/api/v1/audit",
  key: ({ audit_id: id }) => id,
  create: createRow,
  update: () => {}, // a row is never changed
  empty: "Nothing was changed by anybody yet. Every change appears here with who made it.",
});

function createRow({ at, actor, role, action, subject, detail }) {
  const row = element(
    "tr",
    {},
    element("td", { "data-label": "When" }, element("time", { "data-part": "at" })),
    element("td", { class: "name", "data-label": "Who" }, actor, element("span", { class: "note" }, ` ${role}`)),
    element("th", { scope: "row" }, action),
    element("td", { class: "name", "data-label": "Of what" }, subjectOf(subject)),
    element("td", { class: "long name" }, ...Object.entries(detail).flatMap(([name, value]) => [element("span", { class: "note" }, `${name} `), element("span", {}, typeof value === "string" ? value : JSON.stringify(value)), " "])),
  );
  setInstant(parts(row).at, at);
  return row;
}

function subjectOf(subject) {
  const [, kind, name] = /^(\w+) (.+)$/s.exec(subject) ?? [];
  const isNumbered = /^\d+$/.test(name ?? "");
  if (!(kind in PLACES) || (kind !== "trace" && !isNumbered)) return subject;
  return element("a", { href: PLACES[kind](name) }, subject);
}
