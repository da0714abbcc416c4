// The page of dead letters: records that could not be read, with the reason of each.

import { element, parts } from "./dom.js";
import { bareValue, plural, setInstant, words } from "./format.js";
import { showListing } from "./listing.js";

const HELD = { cut: "cut, so it cannot be replayed", withheld: "withheld, so it cannot be replayed", unreadable: "taken apart by nobody, so it cannot be replayed", erased: "erased, so it cannot be replayed" };

showListing({
  path: "/api/v1/dead-letters",
  key: ({ letter }) => letter,
  create: createRow,
  update: () => {}, // a letter is never changed
  empty: "Every record was read. One that cannot be appears here with the reason.",
  milliseconds: 30_000,
});

function createRow({ letter, written_at: at, reason, detail, source, attempts, bytes, cannot_be_replayed: flaw }) {
  const row = element(
    "tr",
    {},
    element("td", { "data-label": "When" }, element("time", { "data-part": "at" })),
    element("th", { scope: "row" }, words(reason)),
    element("td", { class: "long name" }, detail),
    element("td", { class: "name", "data-label": "Its record" }, element("code", {}, source), element("span", { class: "note" }, ` ${bareValue(bytes, "")} bytes`)),
    element("td", { class: "name", "data-label": "Letter" }, element("code", {}, letter), element("span", { class: "note" }, " ", [attempts ? `${plural(attempts, "replay")} before` : "", flaw === null ? "" : HELD[flaw]].filter(Boolean).join("; "))),
  );
  setInstant(parts(row).at, at);
  return row;
}
