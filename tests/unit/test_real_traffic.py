"""What the benchmark of real traffic replays is what its tables say it is."""

from __future__ import annotations

import pytest

from tests.benchmarks.traffic import azure, chat, mix

pytestmark = pytest.mark.usefixtures("shared_data")


def test_a_mix_run_asks_no_prompt_twice_and_meets_an_unseen_kind_only_after_the_baseline() -> None:
    for case in mix.cases():
        before, after = mix.phases(case)
        prompts = [item.prompt for item in (*before, *after)]
        assert len(prompts) == len(set(prompts)), case.name
        if case.form in {"unseen", "label"}:
            assert not {item.kind for item in before} & set(case.new), case.name
            assert {item.kind for item in after} >= set(case.new), case.name


def test_a_changed_run_differs_from_the_untouched_one_only_in_lengths_past_the_change() -> None:
    untouched, longer = (azure.calls("backward", 3_000, 2_000, factor) for factor in (azure.NO_CHANGE, 1.5))
    change = 2_000 + azure.QUIET
    assert longer[:change] == untouched[:change]
    assert [trace.input_tokens for trace in longer] == [trace.input_tokens for trace in untouched[: len(longer)]]
    ratios = [(b.output_tokens or 0) / (a.output_tokens or 1) for a, b in zip(untouched, longer, strict=False)]
    assert sum(ratios[change:]) / len(ratios[change:]) == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize("direction", azure.DIRECTIONS)
def test_time_runs_forward_in_both_directions_of_the_hour(direction: str) -> None:
    times = [trace.timestamp for trace in azure.hour(direction)]
    assert times == sorted(times)


def test_every_half_holds_half_of_the_prompts() -> None:
    for halves in (*map(chat.rotated, range(chat.ROTATIONS)), chat.scattered(0), chat.halved(0), chat.halved(1)):
        asked = [row["i"] for half in halves for row in half]
        assert sorted(asked) == [row["i"] for row in chat.prompts()]
