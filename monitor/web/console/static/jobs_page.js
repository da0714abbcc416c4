// The page of all jobs, with live progress.

import { createCard, updateCard } from "./job_card.js";
import { showListing } from "./listing.js";

let sought = /^#(job-\d+)$/.exec(location.hash)?.[1] ?? null; // that a link names, until it was shown

showListing({
  path: "/api/v1/jobs",
  key: ({ job }) => job.job_id,
  create: createCard,
  update: updateCard,
  empty: "No job yet. One appears here when an alarm's rule starts it, or when an operator starts it by hand.",
  milliseconds: 2000,
  after: showSought,
});

function showSought() {
  const card = sought === null ? null : document.getElementById(sought);
  if (card === null) return;
  sought = null;
  card.querySelector("details").open = true;
  card.scrollIntoView();
}
