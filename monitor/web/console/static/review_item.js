// One item as the annotator sees it: the prompt, one answer or two side by side, and what may be said of them.

import { appendText, byId, element, setAttribute, setText } from "./dom.js";
import { count, plural, words } from "./format.js";

const SHOWN_CHARACTERS = 30_000; // of one text at once; a button shows as many more
const FEW = 3; // messages of a prompt that are shown from its first one

const QUESTIONS = { preference: "Which answer is better?", refusal: "Does the answer refuse?", rating: "Is the answer good?" };
const PREFERENCE = [
  { key: "1", name: "First is better", said: "the first is better", answer: "label", value: 1 },
  { key: "0", name: "Tie", said: "a tie", answer: "label", value: 0.5 },
  { key: "2", name: "Second is better", said: "the second is better", answer: "label", value: 0 },
];
const REFUSAL = [
  { key: "1", name: "Yes, in full", said: "it refuses in full", answer: "label", value: 1, dimensions: { full: 1 } },
  { key: "3", name: "Yes, in part", said: "it refuses in part", answer: "label", value: 1, dimensions: { full: 0 } },
  { key: "0", name: "Cannot say", said: "cannot say", answer: "skip", value: null },
  { key: "2", name: "No", said: "no", answer: "label", value: 0 },
];
const SINGLE = [
  { key: "1", name: "Yes", said: "yes", answer: "label", value: 1 },
  { key: "0", name: "Cannot say", said: "cannot say", answer: "skip", value: null },
  { key: "2", name: "No", said: "no", answer: "label", value: 0 },
];

export function questionOf({ kind }) {
  return QUESTIONS[kind] ?? `Is the answer ${words(kind)}?`;
}

// What may be said of an item, from left to right.
export function verdictsOf({ kind, answers }) {
  if (answers.length === 2) return PREFERENCE;
  return kind === "refusal" ? REFUSAL : SINGLE;
}

export function showItem(item, decide) {
  setText(byId("question"), questionOf(item));
  setText(byId("prompt-tally"), item.messages.length > 1 ? plural(item.messages.length, "message") : "");
  byId("messages").replaceChildren(...item.messages.map(messageOf));
  const names = item.answers.length === 2 ? ["First", "Second"] : ["Answer"];
  byId("answers").replaceChildren(...item.answers.map((text, place) => answerOf(names[place], text)));
  byId("apart").parentElement.hidden = item.answers.length !== 2;
  byId("verdicts").replaceChildren(...verdictsOf(item).map((verdict) => buttonOf(verdict, decide)));
  byId("item").hidden = byId("deeds").hidden = false;
  scrollTo(0, 0);
  // A long conversation is opened at what was said last, since that is what was answered.
  const last = item.messages.length > FEW ? byId("messages").lastElementChild.offsetTop - byId("messages").offsetTop : 0;
  byId("prompt").scrollTop = last;
}

function messageOf({ role, content }) {
  return element("li", { "data-role": role }, element("b", { class: "role" }, role), textOf(content));
}

function answerOf(name, text) {
  const pane = textOf(text);
  setAttribute(pane, "tabindex", 0);
  setAttribute(pane, "role", "group");
  setAttribute(pane, "aria-label", name);
  return element("article", { class: "panel answer" }, element("h3", {}, name), pane);
}

// The whole of a text, unparsed: what was written is what is read.
function textOf(text) {
  const node = element("div", { class: "text", dir: "auto" });
  if (text.trim() === "") node.append(element("i", { class: "note" }, text === "" ? "empty" : "nothing but blanks"));
  showMore(node, text, 0);
  return node;
}

function showMore(node, text, start) {
  const stop = stopOf(text, start);
  appendText(node, text.slice(start, stop));
  if (stop === text.length) return;
  const left = count(text.length - stop);
  const more = element("button", { type: "button", class: "more" }, `Show more (${left} characters are left)`);
  more.addEventListener("click", () => {
    more.remove();
    showMore(node, text, stop);
    node.focus();
  });
  node.append(more);
}

// Where a piece ends: not inside a character that takes two units.
function stopOf(text, start) {
  const stop = start + SHOWN_CHARACTERS;
  if (stop >= text.length) return text.length;
  return text.codePointAt(stop - 1) > 0xffff ? stop - 1 : stop;
}

function buttonOf(verdict, decide) {
  const button = element("button", { type: "button", class: "verdict" }, element("kbd", {}, verdict.key), ` ${verdict.name}`);
  button.addEventListener("click", () => decide(verdict));
  return button;
}
