// The page of all registered models: who serves, who did, who waits, and where each comes from.

import { read } from "./api.js";
import { appendText, byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { plural, setTime, words } from "./format.js";
import { keepFresh } from "./frame.js";
import { accuracyOf } from "./models.js";
import { shortVersion } from "./stream.js";

const PERIOD_MILLISECONDS = 10_000;
const EMPTY = {
  reward: "No reward model is registered; length and refusals are watched without one. A promoted candidate appears here.",
  policy: "No policy is registered. One appears here with the first run that trains a policy.",
};

const STATES = ["champion", "previous", "candidate"];

let sought = new URLSearchParams(location.search).get("version"); // whose lineage the URL opens

async function refresh(_, isLatest) {
  const found = await Promise.all(Object.keys(EMPTY).map((role) => read(`/api/v1/models?role=${role}&limit=1000`)));
  if (isLatest()) Object.keys(EMPTY).forEach((role, index) => show(role, found[index]));
}

function show(role, models) {
  const rows = STATES.flatMap((state) => models.filter((model) => model.state === state));
  setText(byId(`${role}-tally`), rows.length ? plural(rows.length, "model") : "");
  showMessage(byId(`${role}-empty`), rows.length ? "" : EMPTY[role]);
  reconcile(byId(`${role}-list`), rows, { key: ({ version }) => version, create, update });
}

function create({ version, job_id: job, sha256 }) {
  const fold = element("details", { "data-part": "fold" }, element("summary", {}, "Lineage and card"), element("div", { "data-part": "told" }));
  fold.addEventListener("toggle", () => fold.open && showDetail(fold, version));
  if (version === sought) fold.open = true;
  return element(
    "li",
    { class: "card", id: `model-${version}` },
    element("div", { class: "title" }, element("span", { class: "badge", "data-part": "state" }), element("strong", { class: "name" }, version), element("span", { class: "note", "data-part": "served" })),
    element("p", { class: "note", "data-part": "accuracy" }),
    element("p", { class: "note" }, "registered ", element("time", { "data-part": "created" }), ...(job === null ? [", named by the settings"] : [" by ", element("a", { href: `/jobs#job-${job}` }, `job #${job}`)])),
    element("p", { class: "note", "data-part": "note" }),
    element("p", { class: "note" }, "SHA-256 ", element("code", {}, sha256.slice(0, 16))),
    fold,
  );
}

function update(card, model) {
  const part = parts(card);
  setAttribute(card, "data-role", model.state);
  setText(part.state, model.state);
  setText(part.served, model.served_as === null ? "" : `served as ${model.served_as}`);
  setText(part.accuracy, model.role === "reward" ? accuracyOf(model.metrics) : "");
  setTime(part.created, model.created_at);
  setText(part.note, model.promoted_at === null ? "" : `promoted by ${model.promoted_by}, ${model.promoted_at.slice(0, 16).replace("T", " ")}Z`);
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
  return element("a", { href: `?version=${encodeURIComponent(version)}#model-${encodeURIComponent(version)}` }, shortVersion(version));
}

function named(pairs, shown) {
  return Object.entries(pairs).map(([name, text]) => `${words(name)} ${shown(text)}`).join(", ");
}

keepFresh(refresh, PERIOD_MILLISECONDS);
