// What happened around an alarm, a row each in both times, and where it stands in the curves.

import { byId, element, parts, reconcile, setAttribute, setText } from "./dom.js";
import { count, setInstant } from "./format.js";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const NAMES = { roll_back: "roll-back" };

// The events that stand within the curves, each with a letter and the place where it stands: its own, or the first that
// was written at or after its wall time.
export function marksOf(events, curves) {
  const marks = [];
  events.forEach((event, index) => {
    const own = ownPlace(event, curves);
    const place = own ?? wallPlace(event, curves);
    if (place === null || marks.length >= LETTERS.length) return;
    marks.push({ index, place, kind: event.kind, letter: LETTERS[marks.length], what: event.what, apart: own === null });
  });
  return marks;
}

function ownPlace({ place, trace_time: told, kind }, { first_place: first, stop_place: stop, moments, newcomers }) {
  if (kind === "release") return newcomers.find((one) => momentOf(one.place, moments)?.trace_time.slice(0, 19) >= told.slice(0, 19))?.place ?? null;
  return place !== null && place >= first && place < stop ? place : null;
}

function wallPlace({ place, at }, { moments }) {
  if (place !== null || at === null || moments.length === 0) return null;
  const when = Date.parse(at);
  if (when < Date.parse(moments[0].logged_at)) return null;
  return moments.find(({ logged_at: logged }) => Date.parse(logged) >= when)?.place ?? null;
}

function momentOf(place, moments) {
  return moments.find((moment) => moment.place === place);
}

export function showHistory(events, marks) {
  byId("history").hidden = events.length === 0;
  const letters = new Map(marks.map(({ index, letter }) => [index, letter]));
  reconcile(byId("history-rows"), events.map((event, index) => ({ event, letter: letters.get(index) ?? "" })), {
    key: (_, index) => index,
    create: createRow,
    update: updateRow,
  });
}

function createRow() {
  return element(
    "tr",
    {},
    element("td", { class: "letter", "data-label": "Mark", "data-part": "letter" }),
    element("td", { class: "long", "data-label": "What" }, element("b", { "data-part": "kind" }), " ", element("span", { "data-part": "what" }), element("span", { class: "note", "data-part": "note" })),
    element("td", { "data-label": "Wall time" }, element("time", { "data-part": "at" })),
    element("td", { "data-label": "Trace time" }, element("time", { "data-part": "trace" }), element("span", { class: "note", "data-part": "place" })),
    element("td", { "data-label": "By", "data-part": "by" }),
  );
}

function updateRow(row, { event, letter }) {
  const part = parts(row);
  setText(part.letter, letter);
  setAttribute(row, "data-kind", event.kind);
  setText(part.kind, NAMES[event.kind] ?? event.kind);
  setText(part.what, event.what);
  setText(part.note, event.note);
  showTime(part.at, event.at);
  showTime(part.trace, event.trace_time);
  setText(part.place, event.place === null ? "" : `place ${count(event.place)}`);
  setText(part.by, event.by);
}

function showTime(node, iso) {
  if (iso !== null) return setInstant(node, iso);
  node.removeAttribute("datetime");
  setText(node, "–");
}
