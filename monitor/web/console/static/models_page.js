// The page of registered models: who serves, who did, who waits, and where each comes from.

import { read } from "./api.js";
import { appendText, element, parts, setAttribute, setText } from "./dom.js";
import { setTime, words } from "./format.js";
import { showListing } from "./listing.js";
import { accuracyOf } from "./models.js";
import { shortVersion } from "./stream.js";

const ROLES = { reward: "reward model", refusal: "refusal classifier" };

let sought = soughtModel(); // that a link names, until it was shown
let apart = null; // the same where this page of the list has it not: it stands above
let shown = null; // the listing's context

showListing({
  path: "/api/v1/models",
  key: ({ version }) => version,
  create: createCard,
  update: updateCard,
  unfold: (rows) => (apart === null || rows.some(({ version }) => version === apart.version) ? rows : [apart, ...rows]),
  empty: "No model is registered; length and refusals are watched without one. A candidate of a run appears here, and a reward model that the settings name.",
  after: (_, context) => {
    shown = context;
    showSought();
  },
});

addEventListener("hashchange", () => {
  sought = soughtModel();
  showSought();
});

function soughtModel() {
  return location.hash.startsWith("#model-") ? decodeURIComponent(location.hash.slice("#model-".length)) : null;
}

function createCard({ version, role, job_id: job, sha256 }) {
  const fold = element("details", { "data-part": "fold" }, element("summary", {}, "Lineage and card"), element("div", { class: "unfolded", "data-part": "told" }));
  fold.addEventListener("toggle", () => fold.open && showDetail(fold, version));
  return element(
    "li",
    { class: "card", id: `model-${version}` },
    element("div", { class: "title" }, element("span", { class: "badge", "data-part": "state" }), element("strong", { class: "name version" }, version), element("span", { class: "note" }, ROLES[role] ?? role), element("span", { class: "note", "data-part": "served" })),
    element("p", { class: "note", "data-part": "accuracy" }),
    element("p", { class: "note" }, "registered ", element("time", { "data-part": "created" }), ...(job === null ? [", named by the settings"] : [" by ", element("a", { href: `/jobs#job-${job}` }, `job #${job}`)])),
    element("p", { class: "note", "data-part": "note" }),
    element("p", { class: "note" }, "SHA-256 ", element("code", {}, sha256.slice(0, 16))),
    fold,
  );
}

function updateCard(card, model) {
  const part = parts(card);
  setAttribute(card, "data-role", model.state);
  setText(part.state, model.state);
  setText(part.served, model.served_as === null ? "" : `${model.role === "refusal" ? "reads" : "served"} as ${model.served_as}`);
  setText(part.accuracy, model.role === "reward" ? accuracyOf(model.metrics) : "");
  setTime(part.created, model.created_at);
  setText(part.note, model.promoted_at === null ? "" : `promoted by ${model.promoted_by}, ${model.promoted_at.slice(0, 16).replace("T", " ")}Z`);
}

async function showSought() {
  if (sought === null || shown === null) return;
  const version = sought;
  sought = null;
  if (document.getElementById(`model-${version}`) === null) {
    apart = await read(`/api/v1/models/${encodeURIComponent(version)}`).then(({ model }) => model, () => null);
    shown.redraw();
  }
  const card = document.getElementById(`model-${version}`);
  if (card === null) return;
  card.querySelector("details").open = true;
  card.scrollIntoView();
}

// A model never changes once it is registered, except that its card is written anew when it is promoted.
async function showDetail(fold, version) {
  const place = parts(fold.closest("li")).told;
  try {
    const { lineage, card, path } = await read(`/api/v1/models/${encodeURIComponent(version)}`);
    const text = element("pre", { class: "read", tabindex: 0 });
    appendText(text, card ?? "No card: it was registered by the settings, or by an earlier release.");
    place.replaceChildren(lineage === null ? element("p", { class: "empty" }, "No lineage: the settings named it.") : lineageOf(lineage), element("p", { class: "note" }, "Files: ", element("code", {}, path)), text);
  } catch (refused) {
    place.replaceChildren(element("p", { class: "error" }, `It cannot be read: ${refused.message}`));
  }
}

function lineageOf({ action, base_sha256: base, champion, scorer, data, recipe, seeds, code_version: code, libraries, devices }) {
  const facts = [
    ["Made by", words(action)],
    ["Began from", `files of SHA-256 ${base.slice(0, 16)}`],
    ["Judged against", champion === null ? "no champion" : linked(champion)],
    ["Scored by", scorer === null ? null : linked(scorer)],
    ["Given", named(data, (hash) => hash.slice(0, 16))],
    ["Recipe", named(recipe, String)],
    ["Seeds", named(seeds, String)],
    ["Code", code],
    ["Libraries", named(libraries, String)],
    ["Trained on", devices],
  ];
  const told = facts.filter(([, text]) => text !== null && text !== "");
  return element("dl", { class: "facts" }, ...told.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
}

function linked(version) {
  return element("a", { href: `/models#model-${encodeURIComponent(version)}` }, shortVersion(version));
}

function named(pairs, shown) {
  return Object.entries(pairs).map(([name, text]) => `${words(name)} ${shown(text)}`).join(", ");
}
