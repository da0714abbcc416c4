"""`python -m retrain --spec FOLDER/spec.json`: exit 0 good, 1 failed, 2 bad spec, 3 no room on the disk."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from monitor.errors import InvalidInput, InvalidSetting
from monitor.extra import needed
from monitor.runs.action import ACTIONS
from monitor.runs.progress import PROGRESS_FILE
from monitor.runs.result import RESULT_FILE, ExitCode, Failure, RunResult, write_result
from monitor.runs.spec import RunSpec
from retrain import refusal
from retrain.progress import Progress
from retrain.spec import load_spec

# read by the libraries when they are imported: a run talks to nobody and draws no bars into its log
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "WANDB_MODE": "disabled",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "true",
    "TQDM_DISABLE": "1",
}


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["refusal"]:
        return refusal.main(given[1:])
    parser = argparse.ArgumentParser(
        prog="python -m retrain",
        description="Carry out one training run; `python -m retrain refusal` trains the model of refusals.",
    )
    parser.add_argument("--spec", type=Path, required=True, help="spec.json; result.json is written beside it")
    path: Path = parser.parse_args(given).spec
    started = time.monotonic()
    try:
        spec = load_spec(path)
        train = _plan(spec, path)
    except InvalidInput as wrong:
        return _refuse(path, str(wrong), ExitCode.BAD_SPEC, started)
    try:
        Path(spec.output).mkdir(parents=True, exist_ok=True)
        result = train(Progress(path.parent / PROGRESS_FILE, sys.stdout))
        write_result(path.parent / RESULT_FILE, result)
    except InvalidInput as wrong:
        return _refuse(path, str(wrong), ExitCode.FAILED, started)
    except Exception as error:  # noqa: BLE001 - the top of the process: whatever happened goes into the result
        code = ExitCode.NO_ROOM if is_disk_full(error) else ExitCode.FAILED
        with suppress(OSError):  # the log may be on the full disk
            traceback.print_exc()
        return _refuse(path, f"{type(error).__name__}: {error}", code, started)
    return ExitCode.GOOD


def _plan(spec: RunSpec, path: Path) -> Callable[[Progress], RunResult]:
    if spec.action not in ACTIONS:
        raise InvalidInput(f"{path}: action {spec.action} is not available in this version")
    os.environ.update(_QUIET)
    try:
        with needed("train", f"a {spec.action} run"):
            module: Any = import_module(ACTIONS[spec.action].training)  # only now: torch takes seconds
    except InvalidSetting as missing:
        raise InvalidInput(str(missing)) from None
    train: Callable[[Progress], RunResult] = module.plan(spec)
    return train


def is_disk_full(error: BaseException | None) -> bool:
    """Say whether *error* comes of a full disk, in whose words ever the library that met it says so."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if os.strerror(errno.ENOSPC) in str(error) or os.strerror(errno.EDQUOT) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _refuse(path: Path, reason: str, code: ExitCode, started: float) -> int:
    """Leave the reason in `result.json`, where the daemon looks, and on stderr, where people do."""
    with suppress(OSError):  # no room: the exit code tells it all the same
        sys.stderr.write(f"retrain: {reason}\n")
    with suppress(OSError):  # no room, or no folder
        write_result(path.parent / RESULT_FILE, Failure(reason, time.monotonic() - started))
    return code


def leave(code: int) -> NoReturn:
    """End with *code*, which a log on a full disk must not turn into another one."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
