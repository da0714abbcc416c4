"""Which of a trace's labels make its cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALL = "*"  # the roll-up over cohorts
OTHER = "other"  # what does not fit under the cardinality cap
UNLABELLED = "none"  # none of the configured labels is on the trace
MAX_LABEL_CHARACTERS = 100
MAX_NAME_BYTES = 500  # with the longest policy model beside it, it still fits a row of an index


@dataclass(frozen=True, slots=True)
class CohortRule:
    """An allow-list of label keys, in the order in which they make a cohort's name."""

    keys: tuple[str, ...] = ()

    def name(self, labels: Mapping[str, str]) -> str:
        """Return "dataset=koala,region=eu"; a missing label is left out, and what is too long is cut."""
        present = [f"{key}={labels[key][:MAX_LABEL_CHARACTERS]}" for key in self.keys if key in labels]
        return ",".join(present).encode()[:MAX_NAME_BYTES].decode(errors="ignore") if present else UNLABELLED
