"""The optional signals of how answers are written."""

from __future__ import annotations

from collections.abc import Callable

from monitor.domain.signal import Observation, Signal
from monitor.domain.trace import Trace
from monitor.signals.apology import APOLOGY, observe_apology
from monitor.signals.disclaimer import DISCLAIMER, observe_disclaimer
from monitor.signals.flattery import AGREEMENT, PRAISE, observe_agreement, observe_praise
from monitor.signals.formatting import (
    BOLD,
    CODE_SHARE,
    EMOJI,
    HEADINGS,
    LIST_SHARE,
    TABLE,
    observe_bold,
    observe_code_share,
    observe_emoji,
    observe_heading,
    observe_list_share,
    observe_table,
)
from monitor.signals.hedging import CONFIDENCE, HEDGING, observe_confidence, observe_hedging
from monitor.signals.language_mismatch import LANGUAGE_MISMATCH, observe_language_mismatch
from monitor.signals.prompt_copy import PROMPT_COPY, observe_prompt_copy
from monitor.signals.repetition import LOOP, REPETITION, observe_loop, observe_repetition
from monitor.signals.self_reference import SELF_REFERENCE, observe_self_reference
from monitor.signals.structured import JSON_VALIDITY, SCHEMA_VALIDITY, observe_json_validity, observe_schema_validity

HABITS: dict[Signal, Callable[[Trace], Observation | None]] = {
    HEDGING: observe_hedging,
    CONFIDENCE: observe_confidence,
    DISCLAIMER: observe_disclaimer,
    SELF_REFERENCE: observe_self_reference,
    APOLOGY: observe_apology,
    PRAISE: observe_praise,
    AGREEMENT: observe_agreement,
    LIST_SHARE: observe_list_share,
    HEADINGS: observe_heading,
    TABLE: observe_table,
    BOLD: observe_bold,
    CODE_SHARE: observe_code_share,
    EMOJI: observe_emoji,
    REPETITION: observe_repetition,
    LOOP: observe_loop,
    PROMPT_COPY: observe_prompt_copy,
    LANGUAGE_MISMATCH: observe_language_mismatch,
    JSON_VALIDITY: observe_json_validity,
    SCHEMA_VALIDITY: observe_schema_validity,
}
