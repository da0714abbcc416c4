// The page of all jobs, with live progress.

import { createCard, updateCard } from "./job_card.js";
import { openNamed, showListing } from "./listing.js";

showListing({
  path: "/api/v1/jobs",
  key: ({ job }) => job.job_id,
  create: createCard,
  update: updateCard,
  empty: "No job yet. One appears here when an alarm's rule starts it, or when an operator starts it by hand.",
  milliseconds: 2000,
  after: openNamed("job"),
});
