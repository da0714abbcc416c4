"""The ensemble that scores now, and its replacement without a restart."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

import structlog

from monitor.errors import InvalidInput
from monitor.rewards.folders import MEMBER_PREFIX, member_folders
from monitor.runs.artifact import Artifact, artifact_sha256, short_version
from monitor.runs.heads import is_heads

if TYPE_CHECKING:
    from monitor.rewards.huggingface import HuggingFaceEnsemble

log = structlog.get_logger(__name__)


class Registry(Protocol):
    """Where the champion is named."""

    def champion_version(self) -> str | None: ...

    def champion(self) -> Artifact | None: ...


class ChampionScorer:
    """Holds the champion's ensemble; `current` may be called from any thread, `follow` from one."""

    def __init__(self, registry: Registry, load: Callable[[Artifact], HuggingFaceEnsemble]) -> None:
        self._registry = registry
        self._load = load
        self._current: HuggingFaceEnsemble | None = None

    def current(self) -> HuggingFaceEnsemble | None:
        return self._current

    def version(self) -> str | None:
        """Return the version that scores now."""
        return None if self._current is None else self._current.version

    def follow(self) -> str | None:
        """Load the registry's champion unless it is loaded already; return why it could not be.

        While a new champion cannot be loaded, the one before it goes on scoring.
        """
        wanted = self._registry.champion_version()
        if wanted is None or (self._current is not None and self._current.version == wanted):
            return None
        champion = self._registry.champion()
        if champion is None:
            return None
        try:
            self._current = self._load(champion)
        except InvalidInput as error:
            log.error("champion_not_loaded", version=champion.version, error=str(error))
            return f"reward model {champion.version}: {error}"
        log.info("champion_loaded", version=champion.version, members=len(self._current.members))
        return None

    def close(self) -> None:
        """Nothing is held open."""


def gather_artifact(folders: Sequence[Path], store: Path) -> Artifact:
    """Make one artifact of reward model *folders*: used where it lies if it is one, gathered in *store* if not."""
    given = [folder.resolve() for folder in folders]
    members = [member for folder in given for member in member_folders(folder)]
    if len(given) == 1 and (members != given or is_heads(given[0])):
        return _artifact(given[0])
    with TemporaryDirectory(prefix="given-", dir=store) as staging:  # other replicas may gather beside this one
        gathered = Path(staging) / "models"
        for number, member in enumerate(members):
            shutil.copytree(member, gathered / f"{MEMBER_PREFIX}{number}", copy_function=_link_or_copy)
        named = store.resolve() / f"given-{short_version(artifact_sha256(gathered))}"
        try:
            gathered.rename(named)
        except OSError:
            if artifact_sha256(named) != artifact_sha256(gathered):
                raise InvalidInput(f"{named} is not what its name says: remove the folder") from None
    return _artifact(named)


def _artifact(folder: Path) -> Artifact:
    sha256 = artifact_sha256(folder)
    return Artifact(version=short_version(sha256), path=str(folder), sha256=sha256)


def _link_or_copy(source: str, target: str) -> None:
    """A hard link costs no space; another file system wants a copy."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copy2(source, target)
