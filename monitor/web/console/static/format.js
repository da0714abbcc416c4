// Numbers, units and times as people read them.

const COUNT = new Intl.NumberFormat("en");

export function count(value) {
  return value === null ? "–" : COUNT.format(value);
}

export function plural(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

// A signal's value in its unit; ratios read as percentages.
export function value(number, unit) {
  if (number === null) return "–";
  if (unit === "ratio") return `${digits(100 * number)} %`;
  return `${digits(number)} ${unit}`;
}

export function bareValue(number, unit) {
  if (number === null) return "–";
  return digits(unit === "ratio" ? 100 * number : number) + (unit === "ratio" ? " %" : "");
}

export function effect({ estimate, lower, upper, unit }) {
  const scale = unit === "ratio" ? 100 : 1;
  const shown = unit === "ratio" ? "points" : unit;
  return `${signed(scale * estimate)} ${shown} [${signed(scale * lower)}, ${signed(scale * upper)}]`;
}

// "+1.3" without its unit, which the column's head has.
export function change(number, unit) {
  return number === null ? "–" : signed(unit === "ratio" ? 100 * number : number);
}

// "of +52 tokens: +8 prompts, +44 model"
export function decomposition({ raw, prompts, model, unit }) {
  const scale = unit === "ratio" ? 100 : 1;
  const shown = unit === "ratio" ? "points" : unit;
  return `of ${signed(scale * raw)} ${shown}: ${signed(scale * prompts)} prompts, ${signed(scale * model)} model`;
}

function signed(number) {
  return (number > 0 ? "+" : number < 0 ? "−" : "") + digits(Math.abs(number));
}

function digits(number) {
  const magnitude = Math.abs(number);
  const places = magnitude >= 1000 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3;
  return new Intl.NumberFormat("en", { maximumFractionDigits: places }).format(number).replace("-", "−");
}

// "2026-11-21 05:00:00Z"
export function utc(date) {
  return date.toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");
}

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];

// "3 min ago", or "in 2 h" for a clock that is ahead.
export function age(date, now = new Date()) {
  const seconds = Math.round((now - date) / 1000);
  const [, size, unit] = STEPS.find(([limit]) => Math.abs(seconds) < limit);
  const amount = `${Math.floor(Math.abs(seconds) / size)} ${unit}`;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${amount} ago` : `in ${amount}`;
}

// "3 min", or "2 h 5 min": how long something takes.
export function duration(seconds) {
  const [, size, unit] = STEPS.find(([limit]) => seconds < limit);
  const smaller = STEPS[STEPS.findIndex(([, own]) => own === size) - 1];
  const rest = smaller === undefined || size < 3600 ? 0 : Math.floor((seconds % size) / smaller[1]);
  return `${Math.floor(seconds / size)} ${unit}` + (rest ? ` ${rest} ${smaller[2]}` : "");
}

export function setTime(node, iso) {
  if (iso === null) {
    node.removeAttribute("datetime");
    if (node.textContent !== "–") node.textContent = "–";
    return;
  }
  const date = new Date(iso);
  const text = `${utc(date)} · ${age(date)}`;
  node.dateTime = iso;
  if (node.textContent !== text) node.textContent = text;
}

// The age alone, the time itself on demand; for where the time also stands in full.
export function setAge(node, iso) {
  const date = new Date(iso);
  const text = age(date);
  node.dateTime = iso;
  node.title = utc(date);
  if (node.textContent !== text) node.textContent = text;
}

export function setInstant(node, iso) {
  const text = utc(new Date(iso));
  node.dateTime = iso;
  if (node.textContent !== text) node.textContent = text;
}

export function words(name) {
  return name.replaceAll("_", " ");
}
