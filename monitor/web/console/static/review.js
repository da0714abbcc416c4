// The annotator's page: one item after the other, the next ones loaded ahead, the answers sent behind.

import { change, dropToken, read } from "./api.js";
import { say } from "./dialog.js";
import { byId, setText, showMessage } from "./dom.js";
import { plural } from "./format.js";
import { questionOf, showItem, verdictsOf } from "./review_item.js";
import { Outbox } from "./review_outbox.js";
import { askAgain, identify } from "./session.js";
import { showCriteria, showLost, showProgress, showRefused, showSending, showTold } from "./review_status.js";

const AHEAD = 5; // items loaded at once
const FEW = 2; // items ahead from which more are loaded
const KEPT = 50; // items answered that are kept in mind
const LOOK_AGAIN_MILLISECONDS = 10_000; // where there is nothing to judge, or no answer
const SKIP = { said: "skipped", answer: "skip", value: null };
const LETTERS = { u: undo, f: flag, c: toggleCriteria, s: () => byId("apart").click(), w: () => byId("mono").click(), "?": help, " ": () => decide(SKIP) };
const DIGITS = { Digit0: "0", Digit1: "1", Digit2: "2", Digit3: "3" }; // where a layout gives them another character
const CLICKED = "a, button, summary, input, textarea, select";

let outbox = null;
let shown = null; // the item on the screen
let ahead = []; // those after it
let past = []; // those answered of late, the latest at the end
let done = 0;
let arrived = 0; // answers and undos that the monitor has had
let isLoading = false;
let isUndoing = false;
let again = null; // the timer until the queue is asked again
let clock = { spent: 0, since: null }; // how long the item was looked at, in milliseconds

async function start() {
  const who = await admit("");
  setText(byId("who"), `${who.name} (${who.role})`);
  if (who.role === "viewer") return showMessage(byId("empty"), "Your token may not answer: it has the role viewer. Items are shown to annotators and operators.");
  outbox = new Outbox(who.name, { delivered, refused, locked, changed: showSending });
  wire();
  await outbox.flushed(); // what a reload held up; the queue may not offer it again
  await load();
}

async function admit(complaint) {
  if (complaint !== "") await askAgain(complaint);
  try {
    const who = await identify();
    showLost(null);
    return who;
  } catch (error) {
    if (error.status !== 401) {
      showLost(error);
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
    return admit(error.status === 401 ? error.message : "");
  }
}

// The token is not good any more. What waits is kept, and sent once this annotator is known again.
function locked() {
  dropToken();
  removeEventListener("beforeunload", holdBack);
  location.reload();
  return new Promise(() => {});
}

async function load() {
  if (isLoading || ahead.length > FEW) return;
  isLoading = true;
  clearTimeout(again);
  // The reply may tell of the time before these answers came, and be read after it.
  const asked = { sending: outbox.itemIds, settled: outbox.size ? [] : past, arrived };
  let failure = null;
  let isStale = false; // it named items alone whose answers were on their way
  try {
    const page = await read(`/api/v1/review/next?limit=${AHEAD}`);
    take(page, asked);
    isStale = shown === null && page.items.length > 0;
  } catch (error) {
    if (error.status === 401) return locked();
    failure = error;
  } finally {
    isLoading = false;
  }
  showLost(failure);
  if (isStale && (await outbox.flushed())) return load();
  if (shown === null) showNothing();
  if (failure !== null || ahead.length === 0) again = setTimeout(load, LOOK_AGAIN_MILLISECONDS);
}

function take(page, asked) {
  const known = [shown, ...ahead, ...past.filter((item) => !asked.settled.includes(item))].map((item) => item?.item_id);
  known.push(...asked.sending, ...outbox.itemIds);
  ahead.push(...page.items.filter(({ item_id: id }) => !known.includes(id)));
  showCriteria(page.criteria);
  if (asked.arrived === arrived) showProgress(page.progress);
  if (shown === null && ahead.length) next();
}

function next() {
  shown = ahead.shift() ?? null;
  load();
  if (shown === null) showNothing();
  else showShown();
}

function showShown() {
  byId("empty").hidden = byId("back").hidden = true;
  showItem(shown, decide);
  clock = { spent: 0, since: document.hidden ? null : performance.now() };
  byId("question").focus({ preventScroll: true });
}

function showNothing() {
  byId("item").hidden = byId("deeds").hidden = true;
  showMessage(byId("empty"), isLoading ? "The next items are being loaded." : `Nothing to judge now. New items appear here by themselves. ${past.length ? "The key u takes back your last answer." : ""}`);
}

// Answer the item on the screen, and go on at once.
function decide({ said, answer, value, dimensions = {} }, note = "") {
  if (shown === null || isUndoing) return;
  const item = shown;
  past = [...past.slice(1 - KEPT), item];
  outbox.add({ item_id: item.item_id, answer, value, seconds: seconds(), note, dimensions });
  showTold("");
  next();
  done += 1;
  say(`Answered: ${said}, ${plural(done, "item")} done. ${shown === null ? "Nothing else is here yet." : `Next: ${questionOf(shown)}`}`);
}

async function undo() {
  if (isUndoing) return;
  isUndoing = true;
  try {
    showAgain(await takeBack());
  } catch (error) {
    if (error.status === 401) return locked();
    showTold(`Nothing was taken back: ${error.message}`);
  } finally {
    isUndoing = false;
  }
}

async function takeBack() {
  const last = past.at(-1);
  if (last !== undefined && outbox.takeBack(last.item_id)) return last;
  if (!(await outbox.flushed())) throw new Error("the monitor has not had your last answer yet");
  const reply = await change("/api/v1/review/undo", last === undefined ? {} : { item_id: last.item_id });
  arrived += 1;
  showProgress(reply.progress);
  return reply.item;
}

function showAgain(item) {
  const isOther = ({ item_id: id }) => id !== item.item_id;
  past = past.filter(isOther);
  ahead = [...(shown === null ? [] : [shown]), ...ahead].filter(isOther);
  shown = item;
  showShown();
  byId("back").hidden = false;
  say(`Taken back. ${questionOf(item)}`);
}

function flag() {
  if (shown === null) return;
  byId("flag-note").value = "";
  byId("flag-no").onclick = () => byId("flag").close();
  byId("flag-form").onsubmit = (event) => {
    event.preventDefault();
    byId("flag").close();
    decide({ said: "flagged", answer: "flag", value: null }, byId("flag-note").value.trim());
  };
  byId("flag").showModal();
}

function help() {
  byId("help").showModal();
}

function toggleCriteria() {
  byId("criteria").open = !byId("criteria").open;
}

function delivered({ progress }) {
  arrived += 1;
  showProgress(progress);
  showLost(null);
}

function refused({ item_id: refusedId }, error) {
  past = past.filter(({ item_id: id }) => id !== refusedId);
  showRefused(error);
}

// Seconds for which the item was to be seen.
function seconds() {
  const spent = clock.spent + (clock.since === null ? 0 : performance.now() - clock.since);
  return Math.round(spent) / 1000;
}

function onKey(event) {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const isTyped = event.key === " " && event.target.closest(CLICKED) !== null; // it presses what has the focus
  const digit = DIGITS[event.code] ?? event.key;
  const verdict = shown === null ? undefined : verdictsOf(shown).find(({ key }) => key === event.key || (!event.shiftKey && key === digit));
  const deed = verdict === undefined ? LETTERS[event.key.toLowerCase()] : () => decide(verdict);
  if (isTyped || deed === undefined) return;
  event.preventDefault();
  deed();
}

function holdBack(event) {
  if (outbox.size) event.preventDefault();
}

function wire() {
  const deeds = { skip: () => decide(SKIP), flag, undo, help };
  for (const button of document.querySelectorAll("[data-deed]")) button.addEventListener("click", deeds[button.dataset.deed]);
  for (const name of ["apart", "mono"]) {
    byId(name).checked = localStorage.getItem(`rlhf-monitor-${name}`) === "true";
    byId(name).addEventListener("change", () => localStorage.setItem(`rlhf-monitor-${name}`, byId(name).checked));
  }
  addEventListener("keydown", onKey);
  addEventListener("online", load);
  addEventListener("beforeunload", holdBack);
  document.addEventListener("visibilitychange", () => {
    clock = { spent: seconds() * 1000, since: document.hidden ? null : performance.now() };
    if (!document.hidden) load();
  });
}

start();
