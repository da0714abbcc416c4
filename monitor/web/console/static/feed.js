// Server-sent events, read by hand: the browser's own reader can send no token, and a token has no place in a URL.

import { open } from "./api.js";

const SILENCE_MILLISECONDS = 40_000; // the server says something every 15 s; whoever is silent for longer is gone

// Call `told(name, data)` for each event, and `alive()` whenever anything comes. Resolves where the stream ends; throws
// where it cannot be had.
export async function follow(path, { told, alive, signal }) {
  const silence = new AbortController();
  const response = await open(path, AbortSignal.any([signal, silence.signal]));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const timer = setTimeout(() => silence.abort(), SILENCE_MILLISECONDS);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    alive();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) tell(block, told);
  }
}

function tell(block, told) {
  const lines = block.split("\n");
  const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  if (field("event") !== undefined) told(field("event"), JSON.parse(field("data")));
}
