"""Labels: taken a batch at a time, and told with their history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import Meta, Struct

from monitor.domain.label import LabelOutcome, StoredLabel
from monitor.domain.order import Actor
from monitor.errors import InvalidInput, InvalidTrace
from monitor.ingest.decode import MAX_DIMENSIONS, parse_json
from monitor.ingest.formats.native import MAX_NAME_CHARACTERS, NativeLabel
from monitor.web.auth import Annotator, Viewer
from monitor.web.paging import LINK, MOST, WHOLE, Named, paged
from monitor.web.problem import describe
from monitor.web.state import kept

MAX_LABELS = 1000
router = APIRouter(tags=["labels"])


@dataclass(frozen=True, slots=True)
class PostedLabel:
    label_id: str
    outcome: LabelOutcome  # stored, corrected (stored, and later than what it corrects), or known: it came before


class Labels(Protocol):
    def post(self, rows: Sequence[bytes], *, actor: Actor) -> Sequence[PostedLabel]:
        """Store labels, each in its native JSON, and write one row of the audit; return what became of each.

        Raises `InvalidRows`, and then stores none, where any of them is not sound.
        """
        ...

    def labels_of(self, trace_id: str, *, limit: int) -> Sequence[StoredLabel]:
        """Return all that was said of a trace, what was corrected and taken back included, the newest first."""
        ...


class _Batch(Struct, frozen=True, forbid_unknown_fields=True):
    labels: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_LABELS)]


_BATCH = msgspec.json.Decoder(_Batch)
LabelsPort = Annotated[Labels, kept("labels")]
TraceId = Annotated[
    str, Query(min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=r"^[^\x00]*$", description="of any trace or none")
]


async def _body(request: Request) -> bytes:
    return await request.body()


_STORABLE = {"pattern": r"^[^\x00]*$"}


def _batch_schema() -> dict[str, Any]:
    definitions = msgspec.json.schema(NativeLabel)["$defs"]
    label = definitions["NativeLabel"]
    label["properties"]["source"] |= definitions["LabelSource"]
    del label["properties"]["source"]["$ref"]
    label["properties"]["timestamp"]["format"] = "date-time"
    for field in label["properties"].values():
        for option in (field, *field.get("anyOf", ())):
            if option.get("type") == "object":
                option |= {"maxProperties": MAX_DIMENSIONS, "propertyNames": option["propertyNames"] | _STORABLE}
            elif option.get("type") == "string" and "format" not in option and "enum" not in option:
                option.setdefault("pattern", _STORABLE["pattern"])
    labels = {"type": "array", "minItems": 1, "maxItems": MAX_LABELS, "items": label}
    batch = {"type": "object", "required": ["labels"], "properties": {"labels": labels}, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": batch}}}}


@router.post("/labels", responses=describe(413), openapi_extra=_batch_schema())
def post_labels(actor: Annotator, labels: LabelsPort, body: Annotated[bytes, Depends(_body)]) -> Sequence[PostedLabel]:
    """Store a batch of labels, all of it or nothing; sent again, it changes nothing.

    Where a label is refused, `rows` names each one that is wrong: its index, a reason of a closed list, and the field,
    its value and what was wanted.
    """
    batch = parse_json(_BATCH, body)
    if isinstance(batch, InvalidTrace):
        raise InvalidInput(f'body: {batch.detail}; send {{"labels": [...]}} with 1 to {MAX_LABELS} labels')
    return labels.post([bytes(row) for row in batch.labels], actor=actor)


@router.get("/labels", responses={200: {"headers": LINK}})
def get_labels(
    _: Viewer, labels: LabelsPort, trace_id: TraceId, page: Annotated[Named, paged(tuple[str, ...], MOST)]
) -> Sequence[StoredLabel]:
    """Return what was said of a trace, the newest first; `latest` marks what stands."""
    return page.cut(labels.labels_of(trace_id, limit=WHOLE), _order, newest_first=True)


def _order(stored: StoredLabel) -> tuple[str, ...]:
    label = stored.label
    return label.timestamp.isoformat(), label.label_id, label.digest().hex()
