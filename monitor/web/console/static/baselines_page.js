// The page of baselines: what each was frozen from, and what it expects of every signal.

import { read } from "./api.js";
import { element, parts, setAttribute, setText } from "./dom.js";
import { bareValue, count, plural, setTime, value, words } from "./format.js";
import { openNamed, showListing } from "./listing.js";
import { shortVersion } from "./stream.js";

showListing({
  path: "/api/v1/baselines",
  key: ({ baseline_id: id }) => id,
  create: createCard,
  update: updateCard,
  empty: "None is frozen. The first one appears here once enough traces were read.",
  after: openNamed("baseline"),
});

function createCard({ baseline_id: id }) {
  const fold = element("details", {}, element("summary", {}, "What it expects"), element("div", { class: "unfolded", "data-part": "told" }));
  fold.addEventListener("toggle", () => fold.open && showLaws(fold, id));
  return element(
    "li",
    { class: "card", id: `baseline-${id}` },
    element("div", { class: "title" }, element("span", { class: "badge", "data-part": "active" }), element("strong", {}, `Baseline ${id}`), element("span", { class: "note" }, "frozen ", element("time", { "data-part": "created" }))),
    element("p", { "data-part": "window" }),
    element("p", { class: "note", "data-part": "by" }),
    fold,
  );
}

function updateCard(card, { active, created_at: at, created_by: by, note, traces, first_trace: first }) {
  const part = parts(card);
  setAttribute(card, "data-state", active ? "good" : "");
  setText(part.active, active ? "active" : "");
  setTime(part.created, at);
  setText(part.window, `From ${plural(traces, "trace")}, number ${count(first)} to ${count(first + traces - 1)}`);
  setText(part.by, `by ${by}${note ? `: ${note}` : ""}`);
}

// Laws are added to an active baseline now and then, so an opened one is read anew.
async function showLaws(fold, id) {
  const place = parts(fold).told;
  try {
    const { laws } = await read(`/api/v1/baselines/${id}`);
    place.replaceChildren(laws.signals.length ? tableOf(laws.signals) : element("p", { class: "empty" }, "It holds no law."), ...(laws.kinds.length ? [kindsOf(laws.kinds)] : []));
  } catch (refused) {
    place.replaceChildren(element("p", { class: "error" }, `It cannot be read: ${refused.message}`));
  }
}

function tableOf(signals) {
  const heads = ["Signal", "Scorer", "Observations", "Mean", "Accepted", "Explained by", "Made from", "Unsteady cohorts"];
  const cell = (label, text, name = null) => element("td", { "data-label": label, class: name }, text);
  const rows = signals.map((law) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, words(law.signal)),
      cell("Scorer", shortVersion(law.scorer_version), "name version"),
      cell("Observations", count(law.observations), "number"),
      cell("Mean", `${bareValue(law.mean, law.unit)} ± ${value(2 * law.standard_error, law.unit)}`, "number"),
      cell("Accepted", `−${bareValue(law.tolerance_down, law.unit)} to +${value(law.tolerance_up, law.unit)}`, "number"),
      cell("Explained by", law.uses === "mean" ? "nothing" : `${words(law.uses)}, ${(100 * law.r2).toFixed(0)} %`),
      cell("Made from", originOf(law)),
      cell("Unsteady cohorts", law.unsteady.map((cohort) => (cohort === "*" ? "all cohorts" : cohort)).join(", ") || "none", "name"),
    ),
  );
  return element("table", { class: "streams list" }, element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))), element("tbody", {}, ...rows));
}

// A signal that came after the window has a law of its own first values, and knows nothing of the time before.
function originOf({ made_from: origin, since }) {
  if (origin === "first values") return `its own first values, up to place ${count(since)}`;
  return origin === "window" ? "the window" : "the window's kept answers";
}

function kindsOf(kinds) {
  return element("p", { class: "note" }, `Kinds of prompts: ${kinds.map(({ name, share }) => `${name} ${(100 * share).toFixed(0)} %`).join(", ")}`);
}
