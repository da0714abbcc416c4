// A listing that the server gives a page at a time: the page's URL holds its filters and its place, and is asked as it is.

import { readPage } from "./api.js";
import { byId, reconcile, showMessage } from "./dom.js";
import { keepFresh } from "./frame.js";

const PERIOD_MILLISECONDS = 10_000;
const asked = new URLSearchParams(location.search);
const isFiltered = [...asked.keys()].some((name) => name !== "cursor" && name !== "limit");

// `create(row, context)` and `update(node, row, context)` make the rows of `path`; the context has who looks, `refresh`, and
// `redraw`, which shows what was read last anew. `unfold(rows)` may add rows of the page's own.
export function showListing({ path, key, create, update, empty, milliseconds = PERIOD_MILLISECONDS, unfold = (rows) => rows, after = () => {} }) {
  wireFilters();
  let draw = null; // of the latest rows
  const refresh = keepFresh(async (who, isLatest) => {
    const query = asked.toString();
    const { rows, next } = await readPage(query === "" ? path : `${path}?${query}`).catch((error) => {
      showMessage(byId("empty"), "");
      throw error;
    });
    if (!isLatest()) return;
    const context = { operator: who.role === "operator", who, refresh: () => refresh(), redraw: () => draw() };
    draw = () => reconcile(byId("rows"), unfold(rows), { key, create: (row) => create(row, context), update: (node, row) => update(node, row, context) });
    showMessage(byId("empty"), rows.length ? "" : next !== null ? "Nothing in this part; the next page looks further back." : isFiltered || asked.has("cursor") ? "Nothing is like that. Fewer filters show more." : empty);
    if (byId("table") !== null) byId("table").hidden = rows.length === 0;
    draw();
    byId("first").hidden = !asked.has("cursor");
    byId("next").hidden = next === null;
    if (next !== null) byId("next").href = `?${next}`;
    after(rows, context);
  }, milliseconds);
}

// Return what opens the card that a link names, `#job-7` say, once it is there: a link may be followed on the page itself.
export function openNamed(kind) {
  const named = () => new RegExp(`^#(${kind}-\\d+)$`).exec(location.hash)?.[1] ?? null;
  let sought = named(); // until it was shown
  const open = () => {
    const card = sought === null ? null : document.getElementById(sought);
    if (card === null) return;
    sought = null;
    card.querySelector("details").open = true;
    card.scrollIntoView();
  };
  addEventListener("hashchange", () => {
    sought = named();
    open();
  });
  return open;
}

// A form of its own would send what is empty too; a page of a filter that was changed is no page of the new one.
function wireFilters() {
  const first = new URLSearchParams(asked);
  first.delete("cursor");
  byId("first").href = `?${first}`;
  const form = byId("filters");
  if (form === null) return;
  const fields = [...form.elements].filter(({ name }) => name);
  for (const field of fields) field.value = shown(field, asked.get(field.name) ?? "");
  byId("all").hidden = !isFiltered;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = new URLSearchParams();
    for (const field of fields) if (field.value.trim() !== "") wanted.set(field.name, given(field));
    location.assign(`?${wanted}`);
  });
}

// A field of a time knows no offset; the URL and the API tell times in UTC.
function shown({ type }, text) {
  const at = type === "datetime-local" ? new Date(text) : null;
  if (at === null) return text;
  return Number.isNaN(at.getTime()) ? "" : at.toISOString().slice(0, 16);
}

function given({ type, value }) {
  return type === "datetime-local" ? `${value}Z` : value.trim();
}
