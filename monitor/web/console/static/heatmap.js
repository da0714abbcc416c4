// Cohorts by signals: colour and arrow say how much evidence there is and for which way, the text how far the mean lies off.

import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { change, count, plural, utc, value, words } from "./format.js";
import { meaningOf } from "./signals.js";
import { scorerOf } from "./stream.js";

const LEVELS = [0.25, 0.5, 0.7]; // of the evidence that an alarm takes
const ARROWS = { up: "↑", down: "↓" };
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

let columns = [];
let place = null; // the cell that Tab leads to: cohort and signal

export function showHeatmap({ signals, rows, page, pages, found }, { size }) {
  const held = document.activeElement?.closest("#heatmap-table td") ?? null;
  columns = signals;
  byId("heatmap-table").hidden = rows.length === 0;
  setAttribute(byId("heatmap-table"), "aria-rowcount", found + 1);
  setAttribute(byId("heatmap-table"), "aria-colcount", signals.length + 1);
  reconcile(byId("heatmap-columns"), [null, ...signals], { key: (column) => column?.signal ?? "", create: createColumn, update: updateColumn });
  const first = (page - 1) * size + 2; // the row of signals is the first
  reconcile(byId("heatmap-rows"), rows.map((row, index) => ({ ...row, number: first + index })), { key: (row) => row.cohort, create: createRow, update: updateRow });
  setText(byId("heatmap-place"), pages > 1 ? `page ${count(page)} of ${count(pages)}` : "");
  settle();
  if (held?.isConnected && document.activeElement === document.body) stopOf(held).focus({ preventScroll: true }); // a row that moves loses the focus
  if (held !== null && !held.isConnected) showMessage(byId("heatmap-detail"), "");
}

function createColumn(column) {
  if (column === null) return element("th", { scope: "col" }, "Cohort");
  return element("th", { scope: "col" }, element("span", { "data-part": "name" }), element("span", { class: "note", "data-part": "unit" }));
}

function updateColumn(head, column) {
  if (column === null) return;
  const part = parts(head);
  setText(part.name, words(column.signal));
  setText(part.unit, column.unit === "ratio" ? "points" : column.unit);
  setAttribute(head, "title", meaningOf(column.signal));
}

function createRow() {
  return element("tr", {});
}

function updateRow(row, { cohort, alarms, cells, number }) {
  const found = new Map(cells.map((cell) => [cell.signal, cell]));
  setAttribute(row, "aria-rowindex", number);
  reconcile(row, [null, ...columns], {
    key: (column) => column?.signal ?? "",
    create: (column) => (column === null ? createName() : createCell()),
    update: (node, column) => (column === null ? updateName(node, cohort, alarms) : updateCell(node, { cohort, column, cell: found.get(column.signal) ?? null })),
  });
}

function createName() {
  return element("th", { scope: "row" }, element("bdi", { class: "name", "data-part": "name" }), element("span", { "data-part": "marks" }));
}

function updateName(head, cohort, alarms) {
  const part = parts(head);
  setText(part.name, nameOf(cohort));
  setAttribute(part.name, "title", cohort.length > 40 ? cohort : null);
  reconcile(part.marks, alarms, {
    key: (mark) => mark.alarm_id,
    create: () => element("a", { class: "badge" }),
    update: (link, mark) => {
      setAttribute(link, "href", `/alarms/${mark.alarm_id}`);
      setAttribute(link, "data-severity", mark.state === "open" ? mark.severity : null);
      setText(link, words(mark.kind));
    },
  });
}

function createCell() {
  return element(
    "td",
    {},
    element(
      "a",
      { tabindex: -1, "data-part": "link" },
      element("span", { "aria-hidden": "true", "data-part": "arrow" }),
      element("span", { "data-part": "effect" }),
      element("b", { class: "flag", "aria-hidden": "true", "data-part": "flag" }),
      element("span", { class: "visually-hidden", "data-part": "said" }),
    ),
  );
}

function updateCell(node, told) {
  const part = parts(node);
  const { cell, column } = told;
  node.told = told;
  part.link.hidden = cell === null;
  setAttribute(node, "data-level", cell === null ? null : levelOf(cell));
  setAttribute(node, "data-direction", cell?.direction ?? null);
  setAttribute(node, "data-alarm", cell?.alarm?.state === "open" ? cell.alarm.severity : cell?.alarm?.state ?? null);
  setAttribute(node, "data-dim", (cell?.is_quiet || cell?.is_retired) ?? false);
  if (cell === null) return;
  setAttribute(part.link, "href", hrefOf(cell));
  setText(part.arrow, ARROWS[cell.direction] ?? "");
  setText(part.effect, change(cell.effect, column.unit));
  setText(part.flag, cell.alarm ? (cell.alarm.state === "open" ? "!" : "✓") : "");
  setText(part.said, saidOf(cell));
}

function hrefOf({ stream_id: stream, alarm }) {
  if (stream) return `/streams/${stream}`;
  return alarm ? `/alarms/${alarm.alarm_id}` : null;
}

function levelOf({ alarm, evidence }) {
  return alarm ? LEVELS.length + 1 : LEVELS.filter((least) => (evidence ?? 0) >= least).length;
}

function saidOf(cell) {
  return [`, evidence ${evidenceOf(cell)}`, alarmOf(cell), cell.is_quiet ? "quiet" : "", cell.is_retired ? "retired" : ""].filter(Boolean).join(", ");
}

function alarmOf({ alarm }) {
  if (!alarm) return "";
  return alarm.state === "open" ? `open ${alarm.severity}` : `${alarm.state} ${alarm.severity}`;
}

function evidenceOf({ evidence }) {
  return Math.max(0, evidence ?? 0).toFixed(2);
}

function nameOf(cohort) {
  return cohort === "*" ? "all cohorts" : cohort;
}

// Everything about a cell in a sentence, for whoever points at it or comes to it by keys.
function sentenceOf({ cohort, column, cell }) {
  const { unit } = column;
  const scorer = scorerOf({ signal: cell.signal, scorer_version: cell.scorer_version });
  const model = cell.policy_model === "*" ? "" : `, ${cell.policy_model}${scorer ? ` · scorer ${scorer}` : ""}`;
  return [
    `${words(cell.signal)} in ${nameOf(cohort)}${model}: ${change(cell.effect, unit)} ${unit === "ratio" ? "points" : unit}${cell.alarm ? " since its onset" : ""}`,
    `mean ${value(cell.mean, unit)}, baseline ${value(cell.baseline_mean, unit)}`,
    `evidence ${evidenceOf(cell)} of what an alarm takes`,
    plural(cell.observations, "observation"),
    alarmOf(cell),
    cell.is_quiet ? `nothing since ${utc(new Date(cell.last_timestamp))}` : "",
    cell.is_retired ? "nothing comes to this series any more" : "",
    cell.is_steady === false ? "the baseline's own window moved too much for an alert" : "",
    cell.others ? `${plural(cell.others, "further stream")} with less to say` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

// One cell is a stop of Tab; arrows go from there.
function settle() {
  const cells = [...byId("heatmap-rows").querySelectorAll("td")];
  const wanted = cells.find(({ told }) => told.cell && told.cohort === place?.cohort && told.column.signal === place?.signal) ?? cells.find(({ told }) => told.cell);
  for (const cell of cells) {
    setAttribute(cell, "tabindex", cell.told.cell ? null : -1);
    setAttribute(parts(cell).link, "tabindex", cell === wanted ? 0 : -1);
  }
}

function stopOf(cell) {
  return cell.told.cell ? parts(cell).link : cell;
}

function move(event) {
  const from = event.target.closest("td");
  if (from === null || event.altKey || event.metaKey || event.shiftKey) return;
  const to = targetOf(event, from.parentElement, from);
  if (!to) return;
  event.preventDefault();
  place = { cohort: to.told.cohort, signal: to.told.column.signal };
  settle();
  stopOf(to).focus();
}

function targetOf({ key, ctrlKey }, row, from) {
  const lines = [...row.parentElement.children];
  const cellsOf = (line) => [...line.querySelectorAll("td")];
  const column = cellsOf(row).indexOf(from);
  if (key === "Home") return cellsOf(ctrlKey ? lines[0] : row)[0];
  if (key === "End") return cellsOf(ctrlKey ? lines.at(-1) : row).at(-1);
  if (ctrlKey || !(key in STEPS)) return null;
  const [down, right] = STEPS[key];
  const line = lines[lines.indexOf(row) + down];
  return line && cellsOf(line)[column + right];
}

function tell(event) {
  const told = event.target.closest?.("td")?.told;
  if (told?.cell) showMessage(byId("heatmap-detail"), sentenceOf(told));
}

byId("heatmap-rows").addEventListener("keydown", move);
byId("heatmap-rows").addEventListener("pointerover", tell);
byId("heatmap-rows").addEventListener("focusin", (event) => {
  const cell = event.target.closest("td");
  if (cell === null) return;
  const { told } = cell;
  byId("heatmap-table").parentElement.scrollIntoView({ block: "nearest" }); // with its head, between the bar and the line that tells
  cell.scrollIntoView({ block: "nearest", inline: "nearest" }); // from under the head and the names
  place = { cohort: told.cohort, signal: told.column.signal };
  settle();
  tell(event);
});
