// The page of stored traces: found by id, cohort, model and time, a line each; what was said is asked for by itself.

import { read } from "./api.js";
import { appendText, element, parts, setAttribute, setText, showMessage } from "./dom.js";
import { bareValue, count, plural, setInstant, words } from "./format.js";
import { showListing } from "./listing.js";

const COLUMNS = 7;
const unfolded = new Set(); // traces whose values stand in a row of their own, under the trace's

showListing({
  path: "/api/v1/traces",
  key: ({ trace_id: id, isDetail }) => JSON.stringify([id, isDetail]),
  create: (row, context) => (row.isDetail ? createDetail(row, context) : createRow(row, context)),
  update: (node, row) => row.isDetail || updateRow(node, row),
  unfold: (rows) => rows.flatMap((row) => [row, ...(unfolded.has(row.trace_id) ? [{ trace_id: row.trace_id, isDetail: true }] : [])]),
  empty: "No trace is stored yet. They appear here as the worker reads them.",
});

function createRow({ trace_id: id }, { redraw }) {
  const fold = element("button", { type: "button", class: "unfold", "aria-expanded": "false" }, element("code", {}, id));
  fold.addEventListener("click", () => {
    if (!unfolded.delete(id)) unfolded.add(id);
    setAttribute(fold, "aria-expanded", String(unfolded.has(id)));
    redraw();
  });
  const cell = (label, part, name = null) => element("td", { "data-label": label, "data-part": part, class: name });
  return element(
    "tr",
    {},
    element("th", { scope: "row", class: "name" }, fold),
    element("td", { "data-label": "Its time" }, element("time", { "data-part": "at" })),
    cell("Cohort", "cohort", "name"),
    cell("Policy model", "model", "name"),
    cell("Tokens", "tokens", "number"),
    cell("Latency", "latency", "number"),
    cell("Marks", "marks"),
  );
}

function updateRow(row, trace) {
  const part = parts(row);
  setInstant(part.at, trace.timestamp);
  setText(part.cohort, trace.cohort);
  setText(part.model, trace.policy_model);
  setText(part.tokens, `${count(trace.input_tokens)} → ${count(trace.output_tokens)}`);
  setText(part.latency, trace.latency_seconds === null ? "–" : `${bareValue(trace.latency_seconds, "s")} s`);
  setText(part.marks, marksOf(trace).join(", "));
}

function marksOf({ failed, repeated, truncated, tool_calls: calls, feedback_rating: rating, finish_reason: finish }) {
  return [
    failed && "failed",
    repeated && "repeated, so no observation",
    truncated && "cut when it was stored",
    calls > 0 && plural(calls, "tool call"),
    rating !== null && `rated ${bareValue(rating, "")}`,
    finish !== null && finish !== "stop" && `ended by ${words(finish)}`,
  ].filter(Boolean);
}

function createDetail({ trace_id: id }, { operator }) {
  const place = element("div", { class: "unfolded" }, element("p", { class: "empty" }, "Reading…"));
  showDetail(place, id, operator);
  return element("tr", {}, element("td", { class: "long", colspan: COLUMNS }, place));
}

async function showDetail(place, id, operator) {
  try {
    const { scores, observations } = await read(`/api/v1/traces/${encodeURIComponent(id)}`);
    const facts = [
      ...observations.map(({ signal, value, scorer_version: version }) => [words(signal), `${bareValue(value, "")} (${version})`]),
      ...scores.map(({ scorer_version: version, mean, disagreement }) => ["score", `${bareValue(mean, "")}, disagreement ${bareValue(disagreement, "")} (${version})`]),
    ];
    const list = element("dl", { class: "facts" }, ...facts.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
    place.replaceChildren(facts.length ? list : element("p", { class: "empty" }, "It has no value of any signal."), ...(operator ? [textOf(id)] : []));
  } catch (refused) {
    place.replaceChildren(element("p", { class: "error" }, `It cannot be read: ${refused.message}`));
  }
}

// The audit keeps that it was read, so it is read on request alone.
function textOf(id) {
  const button = element("button", { type: "button", "aria-label": `Read what was said in ${id}` }, "Read what was said");
  const refused = element("p", { class: "error", role: "alert", hidden: true });
  const box = element("div", {}, button, element("span", { class: "note" }, " The audit keeps that you read it."), refused);
  button.addEventListener("click", async () => {
    setAttribute(button, "disabled", true);
    try {
      const { text } = await read(`/api/v1/traces/${encodeURIComponent(id)}?text=true`);
      const told = spokenOf(text);
      box.replaceChildren(...told);
      told[0].focus();
    } catch (error) {
      setAttribute(button, "disabled", null);
      showMessage(refused, `It cannot be read: ${error.message}`);
    }
  });
  return box;
}

function spokenOf({ messages, response, reference_response: reference, error, conversation_id: conversation, user_id: user }) {
  const said = [...messages.map(({ role, content }) => [role, content]), ["answer", response], ["reference answer", reference], ["error", error]].filter(([, text]) => text !== null);
  const named = [conversation && `conversation ${conversation}`, user && `user ${user}`].filter(Boolean).join(", ");
  return [
    element("p", { class: "note", tabindex: -1 }, named === "" ? "As it is stored, after redaction." : `As it is stored, after redaction: ${named}.`),
    ...said.map(([role, text]) => {
      const read = element("div", { class: "read", tabindex: 0 });
      appendText(read, text);
      return element("div", {}, element("h4", {}, role), read);
    }),
  ];
}
