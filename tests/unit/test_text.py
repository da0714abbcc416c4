"""Text from outside in each medium it leaves by: terminal, HTML, logs and metrics."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

import pytest
import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from monitor.cli.terminal import cell
from monitor.domain.stream import StreamKey
from monitor.domain.text import for_html, for_terminal, visible
from monitor.telemetry.logs import configure_logging
from monitor.telemetry.metrics import Metrics
from tests.hostile import LABELS, UNSTORABLE, unseen
from tests.unit.in_memory_ports import stream_status

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
ALL = LABELS | UNSTORABLE
each_label = pytest.mark.parametrize("label", ALL.values(), ids=ALL)


@each_label
def test_nothing_unseen_is_left_and_the_text_can_be_encoded(label: str) -> None:
    shown = visible(label)
    assert unseen(shown) == []
    assert "\n" not in shown
    assert shown.encode()


@pytest.mark.parametrize(
    "text",
    [
        "product=billing",
        "naïve Zürich",
        "日本語の応答",
        "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
        "👩\u200d💻 ❤️",
        "a b",
    ],
)
def test_honest_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_two_names_that_differ_in_a_joiner_alone_look_different() -> None:
    assert visible("prod\u200duct") == "prod\\u200duct"


def test_a_long_text_is_cut_for_the_terminal() -> None:
    assert for_terminal("x" * 300, limit=10) == "x" * 10 + "…"


@each_label
def test_a_cell_of_a_table_holds_its_label_and_no_command(label: str) -> None:
    table = Table("label")
    table.add_row(cell(label))
    terminal = io.StringIO()
    Console(file=terminal, width=1000, force_terminal=True, color_system=None).print(table)
    assert for_terminal(label, limit=200) in terminal.getvalue()


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.data = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.data += data


@each_label
def test_a_page_that_holds_a_label_holds_no_other_element(label: str) -> None:
    page = Tags(f'<p title="{for_html(label)}">{for_html(label)}</p>')
    assert page.found == ["p"]
    assert page.data == visible(label)


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("root_logger")
@each_label
def test_a_log_line_carries_no_command_in_either_style(label: str) -> None:
    for style in ("json", "console"):
        stream = io.StringIO()
        configure_logging(level="info", style=style, stream=stream)
        log = structlog.get_logger("ours")
        log.warning("seen", cohort=label, labels=[label], nested={label: label})
        log.warning(label)
        logging.getLogger("another's").warning("a library says %s", label)
        try:
            raise ValueError(label)
        except ValueError:
            log.exception("failed")
        said = stream.getvalue()
        assert unseen(said) == []
        if style == "json":
            rows = [json.loads(row) for row in said.splitlines()]
            assert (len(rows), rows[0]["cohort"]) == (4, label)


@each_label
def test_a_label_in_a_metric_is_read_back_as_one_label(label: str) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.show_streams([stream_status(key=StreamKey("refusal", label, label, "1"))])
    for accept, parse in (("", text_string_to_metric_families), (OPENMETRICS, parse_openmetrics)):
        encode, _ = choose_encoder(accept)
        families: Iterable[Metric] = parse(encode(registry).decode())
        means = [family for family in families if family.name == "monitor_stream_mean"]
        assert [sample.labels["cohort"] for family in means for sample in family.samples] == [visible(label)]
