"""Traces as lines of the native JSON form."""

from __future__ import annotations

import json
from typing import Any

from monitor.domain.trace import TokenSource, Trace


def native_line(trace: Trace) -> str:
    """Return *trace* as one line that the native format reads as the same trace; only ASCII, and no control character.

    Tokens that were counted here and not reported are left out: whoever reads it counts anew.
    """
    scores = trace.reward_scores
    form: dict[str, Any] = {
        "trace_id": trace.trace_id,
        "timestamp": trace.timestamp.isoformat().replace("+00:00", "Z"),
        "policy_model": trace.policy_model,
        "conversation_id": trace.conversation_id,
        "user_id": trace.user_id,
        "cohort": dict(trace.cohort) or None,
        "messages": [{"role": message.role, "content": message.content} for message in trace.messages] or None,
        "response": trace.response,
        "reference_response": trace.reference_response,
        "finish_reason": trace.finish_reason,
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens if trace.output_tokens_source is TokenSource.REPORTED else None,
        "latency_seconds": trace.latency_seconds,
        "feedback": None if trace.feedback_rating is None else {"rating": trace.feedback_rating},
        "error": trace.error,
        "reward_scores": None if scores is None else {"policy": scores.policy, "reference": scores.reference},
        "tool_calls": trace.tool_calls or None,
        "truncated": trace.truncated or None,
        "first_token_seconds": trace.first_token_seconds,
        "cached_input_tokens": trace.cached_input_tokens,
        "output_type": trace.output_type,
        "output_schema": trace.output_schema,
    }
    told = {name: value for name, value in form.items() if value is not None}
    return json.dumps(told).replace("\x7f", "\\u007f")
