// Building and updating the page from text alone: no string is ever parsed as markup, and none hides what it holds.

import { legible, visible } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const READ = new Set(["alt", "aria-label", "data-label", "placeholder", "title"]); // attributes that people read; the browser takes the others whole, as they are

// Make an element. Attributes that are null or false are left out; children are nodes or text.
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  const shown = children.filter((child) => child !== null);
  node.append(...shown.map((child) => (typeof child === "string" ? visible(child) : child)));
  return node;
}

export function setAttribute(node, name, value) {
  if (value === null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const given = value === true ? "" : String(value);
  const shown = READ.has(name) ? visible(given) : given;
  if (node.getAttribute(name) !== shown) node.setAttribute(name, shown);
}

// Untouched where nothing changed, so a selection in the text survives a refresh.
export function setText(node, text) {
  const shown = visible(text);
  if (node.textContent !== shown) node.textContent = shown;
}

// For a text that is read as a whole: its lines stay lines, and nothing is cut off.
export function appendText(node, text) {
  node.append(legible(text));
}

export function byId(id) {
  return document.getElementById(id);
}

export function showMessage(node, text) {
  setText(node, text);
  node.hidden = text === "";
}

// Make the children of `parent` match `items`, one child each, its key unlike any other: kept where the key is known, so focus and
// open details survive; moved only where the order changed, since moving a node takes the focus from it.
export function reconcile(parent, items, { key, create, update }) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item, index) => {
    const name = String(key(item, index));
    const child = known.get(name) ?? create(item);
    child.dataset.key = name;
    known.delete(name);
    update(child, item);
    return child;
  });
  for (const gone of known.values()) gone.remove();
  wanted.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

// A node's named parts (data-part), looked up once.
export function parts(node) {
  node.parts ??= Object.fromEntries([...node.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  return node.parts;
}
