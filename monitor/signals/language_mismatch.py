"""Whether the answer is in another language than the prompt: the binary signal `language_mismatch`."""

from __future__ import annotations

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace, prompt_of
from monitor.signals.markup import without_fences
from monitor.signals.reading import answer_of, written_in

LANGUAGE_MISMATCH = Signal(
    "language_mismatch", SignalKind.BINARY, "ratio", "the answer is in another language than the prompt", of_texts=True
)
VERSION = "votes-1"  # raise it with every change of how a language is told


def observe_language_mismatch(trace: Trace) -> Observation | None:
    """Compare the languages of the last user message and of the answer; None where either is not clear.

    An answer that was asked to translate is another language by right: the rate counts these as well, and a window
    of the same use holds as many.
    """
    answer, prompt = answer_of(trace), prompt_of(trace.messages)
    if answer is None or not prompt:
        return None
    asked = written_in(prompt)
    said = written_in(without_fences(answer)) if asked else ""
    return Observation(LANGUAGE_MISMATCH.name, VERSION, float(said != asked)) if said else None
