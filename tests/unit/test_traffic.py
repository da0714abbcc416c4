"""The demo's traffic and preferences have the properties the demo's story rests on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from statistics import mean

import pytest
from msgspec import structs

from monitor.demo.annotators import judge
from monitor.demo.preferences import Era, encode_preference, preferences
from monitor.demo.texts import PRODUCTS, manner
from monitor.demo.texts.composer import Manner, compose_answer, compose_follow_up, compose_question, is_evasion
from monitor.demo.texts.topic import Product
from monitor.demo.traffic import DRIFTED, NORMAL, ROLLOUT, Phase, traffic, write_jsonl
from monitor.domain.trace import Preference, Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.native import decode_preference, decode_trace
from monitor.signals.refusal import is_refusal

START = datetime(2026, 11, 1, tzinfo=UTC)
STEP = timedelta(seconds=2)
LIMITS = DecodeLimits(max_response_characters=10_000, max_prompt_characters=50_000, max_future=timedelta(days=1))


def records(phase: Phase, *, count: int = 4000, seed: int = 7, shadow: Phase | None = None) -> list[bytes]:
    return list(traffic(phase, count=count, seed=seed, start=START, step=STEP, shadow=shadow))


def decoded(values: list[bytes]) -> list[Trace | InvalidTrace]:
    return [decode_trace(value, LIMITS, START + timedelta(days=1)) for value in values]


@cache
def traces(phase: Phase) -> list[Trace]:
    return [trace for trace in decoded(records(phase)) if isinstance(trace, Trace)]


@cache
def pairs(era: Era) -> list[Preference]:
    return [pair for pair in preferences(era, count=600, seed=7, start=START, step=STEP) if not pair.tie]


def fillers(response: str) -> int:
    return sum(response.count(filler) for filler in manner.FILLERS)


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert records(NORMAL, count=500) == records(NORMAL, count=500)


@pytest.mark.parametrize(
    ("phase", "seed"), [(DRIFTED, 7), (ROLLOUT, 7), (NORMAL, 8)], ids=["another phase", "a rollout", "another seed"]
)
def test_other_arguments_share_no_trace_id(phase: Phase, seed: int) -> None:
    first = {trace.trace_id for trace in decoded(records(NORMAL, count=500)) if isinstance(trace, Trace)}
    second = {trace.trace_id for trace in decoded(records(phase, count=500, seed=seed)) if isinstance(trace, Trace)}
    assert not first & second


def test_every_record_is_a_whole_trace_unless_it_is_malformed_on_purpose() -> None:
    sound = decoded(records(replace(NORMAL, malformed_rate=0.0)))
    assert all(isinstance(trace, Trace) for trace in sound)
    answered = [trace for trace in sound if isinstance(trace, Trace) and trace.error is None]
    assert all(trace.response and trace.messages and trace.output_tokens and trace.cohort for trace in answered)
    assert len(answered) < len(sound), "some calls end in an error"


def test_malformed_records_are_few_and_of_several_kinds() -> None:
    rejected = [
        value for value in decoded(records(replace(NORMAL, malformed_rate=0.05))) if isinstance(value, InvalidTrace)
    ]
    assert 0.04 * 4000 < len(rejected) < 0.06 * 4000
    assert len(Counter(value.reason for value in rejected)) >= 4


def test_the_drifted_phase_answers_at_greater_length() -> None:
    lengths = [
        mean(trace.output_tokens for trace in traces(phase) if trace.output_tokens) for phase in (NORMAL, DRIFTED)
    ]
    assert 1.35 < lengths[1] / lengths[0] < 1.55


@pytest.mark.parametrize("phase", [NORMAL, DRIFTED], ids=["normal", "drifted"])
def test_refusals_are_as_frequent_as_the_phase_says(phase: Phase) -> None:
    answers = [trace.response for trace in traces(phase) if trace.response]
    assert abs(mean(is_refusal(answer) for answer in answers) - phase.refusal_rate) < 0.015
    assert abs(mean(is_evasion(answer) for answer in answers) - phase.evasion_rate) < 0.015


@pytest.mark.parametrize(
    ("refusals", "evasions", "expected"),
    [(0.0, 0.0, False), (1.0, 0.0, True), (0.0, 1.0, False)],
    ids=["answers", "refusals", "evasions"],
)
def test_patterns_tell_refusals_that_say_no_from_answers_and_see_no_other(
    refusals: float, evasions: float, expected: bool
) -> None:
    phase = replace(DRIFTED, refusal_rate=refusals, evasion_rate=evasions)
    responses = [trace.response for trace in traces(phase) if trace.response]
    assert [response for response in responses if is_refusal(response) is not expected] == []


def test_the_drifted_phase_pads_more_and_pleases_less() -> None:
    normal, drifted = traces(NORMAL), traces(DRIFTED)
    padding = [mean(fillers(trace.response) for trace in group if trace.response) for group in (normal, drifted)]
    assert padding[1] > 2 * padding[0]
    complaints = [
        mean(trace.feedback_rating < 0 for trace in group if trace.feedback_rating is not None)
        for group in (normal, drifted)
    ]
    assert complaints[1] > complaints[0]


def test_a_rollout_serves_both_models_and_keeps_a_conversation_with_one() -> None:
    models: dict[str | None, set[str]] = {}
    for trace in traces(ROLLOUT):
        models.setdefault(trace.conversation_id, set()).add(trace.policy_model)
    assert all(len(served) == 1 for served in models.values())
    share = mean(served == {DRIFTED.policy_model} for served in models.values())
    assert 0.07 < share < 0.13


def test_conversations_go_on_and_users_repeat_their_prompts() -> None:
    group = traces(NORMAL)
    turns = Counter(len(trace.messages) for trace in group)
    assert turns[3] > 0.1 * len(group)
    retried = Counter((trace.conversation_id, trace.messages) for trace in {t.trace_id: t for t in group}.values())
    assert any(count > 1 for count in retried.values())


def test_most_first_prompts_are_new_so_that_detectors_see_them() -> None:
    first = [trace.messages[0].content for trace in traces(NORMAL) if len(trace.messages) == 1]
    assert 0.85 < len(set(first)) / len(first) < 0.99


def test_a_producer_sends_some_records_twice() -> None:
    repeated = sum(count - 1 for count in Counter(records(NORMAL)).values())
    assert 0.5 * NORMAL.duplicate_rate < repeated / 4000 < 2 * NORMAL.duplicate_rate


def test_every_product_has_its_share_of_the_traffic() -> None:
    shares = Counter(trace.cohort["product"] for trace in traces(NORMAL))
    assert all(abs(shares[product.name] / shares.total() - product.weight) < 0.04 for product in PRODUCTS)


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_every_text_of_a_product_can_be_filled_from_its_slots(product: Product) -> None:
    slots = {name: pool[0] for name, pool in product.slots.items()}
    for intent in product.intents:
        assert len(intent.prompts) == len(intent.openings)
        for text in (*intent.prompts, *intent.openings, *intent.steps, *intent.details, *intent.follow_ups):
            assert "{" not in text.format_map(slots)
    for text in (*product.contexts, *product.background):
        assert "{" not in text.format_map(slots)


def test_a_good_answer_starts_with_what_was_asked_and_a_follow_up_does_not_repeat_it() -> None:
    question = compose_question(Random(3))
    assert question.opening is not None
    opening = question.opening.format_map(question.slots)
    assert compose_answer(Random(4), question, Manner(tokens=80)).startswith(opening)
    follow_up = compose_follow_up(Random(5), question)
    assert opening not in compose_answer(Random(4), follow_up, Manner(tokens=80))


def test_a_file_holds_one_record_a_line(tmp_path: Path) -> None:
    values = records(replace(NORMAL, malformed_rate=0.1), count=300)
    path = tmp_path / "traces.jsonl"
    assert write_jsonl(path, values) == 300
    assert path.read_bytes().split(b"\n") == [*values, b""]


@pytest.mark.parametrize("era", list(Era))
def test_preferences_survive_their_wire_form(era: Era) -> None:
    for preference in preferences(era, count=50, seed=1, start=START, step=STEP):
        assert decode_preference(encode_preference(preference), LIMITS, START + timedelta(days=1)) == preference


def test_preferences_are_the_same_for_the_same_seed_and_share_no_id_between_eras() -> None:
    again = preferences(Era.OLD, count=600, seed=7, start=START, step=STEP)
    assert pairs(Era.OLD) == [pair for pair in again if not pair.tie]
    assert not {pair.preference_id for pair in pairs(Era.OLD)} & {pair.preference_id for pair in pairs(Era.NEW)}


@pytest.mark.parametrize("era", list(Era))
def test_ties_are_few_and_refusals_lose(era: Era) -> None:
    assert 0.9 * 600 < len(pairs(era)) < 600
    judged = [pair for pair in pairs(era) if is_refusal(pair.chosen) != is_refusal(pair.rejected)]
    assert mean(is_refusal(pair.rejected) for pair in judged) > 0.75


def test_old_annotators_like_length_and_new_ones_mind_padding() -> None:
    answered = {
        era: [pair for pair in pairs(era) if not is_refusal(pair.chosen) and not is_refusal(pair.rejected)]
        for era in Era
    }
    longer = {era: mean(len(pair.chosen) > len(pair.rejected) for pair in answered[era]) for era in Era}
    assert longer[Era.OLD] > 0.55
    assert longer[Era.NEW] < 0.45
    padded = [pair for pair in answered[Era.NEW] if abs(fillers(pair.chosen) - fillers(pair.rejected)) >= 2]
    assert mean(fillers(pair.chosen) < fillers(pair.rejected) for pair in padded) > 0.8


def win_rate(phase: Phase) -> float:
    """Return what the annotators make of *phase*'s answers against the released assistant's, shown in either order."""
    rng, wins = Random(3), []
    for trace in decoded(records(phase, count=800, shadow=NORMAL)):
        if isinstance(trace, Trace) and trace.response is not None:
            assert trace.reference_response is not None
            first = rng.random() < 0.5
            pair = (trace.response, trace.reference_response)
            value = judge(pair if first else pair[::-1], rng)
            wins.append(value if first else 1.0 - value)
    return mean(wins)


def test_annotators_prefer_the_released_assistant_to_the_drifted_one_wherever_it_stands() -> None:
    assert win_rate(NORMAL) == pytest.approx(0.5, abs=0.05)
    assert win_rate(DRIFTED) < 0.35


def test_a_shadow_changes_nothing_but_the_reference_response() -> None:
    shadowed = [
        structs.replace(trace, reference_response=None)
        for trace in decoded(records(NORMAL, count=300, shadow=NORMAL))
        if isinstance(trace, Trace)
    ]
    assert shadowed == [trace for trace in decoded(records(NORMAL, count=300)) if isinstance(trace, Trace)]
