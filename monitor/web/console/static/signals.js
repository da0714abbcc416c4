// The signals: what each means, and which of the operator's own have had no value.

import { read } from "./api.js";
import { byId, element, parts, reconcile, setText, showMessage } from "./dom.js";
import { plural, words } from "./format.js";

const PERIOD_MILLISECONDS = 30_000; // the settings do not change while the process runs

const meanings = new Map();
let dueAt = 0;

// What a signal means, for a tip; null where nobody has said.
export function meaningOf(signal) {
  return meanings.get(signal) || null;
}

// Read and show the signals where they are due; the rest of the console does not wait for them.
export async function refreshSignals() {
  if (performance.now() < dueAt) return;
  dueAt = performance.now() + PERIOD_MILLISECONDS;
  try {
    showSignals(await read("/api/v1/signals"));
  } catch {
    dueAt = 0; // the other reads of this turn say what is wrong
  }
}

function showSignals(rows) {
  const on = rows.filter(({ is_on: isOn }) => isOn);
  for (const { name, meaning } of rows) meanings.set(name, meaning);
  const failed = on.filter(({ failures }) => failures > 0);
  showMessage(byId("signals-failed"), failed.length ? `${failed.map(troubleText).join(". ")}.` : "");
  byId("signals").hidden = on.length === 0;
  setText(byId("signals-tally"), plural(on.length, "signal"));
  setText(byId("signals-off"), on.length < rows.length ? `${rows.length - on.length} more are off` : "");
  reconcile(byId("signals-list"), on, { key: ({ name }) => name, create: createItem, update: updateItem });
}

function troubleText({ name, failures, troubles }) {
  const told = troubles.map(({ worker, failures: count, why }) => `${plural(count, "trace")} in worker ${worker}: ${why}`);
  return `${name} had no value for ${told.length > 1 ? `${plural(failures, "trace")}, ` : ""}${told.join("; ")}`;
}

function createItem() {
  return element("li", {}, element("b", { "data-part": "name" }), " ", element("span", { "data-part": "meaning" }), " ", element("span", { class: "note", "data-part": "kind" }));
}

function updateItem(item, { name, meaning, kind, unit, origin }) {
  const part = parts(item);
  setText(part.name, words(name));
  setText(part.meaning, meaning);
  setText(part.kind, `${kind}, ${unit}${origin.startsWith("own") ? `, ${origin}` : ""}`);
}
