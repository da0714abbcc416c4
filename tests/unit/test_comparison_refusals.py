"""Both answers to a prompt that is asked again are read for refusals as traces are, prompt and answer together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.app.reference import identity_of
from monitor.domain.reference import AnswerOutcome, LoggedAnswer, ReferenceAnswer
from monitor.domain.trace import Message, Trace
from monitor.drift.comparison import Comparison
from monitor.settings.reference import ReferenceSettings
from monitor.signals.refusal import PatternRefusal, RefusalReading

ASKED = (Message("user", "May I?"),)


@dataclass
class Evasions:
    """Takes what never answers for a refusal."""

    version: str = "evasions-1"
    threshold: float = 0.8

    def read(self, traces: Sequence[Trace]) -> list[RefusalReading | None]:
        assert all(trace.messages == ASKED for trace in traces)
        wide = [RefusalReading(0.8, 0.6) if "decide" in (trace.response or "") else None for trace in traces]
        return list(wide)


class Released:
    def ask(self, messages: Sequence[Message]) -> ReferenceAnswer:
        return ReferenceAnswer(AnswerOutcome.ANSWERED, text="Yes, you may.", output_tokens=4)

    def close(self) -> None: ...


def test_a_polite_refusal_is_told_by_whoever_reads_the_traces() -> None:
    logged = LoggedAnswer("t-1", ASKED, "That is for you to decide.", output_tokens=6, finish_reason="stop")
    for model, refused in ((Evasions(), True), (PatternRefusal(), False)):
        comparison = Comparison(Released(), lambda rows: [None] * len(rows), model)
        _, old, new = comparison.compare(logged)
        assert new is not None
        assert (old.refused, new.refused) == (refused, False)


def test_answers_that_another_model_has_read_are_asked_for_again() -> None:
    settings = ReferenceSettings(endpoint="http://policy")
    assert identity_of(settings, Evasions()) != identity_of(settings, PatternRefusal())
    assert identity_of(settings, Evasions()) == identity_of(settings, Evasions())
