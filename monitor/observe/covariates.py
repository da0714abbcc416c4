"""What is known of a trace before its answer, read from its prompt and its labels."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from monitor.domain.covariates import Covariates
from monitor.domain.trace import USER_ROLES, Trace, prompt_of
from monitor.observe.sketch import count_words, sketch_prompts

SYSTEM_ROLES = frozenset({"system", "developer"})
_DIGITS = b"0123456789"


def covariates_of(traces: Sequence[Trace], cohorts: Sequence[str], repeated: Sequence[bool]) -> Covariates:
    """Return the covariates of *traces*; *cohorts* names each one's, *repeated* says which are not observed."""
    prompts = [prompt_of(trace.messages) for trace in traces]
    sketches = sketch_prompts(prompts)
    names = tuple(sorted(set(cohorts)))
    codes = {name: code for code, name in enumerate(names)}
    tokens = [np.nan if trace.input_tokens is None else trace.input_tokens for trace in traces]
    turns = [sum([message.role in USER_ROLES for message in trace.messages]) for trace in traces]
    return Covariates(
        sketch=sketches.ids,
        sketch_starts=sketches.starts,
        input_tokens=np.array(tokens, np.float64),
        prompt_words=np.array([np.nan if text is None else count_words(text) for text in prompts], np.float64),
        turns=np.array(turns, np.int64),
        contexts=np.array([context_of(trace) for trace in traces], np.uint16),
        languages=sketches.languages,
        cohorts=names,
        cohort_codes=np.array([codes[name] for name in cohorts], np.int32),
        observed=~np.array(repeated, np.bool_),
    )


def context_of(trace: Trace) -> int:
    """Return a hash of the system messages, from 1 to 65,535, and 0 without any.

    Digits are left out, so that a system prompt that tells the date is the same one tomorrow.
    """
    texts = [message.content for message in trace.messages if message.role in SYSTEM_ROLES]
    if not texts:
        return 0
    found = crc32("\n".join(texts).encode("utf-8", "surrogatepass").translate(None, _DIGITS))
    return (found ^ found >> 16) & 0xFFFF or 1
