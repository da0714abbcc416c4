"""What a call waits for, what it is made of, and what becomes of a part whose partner never comes."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from monitor.domain.trace import Message, Trace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.join import Joined, JoinRules, join
from monitor.ingest.join_call import Held
from monitor.ingest.join_memory import MemoryJoin
from monitor.ingest.outcome import SkipReason
from monitor.ingest.part import Part
from monitor.telemetry.intake import Missing
from tests.joining import RULES, Replay
from tests.parts import HERE, LIMITS, NOW, SECOND, START_NS, bare, call, content, context
from tests.traces import START

OTHER = ("logs", 3, 7)
ASKER = {"conversation_id": "chat", "user_id": "anna"}
PROMPT = (Message("user", "Q?"),)
PROMPT_TOLD = (("user", "Q?"),)


def only(joined: Joined) -> Trace:
    ((trace, _),) = joined.traces
    return trace


def at_once(*parts: Part) -> Joined:
    return Replay().take_parts(*parts)


READY = {
    "a root with all its texts": [call()],
    "a call and its root": [call(parent="p"), context("p")],
    "a parent and the conversation, although the root is missing": [
        call(parent="p"), context("p", parent="r", **ASKER),
    ],
    "texts in another part": [bare(), content()],
    "tool calls instead of an answer": [bare(tool_calls=1, messages=(("user", "Q?"),))],
    "an error instead of an answer": [bare(error="500", messages=(("user", "Q?"),))],
    "a prompt, and an end without an answer": [bare(finish_reason="stop", messages=(("user", "Q?"),))],
    "an end without an answer, where answers are told": [
        bare(finish_reason="stop"), content(response=None), content(messages=(), response=None, finish_reason="stop"),
    ],
}  # fmt: skip
WAITING: dict[str, tuple[list[Part], set[Missing]]] = {
    "no prompt": ([bare(response="A.")], {Missing.TEXT}),
    "no answer": ([bare(messages=(("user", "Q?"),))], {Missing.TEXT}),
    "an end, and texts elsewhere": ([bare(finish_reason="stop"), content(response=None)], {Missing.TEXT}),
    "no parent": ([call(parent="p", **ASKER)], {Missing.PARENT}),
    "neither conversation nor root": ([call(parent="p"), context("p", parent="r")], {Missing.PARENT}),
    "no span": ([content(model="phi-2")], {Missing.SPAN}),
}


@pytest.mark.parametrize("parts", READY.values(), ids=READY)
def test_a_call_that_is_whole_is_taken_at_once_and_leaves_no_row(parts: list[Part]) -> None:
    joined = at_once(*parts)
    assert only(joined).trace_id == "t-c"
    assert not joined.waits
    assert not joined.incomplete


@pytest.mark.parametrize(("parts", "missing"), WAITING.values(), ids=WAITING)
def test_a_call_that_lacks_something_waits_and_is_taken_as_it_is_when_its_time_is_over(
    parts: list[Part], missing: set[Missing]
) -> None:
    replay = Replay()
    replay.take_parts(*parts)
    assert len(replay.waiting) == len(parts)
    replay.look(seconds=29.9)
    assert not replay.traces
    joined = replay.look(seconds=0.2)
    assert only(joined).trace_id == "t-c"
    assert set(joined.incomplete) == missing
    assert not replay.waiting


def test_nothing_waits_where_the_time_to_wait_is_zero() -> None:
    replay = Replay(JoinRules(LIMITS, patience_seconds=0.0))
    assert only(replay.take_parts(bare(parent="p"))).response is None
    assert not replay.take_parts(context("p", **ASKER)).waits


def test_the_time_to_wait_begins_with_the_first_part() -> None:
    replay = Replay()
    replay.take_parts(bare(parent="p"))
    replay.look(seconds=20)
    replay.take_parts(content(), position=OTHER)
    assert only(replay.look(seconds=10)).response == "A."


def test_texts_without_a_model_and_without_a_span_are_skipped() -> None:
    replay = Replay()
    replay.take_parts(content())
    assert replay.end().skipped == {SkipReason.UNJOINED: 1}
    assert not replay.traces


def test_a_trace_has_the_calls_times_and_what_all_of_its_parts_tell() -> None:
    made = only(
        at_once(
            context("r", labels={"team": "far", "tier": "gold"}, **ASKER),
            context("p", parent="r", labels={"team": "near"}),
            bare(
                parent="p", model=None, request_model="phi", labels={"lang": "en"}, input_tokens=7, finish_reason="stop"
            ),
            content(model="phi-2", output_tokens=9),
        )
    )
    assert made == Trace(
        "t-c", START + timedelta(seconds=1), "phi-2", "A.", PROMPT, "chat",
        cohort={"team": "near", "tier": "gold", "lang": "en"}, finish_reason="stop",
        input_tokens=7, output_tokens=2, latency_seconds=1.0, user_id="anna",
    )  # fmt: skip


def test_messages_that_come_one_by_one_are_put_in_the_order_of_time_and_two_quiet_seconds_are_awaited() -> None:
    replay = Replay()
    said = [("user", "Q?"), ("system", "Be kind."), ("user", "Hello.")]
    for number, message in enumerate(said):
        replay.take_parts(content(end_ns=START_NS - number, messages=(message,), response=None), position=OTHER)
    replay.take_parts(content(messages=()), position=OTHER)
    replay.take_parts(bare())
    replay.look(seconds=1.9)
    assert not replay.traces
    made = only(replay.look(seconds=0.2))
    assert [message.content for message in made.messages] == ["Hello.", "Be kind.", "Q?"]
    assert made.response == "A."


def test_messages_in_events_of_the_span_itself_are_all_there_with_it() -> None:
    pieces = [content(messages=(("user", "Q?"),), response=None), content(messages=())]
    assert only(at_once(bare(), *pieces)).messages == PROMPT


def test_a_text_that_was_cut_gives_way_to_a_whole_one() -> None:
    cut = call(messages=(("user", "Q"),), response="A", truncated=True)
    assert only(at_once(cut)).truncated
    made = only(at_once(cut, content()))
    assert (made.messages, made.response, made.truncated) == (PROMPT, "A.", False)


def test_a_failed_call_that_names_no_model_is_skipped_and_an_answered_one_is_invalid() -> None:
    assert at_once(bare(model=None, error="429")).waits
    failed = Replay()
    failed.take_parts(bare(model=None, error="429"))
    assert failed.end().skipped == {SkipReason.NO_MODEL: 1}
    assert at_once(call(model=None)).invalid


def test_an_answer_given_before_is_skipped() -> None:
    assert at_once(call(cached=True)).skipped == {SkipReason.CACHE_HIT: 1}


WRAPPED = {
    "a child": [call(output_tokens=None, model=None, request_model="phi"), call("i", parent="c", output_tokens=5)],
    "a grandchild": [
        call(output_tokens=None, model=None, request_model="phi"),
        context("h", parent="c"), call("i", parent="h", output_tokens=5),
    ],
    "the same answer": [
        call(output_tokens=None, model=None, request_model="phi", response_id="r-1", end_ns=START_NS + 3 * SECOND),
        call("i", parent="lost", response_id="r-1", start_ns=START_NS + 1, output_tokens=5),
    ],
}  # fmt: skip


@pytest.mark.parametrize("parts", WRAPPED.values(), ids=WRAPPED)
def test_two_spans_of_one_call_are_one_trace_that_the_outer_one_names_and_the_inner_one_completes(
    parts: list[Part],
) -> None:
    joined = at_once(*parts)
    made = only(joined)
    assert (made.trace_id, made.policy_model, made.output_tokens) == ("t-c", "phi-2", 5)
    assert ("t-i", "t-c") in joined.aliases


def test_calls_one_after_the_other_are_two_although_a_server_gives_all_answers_the_same_id() -> None:
    later = call("d", response_id="r-1", start_ns=START_NS + 5 * SECOND, end_ns=START_NS + 6 * SECOND)
    assert len(at_once(call(response_id="r-1"), later).traces) == 2


@pytest.mark.parametrize("far", [False, True], ids=["a child", "below another span of the call"])
def test_an_inner_span_that_comes_later_is_no_other_call_and_neither_are_its_texts(far: bool) -> None:
    replay = Replay()
    replay.take_parts(call(), *([context("h", parent="c")] if far else []))
    joined = replay.take_parts(call("i", parent="h" if far else "c"))
    assert (joined.duplicates, joined.waits) == (1, [])
    assert replay.take_parts(content("i", model="phi-2"), position=OTHER).duplicates == 1
    assert list(replay.traces) == ["t-c"]


def test_an_inner_call_that_failed_and_was_tried_again_leaves_no_error() -> None:
    failed = bare("i", parent="c", error="503")
    assert only(at_once(call(), failed)).error is None
    assert only(at_once(bare(messages=(("user", "Q?"),)), failed)).error == "503"


def test_parts_of_a_stored_call_are_duplicates() -> None:
    replay = Replay()
    replay.take_parts(call())
    assert replay.take_parts(call()).duplicates == 1
    assert replay.take_parts(content(), position=OTHER).duplicates == 1
    assert not replay.waiting


def test_a_part_that_came_twice_waits_once() -> None:
    replay = Replay()
    replay.take_parts(bare())
    assert replay.take_parts(bare()).duplicates == 1
    assert len(replay.waiting) == 1


def test_a_span_that_tells_who_asks_waits_for_later_calls_unless_it_came_in_one_record_with_its_own() -> None:
    replay = Replay()
    replay.take_parts(context("p", **ASKER))
    assert only(replay.take_parts(call(parent="p"), position=OTHER)).user_id == "anna"
    assert only(replay.take_parts(call("d", parent="p"), position=OTHER)).conversation_id == "chat"
    assert replay.look(seconds=31).skipped == {SkipReason.OTHER_SPAN: 1}
    assert not at_once(context("p", **ASKER), call(parent="p")).waits
    replay = Replay()
    replay.take_parts(context("p", **ASKER), bare(parent="p"))
    replay.take_parts(content(), position=OTHER)
    assert not replay.waiting
    assert at_once(context("p")).skipped == {SkipReason.OTHER_SPAN: 1}


def test_spans_without_a_word_on_who_asks_are_kept_only_while_a_call_may_need_them() -> None:
    replay = Replay()
    before = context("x", start_ns=START_NS - 9 * SECOND, end_ns=START_NS - 8 * SECOND)
    replay.take_parts(call(parent="p"), context("r"), before)
    assert [item.part.span for item in replay.waiting.values()] == ["c", "r"]
    joined = replay.take_parts(context("p", parent="r"), position=OTHER)
    assert only(joined).trace_id == "t-c"
    assert not replay.waiting


def test_the_conversation_is_the_nearest_one_and_one_that_only_others_tell_counts_where_they_agree() -> None:
    far = context("r", conversation_id="far", user_id="anna")
    near = context("p", parent="r", conversation_id="near")
    made = only(at_once(far, near, call(parent="p")))
    assert (made.conversation_id, made.user_id) == ("near", "anna")
    aside = context("s", parent="r", conversation_id="aside")
    assert only(at_once(context("r"), aside, call(parent="r"))).conversation_id == "aside"
    also = context("u", parent="r", conversation_id="another")
    assert only(at_once(context("r"), aside, also, call(parent="r"))).conversation_id is None


def test_a_call_of_which_nothing_is_told_but_its_time_did_not_fail() -> None:
    made = only(Replay(JoinRules(LIMITS, patience_seconds=0)).take_parts(bare(output_tokens=None)))
    assert (made.response, made.output_tokens, made.error, made.latency_seconds) == (None, None, None, 1.0)


STRAY = content("p", messages=(), response="A.", end_ns=START_NS + SECOND // 2)  # named by the span around its call
EARLIER = bare("b", parent="p", end_ns=START_NS + SECOND // 4, messages=PROMPT_TOLD)


@pytest.mark.parametrize(
    ("others", "answers"),
    [
        ([], {"c": "A."}),
        ([EARLIER], {"b": None, "c": "A."}),
        ([call("b", parent="p", response="B.")], {"b": "B.", "c": "A."}),
        ([bare("b", parent="p", messages=PROMPT_TOLD)], {"b": None, "c": None}),
        ([bare("b", parent="q", messages=PROMPT_TOLD), context("q", parent="p")], {"b": None, "c": "A."}),
    ],
    ids=["alone", "after another", "beside one with an answer", "beside one without", "above another"],
)
def test_an_answer_that_names_the_span_around_its_call_is_the_one_that_lacks_it(
    others: list[Part], answers: dict[str, str | None]
) -> None:
    parts = [bare(parent="p", messages=PROMPT_TOLD), context(), STRAY, *others]
    for order in (parts, parts[::-1]):
        made = Replay(JoinRules(LIMITS, patience_seconds=0)).take_parts(*order)
        assert {trace.trace_id.removeprefix("t-"): trace.response for trace, _ in made.traces} == answers


def test_answers_that_name_the_span_around_calls_side_by_side_find_them_by_what_is_left() -> None:
    early = bare("b", parent="p", end_ns=START_NS + SECOND // 4, messages=PROMPT_TOLD)
    first = content("p", messages=(), response="B.", end_ns=START_NS + SECOND // 8)  # while both calls were going on
    for order in permutations([bare(parent="p", messages=PROMPT_TOLD), early, context(), first, STRAY]):
        made = Replay(JoinRules(LIMITS, patience_seconds=0)).take_parts(*order)
        assert {trace.trace_id: trace.response for trace, _ in made.traces} == {"t-c": "A.", "t-b": "B."}


@pytest.mark.parametrize(
    "told",
    [{"messages": (("user", "And now?"),)}, {"response": "B."}],
    ids=["asked another thing", "answered otherwise"],
)
def test_answers_of_one_name_that_are_not_the_same_are_two_calls(told: dict[str, object]) -> None:
    ours, theirs = call("a", parent="p", response_id="r-1"), call("b", parent="p", response_id="r-1", **told)
    assert len(at_once(ours, theirs, context()).traces) == 2


def test_an_unsound_call_is_told_with_the_part_that_names_it() -> None:
    ((held, invalid),) = Replay(JoinRules(DecodeLimits(1, 100, LIMITS.max_future))).take_parts(call()).invalid
    assert (held.part.span, held.position, invalid.reason) == ("c", HERE, "response_too_long")
    ((_, invalid),) = at_once(call(model=None)).invalid
    assert invalid.reason == "missing_field"


def test_spans_that_are_each_others_parents_end_like_others() -> None:
    circle = [call("a", parent="b"), call("b", parent="a"), call("c", parent="c"), call("d", parent="a")]
    assert {trace.trace_id for trace, _ in at_once(*circle).traces} == {"t-a", "t-b", "t-c", "t-d"}


def test_calls_beyond_the_bound_are_ended_by_name() -> None:
    held = [Held(renamed(bare(), name), HERE) for name in ("old", "new")]
    joined = join(held, RULES, known=set(), now=NOW, ended={"old"})
    assert (only(joined).trace_id, len(joined.waits)) == ("old-c", 1)


def renamed(part: Part, trace: str) -> Part:
    from msgspec.structs import replace as changed

    return changed(part, trace=trace)


def test_files_are_joined_to_their_end_within_a_bound() -> None:
    memory = MemoryJoin(RULES, NOW, max_parts=4)
    assert memory.add(content(), HERE) is None
    assert memory.add(bare(), OTHER) is None
    made = only(memory.flush())
    assert (made.response, made.trace_id) == ("A.", "t-c")
    for number in range(4):
        assert memory.add(renamed(bare(), f"t{number}"), HERE) is None
    early = memory.add(renamed(bare(), "t4"), HERE)
    assert early is not None
    assert [trace.trace_id for trace, _ in early.traces] == ["t0-c", "t1-c", "t2-c"]
    memory.add(renamed(content(), "t0"), HERE)
    last = memory.flush()
    assert ([trace.trace_id for trace, _ in last.traces], last.duplicates) == (["t3-c", "t4-c"], 1)
