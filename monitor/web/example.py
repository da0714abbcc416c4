"""Examples for the API's description, made of its own schemas: each is a valid instance, with words one meets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TIMES = {"date": "2026-11-22", "date-time": "2026-11-22T03:00:00Z"}
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
# What fields of these names hold; None where null tells more.
WORDS: Mapping[str, object] = {
    "acknowledged_by": None,
    "action": "reward_refresh",
    "actor": "ada",
    "all_models": "chat-2",
    "all_signals": "response_length",
    "annotator": "ada",
    "annotator_id": "ada",
    "answers": "On its way.",
    "base_sha256": _SHA256,
    "because": "answers to the same prompts have changed",
    "budget": 500,
    "by": "ada",
    "candidate_version": "reward-12",
    "card": "# reward-12\n\nTrained on 800 pairs.",
    "champion": "reward-11",
    "code_version": "0.1.0",
    "cohort": "product=billing",
    "cohorts": "product=billing",
    "cohorts_added": "product=billing",
    "cohorts_lost": "product=legacy",
    "content": "Where is my order?",
    "conversation_id": "c-1",
    "created_by": "ada",
    "criteria_version": "1",
    "data": "preferences",
    "decision": "hold",
    "deleted": "traces",
    "detail": "an open alarm waits for more pairs",
    "detector": "e-detector",
    "devices": "cpu",
    "dimensions": "tone",
    "error": None,
    "event": "promoted",
    "evidence_sha256": _SHA256,
    "examples": "t-2843",
    "finish_reason": "stop",
    "former": "reward-11",
    "go_on": None,
    "hint": "judge more of what the queue holds",
    "kind": "preference",
    "label_id": "l-1",
    "last_failure": None,
    "letter": "traces.dead-letters:0:7",
    "libraries": "torch",
    "line": "step 10 of 100",
    "made_from": "baseline",
    "meaning": "tokens of the answer",
    "name": "ada",
    "note": "the release, we know",
    "observed_as": "chat-2",
    "origin": "built in",
    "output_tokens_source": "reported",
    "part": None,
    "parts": "postgres",
    "path": "/var/lib/monitor/models/reward-12",
    "phase": "train",
    "placement_blocked_by": None,
    "policy_model": "chat-2",
    "present": "response",
    "progress": "epoch 1 of 2",
    "promoted_by": "ada",
    "prompt": "Where is my order?",
    "reason": "refusals rose after the release",
    "receiver": "oncall",
    "recipe": "epochs",
    "recovered_at": None,
    "recovered_place": None,
    "reference_note": "",
    "reference_response": "It is on its way.",
    "requested_by": "ada",
    "response": "On its way.",
    "retry_at": None,
    "revoked_at": None,
    "role": "operator",
    "rule": "alarm",
    "scorer": "reward-11",
    "scorer_note": "",
    "scorer_version": "reward-11",
    "sentence": "Answers of chat-2 are longer by 214 tokens.",
    "served_as": "chat-2",
    "severity": "alert",
    "sha256": _SHA256,
    "signal": "response_length",
    "snoozed_until": None,
    "source": "traces:0:2843",
    "state": "queued",
    "subject": "alarm 7",
    "suite": "sycophancy",
    "suite_sha256": _SHA256,
    "summary": "longer answers in product=billing",
    "text": "Which answer would you rather have got?",
    "token": "Y2hhbmdlLW1lLWJlZm9yZS11c2U",
    "trace_id": "t-2843",
    "unit": "tokens",
    "unsteady": "product=legacy",
    "user_id": "u-1",
    "uses": "prompt tokens",
    "version": "reward-12",
    "what": "chat-2 was released",
    "withdrawn_at": None,
}


def example_of(schema: Mapping[str, Any], known: Mapping[str, Any], name: str = "") -> Any:
    """Return an instance of *schema*, which stands under *name*; *known* holds what it refers to by name."""
    if "$ref" in schema:
        return example_of(known[schema["$ref"].rpartition("/")[2]], known, name)
    if given := schema.get("examples"):
        return given[0]
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if options := schema.get("anyOf") if "properties" not in schema else None:
        if name in WORDS and WORDS[name] is None:
            return None
        return example_of(next(option for option in options if option.get("type") != "null"), known, name)
    return _plain(schema, known, name)


def _plain(schema: Mapping[str, Any], known: Mapping[str, Any], name: str) -> Any:
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, known, name)
    if kind == "array":
        parts = schema.get("prefixItems") or [schema["items"]]
        return [example_of(part, known, name) for part in parts]
    if kind == "boolean":
        return schema.get("default", False)
    if kind in {"integer", "number"}:
        usual = {"integer": 12, "number": 0.5}[kind]
        return min(max(usual, schema.get("minimum", usual)), schema.get("maximum", usual))
    if "format" in schema:
        return _TIMES[schema["format"]]
    return WORDS.get(name, name) if kind == "string" else {}


def _object(schema: Mapping[str, Any], known: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = {key: example_of(value, known, key) for key, value in schema.get("properties", {}).items()}
    further = schema.get("additionalProperties")
    if isinstance(further, dict):
        keys = schema.get("propertyNames", {})
        key = example_of(keys, known, name) if "$ref" in keys or "enum" in keys else str(WORDS.get(name, "all"))
        found[key] = example_of(further, known, name)
    return found
