"""The ways to start a run; `retrain.launcher` names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monitor.errors import InvalidSetting
from monitor.retraining.launcher import Launcher
from monitor.retraining.launchers.kubernetes import KubernetesLauncher
from monitor.retraining.launchers.local_process import LocalProcessLauncher
from monitor.settings.retrain import RetrainSettings

LAUNCHERS: Mapping[str, Callable[[RetrainSettings], Launcher]] = {
    "kubernetes": KubernetesLauncher.of,
    "local_process": LocalProcessLauncher.of,
}


def launcher_of(settings: RetrainSettings) -> Launcher:
    if settings.launcher not in LAUNCHERS:
        raise InvalidSetting(f"retrain.launcher = {settings.launcher!r}: wanted one of {', '.join(LAUNCHERS)}")
    return LAUNCHERS[settings.launcher](settings)
