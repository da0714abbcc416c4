"""How far annotators agree."""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import APIRouter

from monitor.labels.agreement import AgreementReport
from monitor.web.auth import Viewer
from monitor.web.state import kept

router = APIRouter(prefix="/review", tags=["review"])


class Agreements(Protocol):
    def report(self) -> AgreementReport: ...


@router.get("/agreement")
def get_agreement(_: Viewer, agreement: Annotated[Agreements, kept("agreement")]) -> AgreementReport:
    """Return raw agreement, Cohen's kappa and Krippendorff's alpha, and what sways annotators.

    By kind of label, and within it by criteria, dimension, annotator (with the others) and ISO week. A measure is null
    where no item was judged twice, or all judgements are the same. `current` is what training is held by, and
    that of `refusals` what a refresh of the refusal model is held by.
    """
    return agreement.report()
