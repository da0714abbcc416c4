"""Write the tables of docs/signals.md from the signals' declarations; `--check` only says whether they are current."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from monitor.domain.signal import Signal
from monitor.signals.table import OPTIONAL_SIGNALS, OTHER_SIGNALS, TRACE_SIGNALS

PAGE = Path(__file__).with_name("signals.md")
TABLES: dict[str, Iterable[Signal]] = {
    "default": TRACE_SIGNALS,
    "optional": OPTIONAL_SIGNALS,
    "other": OTHER_SIGNALS,
}


def render(page: str) -> str:
    """Return *page* with each table between its two marks made anew."""
    for name, signals in TABLES.items():
        begin, end = f"<!-- {name} signals -->\n", "<!-- end -->"
        if page.count(begin) != 1:
            raise SystemExit(f"{PAGE.name}: wanted one place for the {name} signals, found {page.count(begin)}")
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}{table(signals)}{end}{after}"
    return page


def table(signals: Iterable[Signal]) -> str:
    rows = [
        f"| `{signal.name}` | {signal.kind} | {signal.unit} | {signal.meaning.replace('|', chr(92) + '|')} |\n"
        for signal in signals
    ]
    return "".join(["| signal | kind | unit | meaning |\n", "|---|---|---|---|\n", *rows])


def main(arguments: list[str]) -> int:
    page = PAGE.read_text(encoding="utf-8")
    made = render(page)
    if arguments == ["--check"]:
        if made == page:
            return 0
        sys.stderr.write(f"{PAGE.name} is not what the declarations make: run python docs/build_signals.py\n")
        return 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
