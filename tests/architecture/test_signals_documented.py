"""Every signal says what it means, and the documentation's tables are made from it."""

from __future__ import annotations

import subprocess
import sys

from monitor.signals.table import SIGNALS
from tests.real_kafka import ROOT

BUILD = ROOT / "docs" / "build_signals.py"


def test_every_signal_says_what_it_means() -> None:
    assert [name for name, signal in SIGNALS.items() if not signal.meaning] == []


def test_the_tables_are_those_that_the_declarations_make() -> None:
    done = subprocess.run([sys.executable, str(BUILD), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
