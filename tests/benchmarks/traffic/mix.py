"""The same model on other prompts: pages where there should be none, and alarms on the input where there should be.

Forty runs over models and kinds of prompts. The same model answers before and after, and no prompt
comes twice. Each phase is shuffled, so the prompts change at one place.

- *shares*: known kinds in other shares. The baseline holds 80% of the old kinds and 20% of the
  new ones; what follows is the rest.
- *unseen*: the baseline holds 75% of the old kinds, what follows the rest of them and all of a
  kind that the baseline has none of, under the same cohort.
- *label*: the same, and the unseen kind has a cohort of its own.
- *control*: all kinds, and the same shares before and after: what an alarm on the input costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from random import Random

from monitor.domain.trace import Trace
from tests.benchmarks.report import table
from tests.benchmarks.traffic.chat import answers, prompts
from tests.benchmarks.traffic.replay import DATA, Finding, Play, Played, chat_traces, read_rows, signals_of

TARGET_PAGED = 2
SHARE_OF_NEW = 0.2  # of the new kinds that the baseline holds, and of the old ones that come after it
SHARE_OF_OLD = 0.75  # of the old kinds that the baseline holds where the new ones are unseen
KNOWN, FOREIGN = "known", "foreign"


@dataclass(frozen=True, slots=True)
class Item:
    kind: str
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Case:
    """A model on prompts of some kinds; `new` are those that come, or grow, after the baseline."""

    form: str
    source: str
    model: str
    new: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.form}: {self.source} {self.model}, {' and '.join(self.new) or 'no kind'} new"


@cache
def alpaca(model: str) -> list[Item]:
    given = answers(model)
    return [Item(row["dataset"], row["instruction"], given[row["i"]]) for row in prompts() if row["i"] in given]


@cache
def xstest(model: str) -> list[Item]:
    rows = read_rows(DATA / "xstest" / "completions.jsonl.gz")
    return [
        Item("unsafe" if str(row["prompt_is_unsafe"]) == "True" else "safe", row["prompt"], row["completion"])
        for row in rows
        if row["model"] == model
    ]


@cache
def do_not_answer(model: str) -> list[Item]:
    rows = read_rows(DATA / "do_not_answer" / "responses.jsonl.gz")
    return [
        Item(row["risk_area"].split()[0], row["question"], row["response"]) for row in rows if row["model"] == model
    ]


@cache
def refusal_direction(model: str) -> list[Item]:
    rows = read_rows(DATA / "refusal_direction" / "completions.jsonl.gz")
    wanted = (row for row in rows if (row["model"], row["intervention"]) == (model, "baseline"))
    return [Item(row["prompt_set"], row["prompt"], row["response"]) for row in wanted]


SOURCES: dict[str, Callable[[str], list[Item]]] = {
    "alpaca_eval": alpaca,
    "xstest": xstest,
    "do_not_answer": do_not_answer,
    "refusal_direction": refusal_direction,
}
# Source, model, the kind that comes or grows; the first rows of a source are played in more forms than the others.
MODELS: tuple[tuple[str, str, str], ...] = (
    ("alpaca_eval", "gpt4_1106_preview", "selfinstruct"),
    ("alpaca_eval", "phi-2", "koala"),
    ("alpaca_eval", "zephyr-7b-beta", "oasst"),
    ("alpaca_eval", "gpt-3.5-turbo-0613", "helpful_base"),
    ("alpaca_eval", "Mistral-7B-Instruct-v0.2", "vicuna"),
    ("alpaca_eval", "alpaca-7b", "selfinstruct"),
    ("xstest", "llama2orig", "unsafe"),
    ("xstest", "mistralinstruct", "safe"),
    ("xstest", "llama2new", "unsafe"),
    ("do_not_answer", "ChatGPT", "Malicious"),
    ("do_not_answer", "llama2-7b-chat", "Misinformation"),
    ("do_not_answer", "vicuna-7b", "Human-Chatbot"),
    ("do_not_answer", "Claude", "Information"),
    ("refusal_direction", "gemma-2b-it", "jailbreakbench"),
    ("refusal_direction", "qwen-1_8b-chat", "harmless"),
)
LABELLED = {"alpaca_eval": 5, "xstest": 2, "do_not_answer": 2, "refusal_direction": 1}  # cases of the form `label`


def cases() -> list[Case]:
    both = [Case(form, source, model, (kind,)) for form in ("shares", "unseen") for source, model, kind in MODELS]
    label = [
        Case("label", source, model, (kind,))
        for wanted, count in LABELLED.items()
        for source, model, kind in [row for row in MODELS if row[0] == wanted][:count]
    ]
    return [*both, *label, *(Case("control", source, model, ()) for source, model, _ in MODELS)]


def phases(case: Case) -> tuple[list[Item], list[Item]]:
    """Return what comes before and after, no prompt twice."""
    random = Random(case.name)
    items = list({item.prompt: item for item in SOURCES[case.source](case.model) if item.answer.strip()}.values())
    random.shuffle(items)
    old = [item for item in items if item.kind not in case.new]
    new = [item for item in items if item.kind in case.new]
    if case.form == "shares":
        kept, seen = round((1 - SHARE_OF_NEW) * len(old)), round(SHARE_OF_NEW * len(new))
    else:
        kept, seen = round(SHARE_OF_OLD * len(old)), 0
    before, after = old[:kept] + new[:seen], old[kept:] + new[seen:]
    random.shuffle(before)
    random.shuffle(after)
    return before, after


def conversation(case: Case) -> list[Trace]:
    before, after = phases(case)
    return chat_traces(
        (FOREIGN if case.form == "label" and item.kind in case.new else KNOWN, item.prompt, item.answer)
        for item in (*before, *after)
    )


def plays() -> list[Play]:
    return [
        Play(
            part="torture",
            name=case.name,
            baseline=len(phases(case)[0]),
            traces=partial(conversation, case),
            facts={"form": case.form, "source": case.source},
        )
        for case in cases()
    ]


def judge(played: Sequence[Played]) -> Finding:
    forms = list(dict.fromkeys(item.play.facts["form"] for item in played))
    rows = [form_row(form, [item for item in played if item.play.facts["form"] == form]) for form in forms]
    shifted = [item for item in played if item.play.facts["form"] != "control"]
    rows.append(form_row("all but control", shifted))
    headers = ("form", "runs", "paged", "target", "input shift", "wanted", "pages on")
    facts = {
        "paged": sum(item.page is not None for item in shifted),
        "input_shift": sum(item.noticed_input for item in shifted),
        "runs": len(shifted),
    }
    return Finding(table(headers, rows), tuple(failed(shifted)), facts)


def form_row(form: str, played: Sequence[Played]) -> list[object]:
    paged = [item for item in played if item.page is not None]
    pages = [alarm for item in paged for alarm in item.alarms if alarm.pages]
    together = form == "all but control"
    return [
        form,
        len(played),
        len(paged),
        f"<= {TARGET_PAGED}" if together else "-",
        sum(item.noticed_input for item in played),
        "all" if together else "-",
        signals_of(pages),
    ]


def failed(shifted: Sequence[Played]) -> Iterator[str]:
    paged = [item for item in shifted if item.page is not None]
    if len(paged) > TARGET_PAGED:
        yield f"torture: {len(paged)} of {len(shifted)} page; at most {TARGET_PAGED} may"
        yield from (f"torture: {item.name}: {item.page}" for item in paged)
    yield from (f"torture: {item.name}: no alarm on the input" for item in shifted if not item.noticed_input)
