"""A dispatcher as a process of its own, which a signal meets right after the call it is told.

`python -m tests.integration.dispatching_program URL FOLDER CALL SIGNAL [KUBECONFIG]`: CALL is "module:Class.method", or
"never" to go on until the job is promoted. SIGTERM leaves as the daemon does. With KUBECONFIG its runs are Jobs.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.domain.job import JobState
from monitor.postgres.engine import create_engine_for
from tests.integration.job_parts import Parts

if TYPE_CHECKING:
    from monitor.retraining.launchers.kubernetes import KubernetesLauncher

DEADLINE_SECONDS = 60


def main(url: str, folder: Path, call: str, number: signal.Signals, kubeconfig: Path | None) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda received, _frame: stopped.append(received))
    if call != "never":
        strike_after(call, number)
    engine = create_engine_for(url)
    parts = Parts(engine, folder)
    launcher = launcher_by(kubeconfig, folder) if kubeconfig is not None else None
    dispatcher = parts.dispatcher("slow", owner=f"process/{os.getpid()}", launcher=launcher)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not stopped and parts.job().state is not JobState.PROMOTED and time.monotonic() < deadline:
        dispatcher.tick()
        time.sleep(0.02)
    dispatcher.close()
    engine.dispose()


def launcher_by(kubeconfig: Path, folder: Path) -> KubernetesLauncher:
    from monitor.retraining.launchers.kubernetes import KubernetesLauncher
    from monitor.retraining.launchers.kubernetes_api import KubernetesApi
    from monitor.settings.launch import KubernetesSettings

    settings = KubernetesSettings(
        kubeconfig=kubeconfig, image="i", volume_claim="retrain", template=folder / "job-slow.yaml"
    )
    return KubernetesLauncher(settings, folder / "runs", KubernetesApi(settings), poll_seconds=0.1)


def strike_after(call: str, number: signal.Signals) -> None:
    module_name, _, path = call.partition(":")
    owner: Any = import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, name)

    @wraps(original)
    def struck(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        if result is not None or name not in {"promote_passed"}:  # there was something to promote
            os.kill(os.getpid(), number)
        return result

    setattr(owner, name, struck)


if __name__ == "__main__":
    main(
        sys.argv[1],
        Path(sys.argv[2]),
        sys.argv[3],
        signal.Signals(int(sys.argv[4])),
        Path(sys.argv[5]) if sys.argv[5:] else None,
    )
