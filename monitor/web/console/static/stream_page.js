// The page of one stream: its mean and quantiles over a range of time that the URL names.

import { read } from "./api.js";
import { byId, element, parts, reconcile, setAttribute, setText, showMessage } from "./dom.js";
import { count, setInstant, utc, value, words } from "./format.js";
import { keepFresh } from "./frame.js";
import { cohortOf, scorerOf } from "./stream.js";
import { drawPlot } from "./stream_plot.js";

const PERIOD_MILLISECONDS = 30_000;
const RANGES = { "6h": "6 hours", "1d": "day", "3d": "3 days", "7d": "week", "30d": "30 days", "90d": "90 days" };
const SECONDS = { h: 3600, d: 86_400 };
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const { number } = document.documentElement.dataset;
const asked = new URLSearchParams(location.search);
const range = asked.get("range") ?? "1d";

let history = null;

async function refresh(_, isLatest) {
  const found = await read(`/api/v1/streams/${number}/history?${asked}`);
  if (!isLatest()) return;
  history = found;
  show();
}

function show() {
  const { stream, points, unit } = history;
  const { key } = stream;
  const marks = history.marks.map((mark, at) => ({ ...mark, letter: LETTERS[at - Math.max(history.marks.length - LETTERS.length, 0)] ?? "" }));
  setText(byId("title"), `${words(key.signal)}, ${cohortOf(key)}`);
  document.title = `${byId("title").textContent} · stream ${stream.stream_id} · rlhf-monitor`;
  setText(byId("sentence"), sentenceOf(history));
  setText(byId("named"), [key.policy_model, scorerOf(key) && `scorer ${scorerOf(key)}`, history.meaning].filter(Boolean).join(" · "));
  showMessage(byId("empty"), points.length ? "" : emptyOf(history));
  byId("drawn").hidden = points.length === 0;
  if (points.length) drawPlot(history, marks);
  setText(byId("span"), `${utc(new Date(history.since))} to ${utc(new Date(history.until))}`);
  showTurns(history);
  showMarks(marks);
  showNumbers(points, unit);
  showRelated(history.related);
}

function sentenceOf({ points, unit, bands, range: told }) {
  if (points.length === 0) return "";
  const last = points.at(-1);
  const sum = points.reduce((all, { observations }) => all + observations, 0);
  const mean = points.reduce((all, point) => all + point.mean * point.observations, 0) / sum;
  const held = bands.at(-1);
  const usual = held === undefined ? "" : `; the mean of baseline ${held.baseline_id} is ${value(held.band.mean, unit)}`;
  return `Last ${value(last.mean, unit)}, over ${RANGES[told] === "day" || RANGES[told] === "week" ? "the " : ""}${RANGES[told]} ${value(mean, unit)} on ${count(sum)} observations${usual}.`;
}

function emptyOf({ first, last }) {
  if (last === null) return "Nothing of this stream is kept any more.";
  return `No observation in this range of time. What is kept goes from ${utc(new Date(first))} to ${utc(new Date(last))}.`;
}

function link(changes) {
  const wanted = new URLSearchParams({ range });
  for (const [name, text] of Object.entries({ until: asked.get("until"), ...changes })) text === null ? wanted.delete(name) : wanted.set(name, text);
  return `?${wanted}`;
}

function showRanges() {
  reconcile(byId("ranges"), Object.entries(RANGES), {
    key: ([name]) => name,
    create: ([name, text]) => element("li", {}, element("a", { href: link({ range: name }), "aria-current": name === range ? "true" : null }, text)),
    update: () => {},
  });
}

// Where the range has nothing, "earlier" leads to the last that there is.
function showTurns({ since, until, first, last, points }) {
  const span = Number(range.slice(0, -1)) * SECONDS[range.at(-1)] * 1000;
  const isLast = !asked.has("until");
  const next = new Date(Date.parse(until) + span - 1);
  const before = points.length === 0 && last !== null && last < since ? new Date(last) : new Date(Date.parse(since) - 1);
  byId("earlier").hidden = first === null || first >= since;
  setAttribute(byId("earlier"), "href", link({ until: before.toISOString() }));
  byId("later").hidden = isLast;
  setAttribute(byId("later"), "href", link({ until: next > new Date() ? null : next.toISOString() }));
}

function showMarks(marks) {
  byId("marks").hidden = marks.length === 0;
  reconcile(byId("marks-rows"), marks.toReversed(), {
    key: ({ kind, at, what }) => `${kind} ${at} ${what}`,
    create: ({ kind, alarm_id: alarm, job_id: job, what }) => {
      const href = alarm !== null ? `/alarms/${alarm}` : job !== null ? `/jobs#job-${job}` : null;
      return element(
        "tr",
        { "data-kind": kind },
        element("td", { class: "letter", "data-label": "Mark", "data-part": "letter" }),
        element("td", { class: "long", "data-label": "What" }, href === null ? what : element("a", { href }, what)),
        element("td", { "data-label": "When" }, element("time", { "data-part": "at" })),
      );
    },
    update: (row, { letter, at }) => {
      setText(parts(row).letter, letter);
      setInstant(parts(row).at, at);
    },
  });
}

function showNumbers(points, unit) {
  byId("numbers").hidden = points.length === 0;
  const columns = ["mean", "p10", "p50", "p90", "p99"];
  const labels = ["Mean", "10 %", "Median", "90 %", "99 %"];
  reconcile(byId("numbers-rows"), byId("numbers-fold").open ? points.toReversed() : [], {
    key: ({ start }) => start,
    create: () =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, element("time", { "data-part": "start" })),
        element("td", { class: "number", "data-label": "Observations", "data-part": "observations" }),
        ...columns.map((name, at) => element("td", { class: "number", "data-label": labels[at], "data-part": name })),
      ),
    update: (row, point) => {
      setInstant(parts(row).start, point.start);
      setText(parts(row).observations, count(point.observations));
      for (const name of columns) setText(parts(row)[name], value(point[name], unit));
    },
  });
}

function showRelated(related) {
  byId("related").hidden = related.length === 0;
  reconcile(byId("related-list"), related, {
    key: ({ stream_id: id }) => id,
    create: ({ stream_id: id, key }) => element("li", {}, element("a", { href: `/streams/${id}?range=${encodeURIComponent(range)}` }, `${cohortOf(key)}, ${key.policy_model}${scorerOf(key) ? `, scorer ${scorerOf(key)}` : ""}`)),
    update: () => {},
  });
}

showRanges();
keepFresh(refresh, PERIOD_MILLISECONDS);
byId("numbers-fold").addEventListener("toggle", () => history !== null && show());
addEventListener("resize", () => history !== null && show());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => history !== null && show());
