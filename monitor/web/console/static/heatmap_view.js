// What the heatmap shows of all there is: filters, pages, and what is folded away.

import { byId, element, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, plural, words } from "./format.js";
import { showHeatmap } from "./heatmap.js";
import { currentView, isNarrowed, look, queryOf } from "./view.js";

const SIZE = 40; // cohorts on a page
const PAUSE_MILLISECONDS = 300; // of typing, before what was typed is looked for
const STATES = { open: "open alarm", alarm: "any alarm", near: "near an alarm", quiet: "quiet", unsteady: "unsteady" };
const NO_BASELINE = "Cohorts appear here, with a column for each signal, once the first baseline is frozen.";
const NO_STREAM = "The baseline is frozen; its streams appear here with the next traces.";
const NO_MATCH = "No cohort is in this view.";

let typing = null;
let hasTyped = false; // since the box was entered: the first letter makes a step of history, the next ones change it

export function heatmapPath() {
  const query = new URLSearchParams(queryOf(currentView()));
  query.set("size", SIZE);
  return `/api/v1/overview/heatmap?${query}`;
}

export function showView(heatmap, { hasBaseline }) {
  const view = currentView();
  const { found, cohorts, rows, retired } = heatmap;
  byId("heatmap-filters").hidden = cohorts === 0 && !isNarrowed(view);
  byId("heatmap-legend").hidden = byId("heatmap-turns").hidden = rows.length === 0;
  setText(byId("heatmap-tally"), cohorts ? `${plural(cohorts, "cohort")}${isNarrowed(view) ? `, ${plural(found, "row")} in this view` : ""}` : "");
  showMessage(byId("heatmap-empty"), rows.length ? "" : isNarrowed(view) ? NO_MATCH : hasBaseline ? NO_STREAM : NO_BASELINE);
  byId("heatmap-all").hidden = !isNarrowed(view);
  showHeatmap(heatmap, { size: SIZE });
  showChoices(heatmap, view);
  showTurns(heatmap, view);
  byId("heatmap-retired").parentElement.hidden = retired === 0 && !view.retired;
  setText(byId("heatmap-retired-tally"), `show ${plural(retired, "retired stream")}`);
}

function showChoices({ all_signals: signals, all_models: models, states }, view) {
  const own = (names, chosen) => (chosen === "" || names.includes(chosen) ? names : [...names, chosen]);
  showOptions("heatmap-signal", ["", ...own(signals, view.signal)], view.signal, (name) => (name === "" ? "any" : words(name)));
  showOptions("heatmap-model", ["", ...own(models, view.model)], view.model, (name) => name || "any");
  showOptions("heatmap-state", ["", ...Object.keys(STATES)], view.state, (name) => (name === "" ? "any" : `${STATES[name]} (${count(states[name] ?? 0)})`));
  byId("heatmap-model").parentElement.hidden = models.length < 2 && view.model === "";
  byId("heatmap-retired").checked = view.retired;
  if (document.activeElement !== byId("heatmap-cohort")) byId("heatmap-cohort").value = view.cohort;
}

function showOptions(id, names, chosen, labelOf) {
  reconcile(byId(id), names, {
    key: (name) => name,
    create: () => element("option"),
    update: (option, name) => {
      option.value = name;
      setText(option, labelOf(name));
    },
  });
  if (byId(id).value !== chosen) byId(id).value = chosen;
}

function showTurns({ page, pages }, view) {
  for (const [id, wanted] of [["heatmap-previous", page - 1], ["heatmap-next", page + 1]]) {
    const link = byId(id);
    link.hidden = wanted < 1 || wanted > pages;
    setAttribute(link, "href", link.hidden ? null : `/${queryOf({ ...view, page: wanted })}`);
    link.page = wanted;
  }
}

function wireTurn(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // to another tab
  event.preventDefault();
  look({ page: event.currentTarget.page });
  byId("heatmap-title").scrollIntoView();
}

for (const id of ["heatmap-previous", "heatmap-next"]) byId(id).addEventListener("click", wireTurn);
for (const name of ["signal", "state", "model"]) byId(`heatmap-${name}`).addEventListener("change", ({ target }) => look({ [name]: target.value }));
byId("heatmap-retired").addEventListener("change", ({ target }) => look({ retired: target.checked }));
byId("heatmap-all").addEventListener("click", () => look({ signal: "", state: "", cohort: "", model: "" }));
byId("heatmap-filters").addEventListener("submit", (event) => event.preventDefault());

const box = byId("heatmap-cohort");
box.addEventListener("focus", () => (hasTyped = false));
box.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    look({ cohort: box.value.trim() }, { replace: hasTyped });
    hasTyped = true;
  }, PAUSE_MILLISECONDS);
});
addEventListener("popstate", () => {
  clearTimeout(typing); // what was typed belongs to the view that was left
  box.value = currentView().cohort;
});
