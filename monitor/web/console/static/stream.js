// How a stream is named on the page.

const SCORED = new Set(["reward", "disagreement", "reward_win", "reward_accuracy", "win_rate_rectifier"]); // what a reward model computes; the other signals need none
const MAX_VERSION = 24; // characters; a column has no room for more
const DIGEST = /^[0-9a-f]{9,}$/;

// One string for each stream.
export function nameOf({ signal, cohort, policy_model: model, scorer_version: version }) {
  return JSON.stringify([signal, cohort, model, version]);
}

export function isRollUp({ cohort }) {
  return cohort === "*";
}

export function cohortOf(stream) {
  return isRollUp(stream) ? "all cohorts" : stream.cohort;
}

// The reward model's version where one computed the signal, "" elsewhere.
export function scorerOf({ signal, scorer_version: version }) {
  return SCORED.has(signal) ? shortVersion(version) : "";
}

// Whether another scorer has become the champion since.
export function isReplaced(stream, champion) {
  return champion !== null && SCORED.has(stream.signal) && stream.scorer_version !== champion;
}

export function shortVersion(version) {
  if (DIGEST.test(version)) return version.slice(0, 8);
  return version.length > MAX_VERSION ? `${version.slice(0, MAX_VERSION)}…` : version;
}
