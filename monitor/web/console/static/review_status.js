// What stands around the item: progress, criteria, what is on its way, and what went wrong.

import { appendText, byId, setAttribute, setText, showMessage } from "./dom.js";
import { count, plural } from "./format.js";

const READ = "rlhf-monitor-criteria"; // the version that was opened to this annotator

export function showProgress({ answered_today: answered, open, budget }) {
  setText(byId("answered"), `${count(answered)} answered today`);
  setText(byId("left"), `${count(open)} open, ${count(budget)} a day at most`);
  byId("answered").hidden = byId("left").hidden = false;
}

// Criteria that the annotator has not seen are opened.
export function showCriteria(criteria) {
  byId("criteria").hidden = criteria === null;
  if (criteria === null || byId("criteria").dataset.version === criteria.version) return;
  byId("criteria").dataset.version = criteria.version;
  const read = localStorage.getItem(READ);
  if (read !== null && read !== criteria.version) showTold("The criteria have changed: please read them before you go on.");
  byId("criteria").open = read !== criteria.version;
  localStorage.setItem(READ, criteria.version);
  setText(byId("criteria-title"), `Criteria ${criteria.version}`);
  byId("criteria-text").replaceChildren();
  appendText(byId("criteria-text"), criteria.text);
}

export function showSending({ size, isFailing }) {
  setText(byId("sending"), isFailing ? `${plural(size, "answer")} kept here, to be sent again` : "sending");
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
  showMessage(byId("lost"), error.status === undefined ? "The monitor does not answer. What you answer is kept here, and it is asked again." : `The monitor cannot say: ${error.message}`);
}
