// The HTTP API; every refusal becomes a `Refused` with the server's own words.

const TOKEN = "rlhf-monitor-token";
const PATIENCE_MILLISECONDS = 10_000;
const MAX_KEPT = 60; // answers

const kept = new Map(); // the latest answer of a path with its tag, so that nothing comes twice

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

export function dropToken() {
  kept.clear();
  sessionStorage.removeItem(TOKEN);
}

// What the server answers; the very same value where nothing has changed since it was read last.
export async function read(path) {
  const known = kept.get(path);
  const condition = known === undefined ? {} : { "If-None-Match": known.tag };
  const response = await ask(path, { headers: { ...headers(), ...condition }, cache: "no-store" });
  if (response.status === 304 && known !== undefined) return known.value;
  const value = await answerOf(response);
  keep(path, response.headers.get("ETag"), value);
  return value;
}

function keep(path, tag, value) {
  kept.delete(path);
  if (tag !== null) kept.set(path, { tag, value });
  if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value);
}

// An answer that goes on and on, until `signal` says that it is enough.
export async function open(path, signal) {
  const response = await fetch(path, { headers: headers(), cache: "no-store", signal });
  if (!response.ok) await answerOf(response);
  return response;
}

// A page of a listing, and the query that leads to the next one; null on the last.
export async function readPage(path) {
  const response = await ask(path, { headers: headers(), cache: "no-store" });
  const rows = await answerOf(response);
  const next = /<\?([^>]*)>;\s*rel="next"/.exec(response.headers.get("Link") ?? "");
  return { rows, next: next === null ? null : next[1] };
}

// `/readyz` says 503 and why; that is an answer, not a failure.
export async function readiness() {
  return (await ask("/readyz", { cache: "no-store" })).json();
}

// A page that a link cannot ask for, since links carry no token, is saved as a file.
export async function download(path, name) {
  const response = await ask(path, { headers: headers(), cache: "no-store" });
  if (!response.ok) return answerOf(response);
  const place = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = place;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(place), PATIENCE_MILLISECONDS);
}

export async function change(path, body = null) {
  const content = body === null ? {} : { "Content-Type": "application/json" };
  const request = { method: "POST", headers: { ...headers(), ...content, "X-Requested-With": "rlhf-monitor" } };
  if (body !== null) request.body = JSON.stringify(body);
  return answerOf(await ask(path, request));
}

async function ask(path, request) {
  try {
    return await fetch(path, { ...request, signal: AbortSignal.timeout(PATIENCE_MILLISECONDS) });
  } catch {
    throw new Error("the monitor does not answer");
  }
}

function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

async function answerOf(response) {
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, problem.detail ?? `the server answered ${response.status}`);
}
