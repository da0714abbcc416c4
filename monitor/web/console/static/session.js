// Who looks at a page: asks for a token until one is known.

import { dropToken, hasToken, keepToken, read } from "./api.js";
import { askToken } from "./dialog.js";

let who = null;
let asking = null;

// Resolve with who looks; an annotator is sent to the one page such a token may use.
export async function admit() {
  if (document.documentElement.dataset.wantsToken === "yes" && !hasToken()) await askAgain("");
  who ??= await read("/api/v1/whoami");
  if (who.role === "annotator") await leaveFor("/review");
  return who;
}

export async function askAgain(complaint) {
  if (asking !== null) return asking;
  who = null;
  dropToken();
  asking = askToken(complaint).then(keepToken);
  await asking;
  asking = null;
}

// Never resolves: what comes next is another page's.
export function leaveFor(path) {
  location.replace(path);
  return new Promise(() => {});
}
