"""How much of the prompt the answer says again, word for word: the signal `prompt_copy`."""

from __future__ import annotations

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace, prompt_of
from monitor.signals.reading import answer_of

PROMPT_COPY = Signal(
    "prompt_copy",
    SignalKind.PROBABILITY,
    "ratio",
    "share of the prompt that the answer says again, word for word",
    of_texts=True,
)
VERSION = "pieces-1"  # raise it with every change of what is looked for
PIECE_CHARACTERS = 24  # some four words: shorter ones stand in any two texts about the same
MOST_PIECES = 24  # of a longer prompt, evenly spread


def observe_prompt_copy(trace: Trace) -> Observation | None:
    """Return which share of the last user message stands in the answer, by pieces of `PIECE_CHARACTERS` characters.

    Case does not matter, and no language is assumed. A prompt of less than two pieces says nothing: to repeat a
    question of five words is no copying.
    """
    answer, prompt = answer_of(trace), prompt_of(trace.messages)
    if answer is None or prompt is None or trace.truncated or len(prompt) < 2 * PIECE_CHARACTERS:
        return None
    whole, said = prompt.lower(), answer.lower()
    last = len(whole) - PIECE_CHARACTERS
    count = min(len(whole) // PIECE_CHARACTERS, MOST_PIECES)
    starts = [last * number // (count - 1) for number in range(count)]
    copied = sum([whole[start : start + PIECE_CHARACTERS] in said for start in starts])
    return Observation(PROMPT_COPY.name, VERSION, copied / count)
