// Which streams moved today: a list beside the streams, folded away, for it asks nobody to act.

import { byId, element, parts, reconcile, setAttribute, setText } from "./dom.js";
import { count, plural, words } from "./format.js";
import { cohortOf, nameOf } from "./stream.js";

const MOST = 50; // rows; /api/v1/moved has the rest

export function showMoved(told) {
  const rows = told === null ? [] : told.moved;
  const fold = byId("moved");
  fold.hidden = told === null || told.streams === 0;
  if (fold.hidden) return;
  setText(byId("moved-summary"), rows.length ? `${plural(rows.length, "stream")} moved` : "No stream moved");
  setText(byId("moved-day"), `on ${told.day}, so far as the log is folded; ${count(told.streams)} were observed`);
  const share = `${(100 * told.false_share).toFixed(0)} %`;
  const more = rows.length > MOST ? ` The first ${MOST} are shown.` : "";
  const over = "Of those marked “over all days”, at most that share since the baseline.";
  setText(byId("moved-note"), `Of those told of on a day, at most ${share} have not moved, in the mean over days. ${over}${more}`);
  reconcile(byId("moved-list"), rows.slice(0, MOST), { key: (row) => nameOf(row.evidence.stream), create: createRow, update: updateRow });
}

function createRow() {
  return element(
    "li",
    {},
    element(
      "p",
      {},
      element("strong", { "data-part": "signal" }),
      element("span", { class: "name", "data-part": "cohort" }),
      element("span", { class: "note", "data-part": "model" }),
      element("span", { class: "badge", "data-part": "mark" }, "over all days"),
    ),
    element("span", { class: "note", "data-part": "evidence" }),
  );
}

function updateRow(row, { evidence, over_days: overDays }) {
  const part = parts(row);
  setText(part.signal, `${words(evidence.stream.signal)} ${evidence.direction}`);
  setText(part.cohort, cohortOf(evidence.stream));
  setText(part.model, evidence.stream.policy_model);
  setText(part.evidence, `10^${(evidence.log_e / Math.LN10).toFixed(1)} to 1, ${plural(evidence.observations, "observation")}`);
  part.mark.hidden = !overDays;
  setAttribute(row, "data-over-days", overDays);
}
