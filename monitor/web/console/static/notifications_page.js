// The page of receivers: who is told of incidents, whom that fails for since when and why, and what waits.

import { element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { plural, setTime, words } from "./format.js";
import { showListing } from "./listing.js";

const HEARS = { alert: "alerts", warning: "warnings and alerts" };

showListing({
  path: "/api/v1/notifications",
  key: ({ receiver }) => receiver,
  create: createCard,
  update: updateCard,
  empty: "The settings name nobody who is told of incidents. A receiver appears here once notify.slack, notify.pagerduty, notify.email or notify.webhook names it.",
});

function createCard({ receiver, kind, severity }) {
  return element(
    "li",
    { class: "card" },
    element("div", { class: "title" }, element("span", { class: "badge", "data-part": "state" }), element("strong", { class: "name" }, receiver), element("span", { class: "note" }, `${kind}, hears of ${HEARS[severity] ?? severity}`)),
    element("p", { class: "error", "data-part": "failing" }, "Fails since ", element("time", { "data-part": "since" }), ": ", element("span", { "data-part": "error" })),
    element("p", { class: "note", "data-part": "none" }, "It took no message yet."),
    element("p", { class: "note", "data-part": "told" }, "It took the last message ", element("time", { "data-part": "at" }), ", about ", element("a", { "data-part": "of" })),
    element("p", { "data-part": "tally" }),
    element("ul", { class: "waits", "data-part": "notices" }),
  );
}

function updateCard(card, { waiting, told_at: at, told_of: of, error, failing_since: since, notices }) {
  const part = parts(card);
  const fails = error !== null;
  setAttribute(card, "data-state", fails ? "bad" : at === null ? "" : "good");
  setText(part.state, fails ? "fails" : waiting ? "on its way" : at === null ? "" : "told");
  part.failing.hidden = !fails;
  setTime(part.since, since);
  setText(part.error, error ?? "");
  part.none.hidden = at !== null;
  part.told.hidden = at === null;
  setTime(part.at, at);
  setText(part.of, of === null ? "another receiver" : `incident ${of}`);
  setAttribute(part.of, "href", pageOf(of));
  showMessage(part.tally, waiting ? `${plural(waiting, "message")} not taken${waiting > notices.length ? `, the first ${notices.length} of them` : ""}:` : "");
  reconcile(part.notices, notices, { key: ({ subject }) => subject, create: createNotice, update: (row, notice) => updateNotice(row, notice, error) });
}

// Where a message's subject is shown: an incident, or this page, where it is another receiver.
function pageOf(incident) {
  return incident === null ? "/notifications" : `/incidents/${incident}`;
}

function createNotice({ incident_id: id }) {
  return element(
    "li",
    {},
    element("span", { class: "name" }, element("a", { href: pageOf(id), "data-part": "title" })),
    element("p", { class: "note" }, element("span", { "data-part": "tried" }), " ", element("time", { "data-part": "since" }), element("span", { "data-part": "again" }), " ", element("time", { "data-part": "retry" })),
    element("p", { class: "error", "data-part": "error" }),
  );
}

function updateNotice(row, { event, title, since, attempts, retry_at: retry, refused, error }, told) {
  const part = parts(row);
  setText(part.title, title);
  setText(part.tried, `${words(event)}; tried ${plural(attempts, "time")} since`);
  setTime(part.since, since);
  setText(part.again, refused ? "; refused, so it is tried again only by a daemon that starts anew" : error === null ? "; on its way" : "; again");
  part.retry.hidden = refused || error === null;
  setTime(part.retry, retry);
  showMessage(part.error, error === null || error === told ? "" : error); // the receiver's own says the last one
}
