// The candidate causes of an alarm, with the figures that speak for each.

import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { bareValue, words } from "./format.js";

const TESTS = { reference: "asked again", scorer: "anchor set" };

export function showCauses(told, { reference_verdict: asked, reference_note: why, scorer_verdict: scorer, scorer_note: note, policy_since: since, alarm }) {
  byId("causes").hidden = told === null;
  if (told === null) return;
  const { causes, margin, kinds, shifts, recount, decomposition } = told;
  reconcile(byId("causes-list"), causes, { key: ({ cause }, at) => `${cause} ${at}`, create: createCause, update: updateCause });
  const figures = [
    ["policy model", `${alarm.stream.policy_model}${since === null ? "" : `, first trace ${since.slice(0, 16).replace("T", " ")} UTC`}`],
    ["scorer", verdictOf(scorer, note, TESTS.scorer)],
    ["policy", verdictOf(asked, why, TESTS.reference)],
    ["prompts", decomposition === null ? "" : `${change(decomposition.prompts, decomposition.unit)} of ${change(decomposition.raw, decomposition.unit)} is what was asked; ${change(decomposition.model, decomposition.unit)} is not`],
    ["mix", kinds.map(({ name, of_late: late, usual }) => `${percent(late)} ${name}, in the baseline ${percent(usual)}`).join("; ")],
    ["input shifts", shifts.map(({ alarm_id: id, detail }) => `alarm ${id}: ${detail}`).join("; ")],
    ["had to exceed", margin === null ? "" : `${change(margin.total, margin.unit)}: own error ${bareValue(margin.error, margin.unit)}, accepted ${bareValue(margin.tolerance, margin.unit)}, wanders ${bareValue(margin.wander, margin.unit)}, mix ${bareValue(margin.kinds, margin.unit)}`],
    ["folded again", recount === null ? "the log has forgotten it" : recount.note],
  ];
  reconcile(byId("figures"), figures.filter(([, text]) => text !== ""), { key: ([name]) => name, create: createFigure, update: updateFigure });
}

function createCause() {
  return element("li", {}, element("span", { class: "badge", "data-part": "likelihood" }), " ", element("b", { "data-part": "cause" }), element("span", { "data-part": "because" }));
}

function updateCause(row, { cause, likelihood, because }) {
  const part = parts(row);
  setText(part.likelihood, likelihood);
  setAttribute(part.likelihood, "data-severity", likelihood === "shown" ? "alert" : likelihood === "likely" ? "warning" : null);
  setText(part.cause, words(cause));
  setText(part.because, `: ${because}`);
}

function createFigure() {
  return element("div", {}, element("dt", { "data-part": "name" }), element("dd", { "data-part": "text" }));
}

function updateFigure(row, [name, text]) {
  setText(parts(row).name, name);
  setText(parts(row).text, text);
}

function verdictOf(verdict, why, who) {
  return verdict === null ? "" : `${who}: ${words(verdict)}${why ? ` (${why})` : ""}`;
}

function change(number, unit) {
  return `${number > 0 ? "+" : ""}${bareValue(number, unit).replace(" %", " points")}${unit === "ratio" ? "" : ` ${unit}`}`;
}

function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}
