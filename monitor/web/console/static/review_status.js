// What stands around the item: progress, criteria, what is on its way, and what went wrong.

import { appendText, byId, setAttribute, setText, showMessage } from "./dom.js";
import { count, plural } from "./format.js";

let read = null; // the version of the criteria that were shown

export function showProgress({ answered_today: answered, open, budget }) {
  setText(byId("answered"), `${count(answered)} answered today`);
  setText(byId("left"), `${count(open)} open, ${count(budget)} a day at most`);
  byId("answered").hidden = byId("left").hidden = false;
}

// Criteria that the annotator has not seen are opened.
export function showCriteria(criteria) {
  byId("criteria").hidden = criteria === null;
  if (criteria === null || criteria.version === read) return;
  if (read !== null) showTold("The criteria have changed: please read them before you go on.");
  read = criteria.version;
  byId("criteria").open = true;
  setText(byId("criteria-title"), `Criteria ${criteria.version}`);
  byId("criteria-text").replaceChildren();
  appendText(byId("criteria-text"), criteria.text);
}

export function showSending({ size, isFailing }) {
  const kept = `${plural(size, "answer")} kept here: the monitor does not answer, and is asked again`;
  setText(byId("sending"), isFailing ? kept : "sending");
  setAttribute(byId("sending"), "data-tone", isFailing ? "bad" : null);
  byId("sending").hidden = size === 0 || (size === 1 && !isFailing); // one is sent before anybody has read that it is
}

export function showTold(text) {
  showMessage(byId("told"), text);
}

export function showRefused({ status, message }) {
  const isLate = status === 404 || status === 409;
  showTold(isLate ? `Your last answer came too late to count, and that is no fault of yours: ${message}` : `An answer was not taken: ${message}`);
}

export function showLost(error) {
  if (error === null) return showMessage(byId("lost"), "");
  showMessage(byId("lost"), error.status === undefined ? "The monitor does not answer; it is asked again." : `The monitor cannot say: ${error.message}`);
}
