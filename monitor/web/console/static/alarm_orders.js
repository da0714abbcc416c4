// What an operator may do with an alarm: acknowledge it with a note, snooze it, or undo either.

import { change } from "./api.js";
import { say } from "./dialog.js";
import { byId, setText, showMessage } from "./dom.js";

const OFFERED = { acknowledge: ["open", "snoozed"], snooze: ["open", "acknowledged", "snoozed"], reopen: ["acknowledged", "snoozed"] };
const WORDS = {
  acknowledge: { title: "Acknowledge this alarm?", yes: "Acknowledge", done: "Acknowledged" },
  snooze: { title: "Snooze this alarm?", yes: "Snooze", done: "Snoozed" },
  reopen: { title: "Open this alarm again?", yes: "Open again", done: "It is open again" },
};

export function showOrders(path, { state }, { isOperator, refresh }) {
  const buttons = [...byId("orders").querySelectorAll("[data-order]")];
  for (const button of buttons) {
    const { order } = button.dataset;
    button.hidden = !isOperator || !OFFERED[order].includes(state);
    button.onclick = () => ask(path, order, refresh);
  }
  byId("orders").hidden = !isOperator;
}

function ask(path, order, refresh) {
  const { title, yes, done } = WORDS[order];
  const dialog = byId("order");
  setText(byId("order-title"), title);
  setText(byId("order-yes"), yes);
  showMessage(byId("order-error"), "");
  byId("order-for").hidden = byId("order-seconds").hidden = order !== "snooze";
  byId("order-note").value = "";
  byId("order-no").onclick = () => dialog.close();
  byId("order-form").onsubmit = async (event) => {
    event.preventDefault();
    byId("order-yes").disabled = true;
    try {
      const note = byId("order-note").value.trim();
      await change(`${path}/${order}`, order === "snooze" ? { seconds: Number(byId("order-seconds").value), note } : { note });
      dialog.close();
      say(done);
      await refresh();
      byId("told").focus({ preventScroll: true });
    } catch (refused) {
      showMessage(byId("order-error"), `Not done: ${refused.message}`);
    } finally {
      byId("order-yes").disabled = false;
    }
  };
  dialog.showModal();
}
