// Goes on to the page of the stream that the URL names by its labels: dashboards know no stream's number.

import { readPage } from "./api.js";
import { byId, setText, showMessage } from "./dom.js";
import { words } from "./format.js";
import { keepFresh } from "./frame.js";

const PERIOD_MILLISECONDS = 30_000;
const asked = new URLSearchParams(location.search);
const [signal, cohort, model] = ["signal", "cohort", "model"].map((name) => asked.get(name) ?? "");

// The newest of the streams that are named; where no policy model is, or one that shares its label, of all models.
async function find() {
  const found = [];
  for (let query = ""; query !== null; ) {
    const { rows, next } = await readPage(`/api/v1/streams?${query}`);
    found.push(...rows.filter(({ key, stream_id: id }) => id !== null && key.signal === signal && key.cohort === (cohort || "*")));
    query = next;
  }
  const named = found.filter(({ key }) => key.policy_model === model);
  return (named.length ? named : found).sort((a, b) => b.last_timestamp.localeCompare(a.last_timestamp))[0];
}

async function refresh() {
  const stream = await find();
  if (stream !== undefined) location.replace(`/streams/${stream.stream_id}`);
  else showMessage(byId("empty"), "There is no stream of this signal in this cohort, or nothing of it is kept yet.");
}

setText(byId("title"), `${words(signal)}, ${cohort === "" || cohort === "*" ? "all cohorts" : cohort}`);
keepFresh(refresh, PERIOD_MILLISECONDS);
