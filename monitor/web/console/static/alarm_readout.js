// What the curves hold where the pointer is, or the arrow keys have gone: the same place in both plots.

import { byId, setAttribute, setText, svg } from "./dom.js";
import { bareValue, utc } from "./format.js";

let at = null; // the place that is read, kept while the plots are drawn anew
let drawn = null;

// Draw the plots, in place of those before: `frame.x` gives a place's x, in the plots' own units.
export function readOut(curves, frame, plots) {
  const kept = at; // taking a plot away that has the focus would end its reading
  const held = [...byId("plots").children].indexOf(document.activeElement);
  byId("plots").replaceChildren(...plots);
  drawn = { curves, frame, places: placesOf(curves) };
  for (const plot of plots) {
    setAttribute(plot, "tabindex", 0);
    plot.onpointermove = (event) => show(placeAt(plot, event));
    plot.onpointerleave = () => document.activeElement !== plot && show(null);
    plot.onkeydown = (event) => step(event);
    plot.onfocus = () => show(at ?? drawn.places.at(-1));
    plot.onblur = () => show(null);
  }
  show(kept);
  plots[held]?.focus({ preventScroll: true });
}

function placesOf({ lines, evidence }) {
  return (lines[0]?.points ?? evidence?.points ?? []).map(({ place }) => place);
}

function placeAt(plot, { clientX }) {
  const { left, width } = plot.getBoundingClientRect();
  const x = ((clientX - left) * drawn.frame.width) / width;
  return nearest(drawn.places.map((place) => ({ place })), (place) => Math.abs(drawn.frame.x(place) - x))?.place ?? null;
}

function nearest(points, distance) {
  return points.reduce((best, point) => (best === null || distance(point.place) < distance(best.place) ? point : best), null);
}

function step(event) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const { places } = drawn;
  const next = places.indexOf(at) + steps[event.key];
  show(places[Math.min(Math.max(next, 0), places.length - 1)] ?? null);
}

function show(place) {
  at = place;
  for (const plot of byId("plots").querySelectorAll("svg")) {
    plot.querySelector(".readout")?.remove();
    if (place === null) continue;
    const x = drawn.frame.x(place).toFixed(1);
    plot.append(svg("line", { x1: x, x2: x, y1: 0, y2: plot.getAttribute("height"), class: "readout" }));
  }
  setText(byId("readout"), place === null ? "" : told(place));
}

function told(place) {
  const { curves } = drawn;
  const near = (points) => nearest(points, (other) => Math.abs(other - place));
  const moment = near(curves.moments);
  const lines = curves.lines.map(({ policy_model: model, points }) => `${model} ${bareValue(near(points).value, curves.unit)}`);
  const evidence = curves.evidence === null ? [] : [`evidence ${near(curves.evidence.points).value.toFixed(2)}`];
  return [...(moment === null ? [] : [`trace time ${utc(new Date(moment.trace_time))}`]), ...lines, ...evidence].join(" · ");
}
