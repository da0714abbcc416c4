// Freezing a new baseline: what would change is shown first, and what was shown is what is frozen.

import { change } from "./api.js";
import { say } from "./dialog.js";
import { byId, element, parts, reconcile, setText, showMessage } from "./dom.js";
import { count, plural, value, words } from "./format.js";

const FEW = 12; // cohorts that are named

let shown = null; // the preview that may be frozen
let asked = 0; // what was asked for before the window was changed is not shown

export function offerFreeze({ isOperator, refresh }) {
  byId("freeze").hidden = !isOperator;
  byId("freeze").onclick = () => ask(refresh);
}

function ask(refresh) {
  const dialog = byId("freezing");
  forget();
  byId("freeze-note").value = "";
  byId("freeze-no").onclick = () => dialog.close();
  byId("freeze-last").oninput = forget;
  byId("freeze-look").onclick = look;
  byId("freeze-form").onsubmit = (event) => {
    event.preventDefault();
    if (shown === null) look();
    else carryOut(dialog, refresh);
  };
  dialog.showModal();
}

function forget() {
  asked += 1;
  shown = null;
  byId("freeze-look").disabled = false;
  byId("preview").hidden = true;
  byId("freeze-yes").disabled = true;
  showMessage(byId("freeze-error"), "");
}

async function look() {
  if (!byId("freeze-form").reportValidity()) return;
  forget();
  const mine = asked;
  byId("freeze-look").disabled = true;
  try {
    const found = await change("/api/v1/baselines/preview", { last: Number(byId("freeze-last").value) });
    if (mine !== asked) return;
    shown = found;
    showPreview(shown);
    byId("freeze-yes").disabled = false;
  } catch (refused) {
    if (mine === asked) showMessage(byId("freeze-error"), `Nothing to freeze: ${refused.message}`);
  } finally {
    if (mine === asked) byId("freeze-look").disabled = false;
  }
}

function showPreview({ first_trace: first, stop_trace: stop, laws, cohorts_added: added, cohorts_lost: lost, alarms_superseded: alarms }) {
  byId("preview").hidden = false;
  setText(byId("preview-told"), `Traces ${count(first)} to ${count(stop - 1)}. ${plural(alarms, "live alarm")} would be superseded${named(added, "watched from then on")}${named(lost, "watched no more")}.`);
  reconcile(byId("preview-rows"), laws, {
    key: ({ signal, scorer_version: scorer }) => `${signal} ${scorer}`,
    create: () => element("tr", {}, element("th", { scope: "row", "data-part": "signal" }), element("td", { class: "number", "data-part": "before" }), element("td", { class: "number", "data-part": "after" })),
    update: updateLaw,
  });
}

function updateLaw(row, { signal, before, after, comes_later: later }) {
  const part = parts(row);
  setText(part.signal, words(signal));
  setText(part.before, before === null ? "–" : value(before.mean, before.unit));
  setText(part.after, after !== null ? value(after.mean, after.unit) : later ? "comes by itself" : "watched no more");
}

function named(cohorts, what) {
  if (cohorts.length === 0) return "";
  const rest = cohorts.length > FEW ? ` and ${count(cohorts.length - FEW)} more` : "";
  return `; ${what}: ${cohorts.slice(0, FEW).join(", ")}${rest}`;
}

async function carryOut(dialog, refresh) {
  byId("freeze-yes").disabled = true;
  try {
    const { first_trace: first, stop_trace: stop, instead_of: instead } = shown;
    await change("/api/v1/baselines", { first, stop, instead_of: instead, note: byId("freeze-note").value.trim() });
    dialog.close();
    say("A new baseline is frozen");
    await refresh();
    byId("told").focus({ preventScroll: true });
  } catch (refused) {
    showMessage(byId("freeze-error"), `Not frozen: ${refused.message}`);
    byId("freeze-yes").disabled = false;
  }
}
