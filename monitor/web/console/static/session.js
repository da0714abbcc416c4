// Who looks at a page: known by a session or by a token, or asked until they are.

import { change, dropToken, hasToken, keepToken, read } from "./api.js";
import { askToken } from "./dialog.js";
import { byId } from "./dom.js";

let who = null;
let asking = null;

// Resolve with who looks; an annotator is sent to the one page such a token may use.
export async function admit() {
  who ??= await identify();
  if (who.role === "annotator") await leaveFor("/review");
  return who;
}

// Resolve with who looks, whatever the role; a server that is away, or a token that is not good, is the caller's.
export async function identify() {
  const { wantsToken, hasLogin } = document.documentElement.dataset;
  if (wantsToken === "yes" && hasLogin !== "yes" && !hasToken()) await askAgain("");
  const known = await whoami(hasLogin === "yes" && !hasToken());
  if (known.session) offerLogout();
  showPages(known.role);
  return known;
}

// An annotator may use the one page alone.
function showPages(role) {
  const bar = document.querySelector("nav.pages");
  if (bar !== null) bar.hidden = role === "annotator";
  for (const page of document.querySelectorAll("nav.pages [data-for]")) page.hidden = page.dataset.for !== role;
  bar?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }); // a phone's bar shows a part of them
}

// A session cannot be seen from here: whether there is one, the server says.
async function whoami(isGuess) {
  try {
    return await read("/api/v1/whoami");
  } catch (error) {
    if (!isGuess || error.status !== 401) throw error;
    await askAgain("");
    return read("/api/v1/whoami");
  }
}

export async function askAgain(complaint) {
  if (asking !== null) return asking;
  who = null;
  dropToken();
  asking = askToken(complaint).then(keepToken);
  await asking;
  asking = null;
}

function offerLogout() {
  if (document.getElementById("logout") !== null) return;
  const button = document.createElement("button");
  button.id = "logout";
  button.type = "button";
  button.textContent = "Log out";
  button.onclick = async () => leaveFor((await change("/api/v1/logout")).go_on ?? "/");
  byId("who").after(button);
}

// Never resolves: what comes next is another page's.
export function leaveFor(path) {
  location.replace(path);
  return new Promise(() => {});
}
