// What every page of the frame does: say who looks, tell when the monitor does not answer, and read anew now and then.

import { byId, setText, showMessage } from "./dom.js";
import { utc } from "./format.js";
import { admit, askAgain } from "./session.js";

let lastGood = null;

// Call `refresh(who)` now, every `milliseconds` while somebody looks, and whenever the returned function is called.
export function keepFresh(refresh, milliseconds) {
  let turn = 0;
  async function once() {
    const mine = ++turn;
    try {
      const who = await admit();
      setText(byId("who"), `${who.name} (${who.role})`);
      await refresh(who, () => mine === turn);
      if (mine !== turn) return;
      lastGood = new Date();
      showMessage(byId("lost"), "");
    } catch (error) {
      if (error.status === 401) return askAgain(error.message).then(once);
      if (mine === turn) tell(error);
    }
  }
  async function loop() {
    if (!document.hidden) await once();
    setTimeout(loop, milliseconds);
  }
  tick();
  setInterval(tick, 1000);
  loop();
  return once;
}

function tell(error) {
  const since = lastGood === null ? "" : ` What is shown is from ${utc(lastGood)}.`;
  const said = error.status === undefined ? "The monitor does not answer." : `The monitor cannot say: ${error.message}.`;
  showMessage(byId("lost"), said.replace(/([.?!])\.$/, "$1") + since);
  if (error.status === undefined) console.warn(error);
}

function tick() {
  const now = new Date();
  byId("clock").dateTime = now.toISOString();
  setText(byId("clock"), utc(now));
}
