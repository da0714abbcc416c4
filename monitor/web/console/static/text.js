// Text from outside, as the page shows it; the same law as monitor/domain/text.py.

const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]|(?! )\p{Zs}/gu;
const NAMED = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const JOINERS = "\u200c\u200d"; // Persian and emoji need them; beside ASCII they only hide a difference

const LAYOUT = /[\n\t\p{Zs}]/u;
const NOTHING = /(?!)/;

const MAX_CHARACTERS = 1000; // of one text on the page; the API has the rest

// An escape for every character that cannot be seen: what breaks a line, turns it round or hides.
export function visible(text) {
  if (text.length > MAX_CHARACTERS) return `${visible(text.slice(0, MAX_CHARACTERS))}… (${text.length - MAX_CHARACTERS} more characters)`;
  return escapeUnseen(text);
}

// The same for a text that is read as a whole, at any length: its lines, tabs and wide blanks stay as they are.
export function legible(text) {
  return escapeUnseen(text.replaceAll("\r\n", "\n"), LAYOUT);
}

function escapeUnseen(text, kept = NOTHING) {
  return text.replace(UNSEEN, (character, place) => {
    if (kept.test(character)) return character;
    const beyondAscii = text[place - 1] > "\x7f" && text[place + character.length] > "\x7f";
    return JOINERS.includes(character) && beyondAscii ? character : escapeOf(character);
  });
}

function escapeOf(character) {
  if (character in NAMED) return NAMED[character];
  const code = character.codePointAt(0).toString(16);
  if (code.length > 4) return `\\U${code.padStart(8, "0")}`;
  return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
}
