// The most telling answers of an alarm beside the baseline's: texts, which are read when an operator asks for them.

import { read } from "./api.js";
import { appendText, byId, element, setText, showMessage } from "./dom.js";
import { value } from "./format.js";

let asked = false;

export function offerAnswers(path, explained, { isOperator, unit }) {
  byId("answers").hidden = !isOperator || explained === null || explained.examples.length === 0;
  byId("answers-fold").ontoggle = async () => {
    if (!byId("answers-fold").open || asked) return;
    asked = true;
    setText(byId("answers-note"), "They are looked for in the log…");
    try {
      showAnswers(await read(`${path}/answers`), unit);
      showMessage(byId("answers-error"), "");
    } catch (refused) {
      asked = false;
      showMessage(byId("answers-error"), `The answers cannot be read: ${refused.message}. Fold this up and open it again.`);
    }
  };
}

function showAnswers(compared, unit) {
  setText(byId("answers-note"), "Texts stand as they are stored, after redaction. Likeness is of the prompts, by their words.");
  byId("answers-list").replaceChildren(...compared.map((one, at) => rowOf(one, at + 1, unit)));
}

function rowOf({ example, expected, alike }, number, unit) {
  const [before, ...others] = alike;
  const missing = () => element("p", { class: "note" }, "The baseline holds no prompt like it.");
  return element(
    "li",
    {},
    answerOf(example, `${number}. Since the onset: ${value(example.value, unit)}, expected ${value(expected, unit)}`),
    element(
      "div",
      { class: "before" },
      before === undefined ? missing() : answerOf(before, `In the baseline: ${value(before.value, unit)}, ${percent(before.likeness)} alike`),
      ...(others.length ? [element("p", { class: "note" }, `Others like it: ${others.map((other) => `${value(other.value, unit)} (${percent(other.likeness)} alike)`).join(", ")}`)] : []),
    ),
  );
}

function answerOf({ trace_id: id, prompt, response, cut }, title) {
  return element(
    "article",
    {},
    element("h3", {}, title),
    element("p", { class: "note" }, "trace ", element("code", {}, id)),
    element("h4", {}, "Prompt"),
    textOf(prompt, `${title}, prompt`),
    element("h4", {}, "Answer"),
    textOf(response, `${title}, answer`),
    ...(cut ? [element("p", { class: "note" }, "Cut: the text goes on.")] : []),
  );
}

function textOf(text, label) {
  if (text === null) return element("p", { class: "note" }, "not kept, or not any more");
  const node = element("div", { class: "read", dir: "auto", tabindex: 0, role: "group", "aria-label": label });
  appendText(node, text);
  return node;
}

function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}
