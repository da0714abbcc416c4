// What of the heatmap is looked at, as the page's own URL says: a link shows it to others, and Back goes back to it.

const STATES = new Set(["open", "alarm", "near", "quiet", "unsteady"]);
const MAX_CHARACTERS = 600; // more than any name has
const MAX_PAGE = 1_000_000;

const USUAL = { signal: "", state: "", cohort: "", model: "", retired: false, page: 1 };

let onChange = () => {};

// What a URL says; whatever cannot be is as if it were not said.
export function currentView() {
  const asked = new URLSearchParams(location.search);
  const text = (name) => (asked.get(name) ?? "").slice(0, MAX_CHARACTERS);
  const page = Number(asked.get("page"));
  return {
    signal: text("signal"),
    state: STATES.has(asked.get("state")) ? asked.get("state") : "",
    cohort: text("cohort"),
    model: text("model"),
    retired: asked.get("retired") === "true",
    page: Number.isInteger(page) && page >= 1 && page <= MAX_PAGE ? page : 1,
  };
}

export function isNarrowed({ signal, state, cohort, model }) {
  return signal !== "" || state !== "" || cohort !== "" || model !== "";
}

// "?state=open&page=2": what is usual is left out.
export function queryOf(view) {
  const told = Object.entries(view).filter(([name, value]) => value !== USUAL[name]);
  return told.length ? `?${new URLSearchParams(told)}` : "";
}

// Look at something else; where not said otherwise, at its first page. A text that is still being typed is one step back.
export function look(changes, { replace = false } = {}) {
  const query = queryOf({ ...currentView(), page: 1, ...changes });
  if (query === queryOf(currentView())) return;
  history[replace ? "replaceState" : "pushState"](null, "", `${location.pathname}${query}${location.hash}`);
  onChange();
}

export function wireView(changed) {
  onChange = changed;
  addEventListener("popstate", changed);
}
