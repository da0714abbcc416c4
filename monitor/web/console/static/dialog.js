// The questions the page asks: "are you sure", "for how long" and "which token".

import { byId, setText, showMessage } from "./dom.js";

// Ask before `act` is carried out; a refusal is shown in the dialog, which then stays open.
export function confirm({ title, text, yes, danger = false }, act) {
  const dialog = byId("confirm");
  const button = byId("confirm-yes");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(button, yes);
  button.classList.toggle("danger", danger);
  showMessage(byId("confirm-error"), "");
  byId("confirm-no").onclick = () => dialog.close();
  byId("confirm-form").onsubmit = (event) => {
    event.preventDefault();
    carryOut(dialog, button, act, byId("confirm-error"));
  };
  dialog.showModal();
}

// Ask for how long, then act on so many seconds; a refusal is shown in the dialog, which then stays open.
export function askSnooze(title, act) {
  const dialog = byId("snooze");
  const button = byId("snooze-yes");
  setText(byId("snooze-title"), title);
  showMessage(byId("snooze-error"), "");
  byId("snooze-no").onclick = () => dialog.close();
  byId("snooze-form").onsubmit = (event) => {
    event.preventDefault();
    carryOut(dialog, button, () => act(Number(byId("snooze-seconds").value)), byId("snooze-error"));
  };
  dialog.showModal();
}

async function carryOut(dialog, button, act, error) {
  button.disabled = true;
  try {
    await act();
    dialog.close();
  } catch (refused) {
    showMessage(error, refused.message);
  } finally {
    button.disabled = false;
  }
}

// Resolve with the token typed; the dialog cannot be dismissed, since nothing can be shown without one.
export function askToken(complaint) {
  const dialog = byId("login");
  const input = byId("login-token");
  byId("login-people").hidden = document.documentElement.dataset.hasLogin !== "yes";
  byId("login-way").href = `/login?after=${encodeURIComponent(location.pathname + location.search)}`;
  showMessage(byId("login-error"), complaint);
  dialog.oncancel = (event) => event.preventDefault();
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    byId("login-form").onsubmit = (event) => {
      event.preventDefault();
      const token = input.value.trim();
      if (token === "") return;
      input.value = "";
      dialog.close();
      resolve(token);
    };
  });
}

export function say(text) {
  setText(byId("said"), text);
}
