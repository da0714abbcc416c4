"""Which traces' texts are stored, and what is refused where they are not."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from monitor.app.rules import require_texts, text_rule_of
from monitor.domain.review import Selection
from monitor.errors import InvalidSetting
from monitor.ingest.join import JoinRules
from monitor.ingest.record import Record
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.gather import ObservedTrace
from monitor.observe.step import ObserveRules
from monitor.observe.texts import NOT_KEPT, TextRule, without_texts
from monitor.pipeline.batch import BatchBuilder
from monitor.settings.root import Settings
from monitor.telemetry.metrics import Metrics
from tests.traces import scored, trace
from tests.unit.memory import LIMITS, NOW, InMemoryCheckpoints, lines, router

KEY = b"k" * 32
TRACES = scored([trace(number, error="it broke" if number % 2 else None) for number in range(4_000)])


def kept(observed: tuple[ObservedTrace, ...]) -> list[str]:
    return [item.trace.trace_id for item in observed if item.trace.response is not None]


def test_all_texts_are_stored_unless_less_is_asked_for() -> None:
    assert TextRule().stored(TRACES) == tuple(TRACES)


def test_a_sample_keeps_its_share_the_same_ones_wherever_batches_are_cut() -> None:
    rule = TextRule(0.1, KEY)
    found = kept(rule.stored(TRACES))
    assert 320 < len(found) < 480
    assert found == [name for start in range(0, 4_000, 7) for name in kept(rule.stored(TRACES[start : start + 7]))]
    assert found != kept(TextRule(0.1, b"another").stored(TRACES))


def test_nothing_but_what_was_read_of_a_text_is_left_where_none_is_stored() -> None:
    for item in TextRule(0.0, KEY).stored(TRACES[:2]):
        assert (item.trace.messages, item.trace.response, item.trace.reference_response) == ((), None, None)
        assert item.trace.output_tokens == 100
    assert [item.trace.error for item in TextRule(0.0, KEY).stored(TRACES[:2])] == [None, NOT_KEPT]


def test_a_trace_that_people_are_to_judge_keeps_its_text_in_a_sample() -> None:
    selected = Selection("preference", 0.1, 0.1, selected=True)
    drawn = [ObservedTrace(item.trace, item.cohort, False, selections=(selected,)) for item in TRACES]
    assert len(kept(TextRule(0.01, KEY).stored(drawn))) == 4_000
    assert kept(TextRule(0.0, KEY).stored(drawn)) == []


def test_a_checkpoint_without_texts_observes_what_one_with_texts_does() -> None:
    def built(rule: TextRule) -> tuple[object, list[str | None]]:
        store = InMemoryCheckpoints()
        made = BatchBuilder(
            ObserveRules(texts=rule),
            store,
            InMemoryCohortNames(9),
            reward_model=lambda: None,
            metrics=Metrics(CollectorRegistry()),
            joining=JoinRules(LIMITS),
        )
        records = [Record("traces", 0, number, None, value) for number, value in enumerate(lines(*range(50)))]
        checkpoint = made.build(router().decode(records, NOW), {})
        entry = checkpoint.observed.entry
        seen = [(batch.series, batch.values.tolist(), batch.places.tolist()) for batch in entry.observations]
        known = (seen, entry.subjects.ids, entry.subjects.covariates)
        return known, [item.trace.response for item in checkpoint.observed.traces]

    with_texts, without = built(TextRule()), built(TextRule(0.0, KEY))
    assert with_texts[0] == without[0]
    assert (set(without[1]), None in with_texts[1]) == ({None}, False)


def test_an_error_without_its_text_is_an_error_still() -> None:
    assert without_texts(trace(error="it broke")).error == NOT_KEPT
    assert without_texts(trace()).error is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"drift": {"reference": {"endpoint": "http://policy/v1"}}}, "drift.reference.endpoint: "),
        ({"retrain": {"rules": [{"signals": ["refusal"], "action": "dpo"}]}}, "retrain.rules: dpo "),
        ({"retrain": {"periodic": [{"cron": "0 3 * * 0", "action": "kto"}]}}, "retrain.periodic: kto "),
    ],
)
def test_what_needs_stored_texts_is_refused_at_the_start_where_none_is_stored(
    settings: dict[str, object], told: str
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        require_texts(Settings(ingest={"text": {"keep": "none"}}, **settings))  # type: ignore[arg-type]
    assert str(refused.value).startswith(told)
    assert "ingest.text.keep = 'none' stores none" in str(refused.value)
    require_texts(Settings(ingest={"text": {"keep": "sampled"}}, **settings))  # type: ignore[arg-type]


def test_the_settings_say_which_share_is_stored() -> None:
    ratios = {
        keep: text_rule_of(Settings(ingest={"text": {"keep": keep, "ratio": 0.25}})).ratio
        for keep in ("all", "sampled", "none")
    }
    assert ratios == {"all": 1.0, "sampled": 0.25, "none": 0.0}
