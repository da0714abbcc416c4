// The cohorts of an alarm over time, those that contribute most on top.

import { byId, element, parts, reconcile, setAttribute, setText, svg } from "./dom.js";
import { bareValue, count } from "./format.js";

const LEVELS = 4; // of colour, to either side
const WIDTH = 240;
const HEIGHT = 20;

export function showCohorts(curves, alarm) {
  const rows = curves?.cohorts ?? [];
  byId("cohorts").hidden = rows.length === 0;
  if (rows.length === 0) return;
  const { unit, edges, first_place: first, stop_place: stop } = curves;
  const furthest = Math.max(...rows.flatMap(({ cells }) => cells.map((cell) => Math.abs(cell ?? 0))), 1e-9);
  const onset = (alarm.onset_place - first) / (stop - first);
  const total = rows.reduce((sum, { part }) => sum + part.contribution, 0);
  reconcile(byId("cohorts-rows"), rows, { key: ({ cohort }) => cohort, create: createRow, update: (row, one) => updateRow(row, one, { unit, edges, furthest, onset, total, first, stop }) });
  setText(byId("cohorts-note"), `Each cell is the mean of a stretch of the log beside that cohort's own baseline; the line is the onset. The darkest is ${shown(furthest, unit)} away. A hatched cell has too few observations.`);
}

function createRow() {
  return element(
    "tr",
    {},
    element("th", { scope: "row", class: "name", "data-part": "cohort" }),
    element("td", { class: "number", "data-label": "Of the effect", "data-part": "contribution" }),
    element("td", { class: "number", "data-label": "By itself", "data-part": "effect" }),
    element("td", { class: "number", "data-label": "Observations", "data-part": "observations" }),
    element("td", { class: "long", "data-label": "Beside its baseline" }, svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "cells", "data-part": "cells" })),
  );
}

function updateRow(row, { cohort, part: share, cells }, { unit, edges, furthest, onset, total, first, stop }) {
  const part = parts(row);
  setText(part.cohort, cohort);
  setText(part.contribution, `${shown(share.contribution, unit)} (${Math.round((100 * share.contribution) / total)} %)`);
  setText(part.effect, shown(share.effect, unit));
  setText(part.observations, count(share.observations));
  const x = (place) => (WIDTH * (place - first)) / (stop - first);
  const drawn = cells.map((cell, at) =>
    svg("rect", { x: x(edges[at]).toFixed(1), width: (x(edges[at + 1]) - x(edges[at])).toFixed(1), height: HEIGHT, class: "cell", "data-level": levelOf(cell, furthest) }),
  );
  part.cells.replaceChildren(...drawn, svg("line", { x1: (WIDTH * onset).toFixed(1), x2: (WIDTH * onset).toFixed(1), y1: 0, y2: HEIGHT, class: "onset" }));
  setAttribute(part.cells, "aria-label", `${cohort} over time, from ${shown(cells.find((cell) => cell !== null) ?? null, unit)} to ${shown(cells.findLast((cell) => cell !== null) ?? null, unit)} beside its baseline`);
}

function levelOf(cell, furthest) {
  return cell === null ? "none" : Math.round((LEVELS * cell) / furthest);
}

function shown(number, unit) {
  if (number === null) return "–";
  const told = bareValue(number, unit).replace(" %", " points");
  return `${number > 0 ? "+" : ""}${told}${unit === "ratio" ? "" : ` ${unit}`}`;
}
