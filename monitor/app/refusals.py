"""The weights that read refusals: registered from the settings, and followed as they are promoted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from monitor.app.signals import refusals_of, signals_of
from monitor.errors import InvalidInput, InvalidSetting
from monitor.postgres.registry import RewardRegistry
from monitor.retraining.records import Author
from monitor.retraining.release import Releases
from monitor.runs.artifact import Artifact, artifact_sha256, short_version
from monitor.runs.refusal import REFUSAL
from monitor.settings.root import Settings
from monitor.signals.refusal import REFUSAL as SIGNAL
from monitor.signals.refusal import CurrentRefusals
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.observers import LEARNED, weights_file
from monitor.signals.refusal.weights import SHIPPED, WEIGHTS_FILE, read_weights

GATHERED = "given-refusal-"
_BY = Author("settings", "daemon")
log = structlog.get_logger(__name__)


def no_weights(settings: Settings) -> str | None:
    """Say why no weights read refusals that a refresh could correct; None where some do."""
    refusal = settings.signals.refusal
    if SIGNAL not in signals_of(settings).observers:
        return "the signal refusal is off"
    if refusal.is_folder or weights_file(str(refusal.model)) is None:
        return f"signals.refusal.model is {str(refusal.model)!r}; wanted learned, or a file of weights"
    return None


def adopt_weights(settings: Settings, registry: RewardRegistry, releases: Releases) -> None:
    """Register the weights that the settings name, and let them read unless what was promoted was made of them.

    What was promoted stays with a new release too, which ships other weights, unless that cannot read it any more.
    Raises `InvalidSetting` for a file that holds no weights, or a folder that cannot be written.
    """
    if no_weights(settings) is not None:
        return
    champion = registry.champion(REFUSAL)
    try:
        given = given_weights(settings)
        served_as = LearnedRefusal(Path(given.path) / WEIGHTS_FILE).version
    except InvalidInput as error:
        raise InvalidSetting(f"signals.refusal.model: {error}") from None
    known = registry.model(given.version)
    if known is not None and known.path != given.path:  # this release lies elsewhere
        releases.move(given, role=REFUSAL, served_as=served_as)
    if champion is not None and _is_readable(champion) and _is_made_of(given, champion, registry, settings):
        return
    before = None if champion is None else champion.version
    if before != given.version and releases.adopt(given, by=_BY, role=REFUSAL, served_as=served_as, instead_of=before):
        log.info("champion_adopted", role=REFUSAL, version=given.version, path=given.path, instead_of=before)


def _is_readable(champion: Artifact) -> bool:
    """Say whether this release can read the champion's weights, as far as they can be seen from this machine."""
    file = Path(champion.path) / WEIGHTS_FILE
    try:
        return not file.is_file() or bool(read_weights(file))
    except InvalidInput as error:
        log.warning("weights_not_read", version=champion.version, error=str(error))
        return False


def _is_made_of(given: Artifact, champion: Artifact, registry: RewardRegistry, settings: Settings) -> bool:
    """Say whether the champion was made of what the settings name: of any shipped weights, or of that very file."""
    detail = registry.model(champion.version)
    while detail is not None and detail.lineage is not None:
        detail = registry.model(short_version(detail.lineage.base_sha256))
    if settings.signals.refusal.model == LEARNED:
        return detail is None or not Path(detail.path).name.startswith(GATHERED)
    if detail is None:  # what it was made of is not registered any more
        return registry.model(given.version) is not None
    return detail.model.sha256 == given.sha256


def given_weights(settings: Settings) -> Artifact:
    """Return the folder of the weights that the settings name; a file's own is made in `retrain.folder`."""
    file = weights_file(str(settings.signals.refusal.model))
    assert file is not None
    if file == SHIPPED:
        return _artifact(file.parent)
    store = settings.retrain.folder.resolve()
    try:
        store.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="given-", dir=store) as staging:  # other replicas may gather beside this one
            gathered = Path(staging) / "weights"
            gathered.mkdir()
            shutil.copyfile(file, gathered / WEIGHTS_FILE)
            named = store / f"{GATHERED}{short_version(artifact_sha256(gathered))}"
            if not named.is_dir():
                gathered.rename(named)
    except OSError as error:
        advice = "name a folder that can be written"
        raise InvalidSetting(f"retrain.folder = {str(store)!r}: {error.strerror}; {advice}") from None
    return _artifact(named)


def _artifact(folder: Path) -> Artifact:
    sha256 = artifact_sha256(folder)
    return Artifact(short_version(sha256), str(folder), sha256)


@dataclass(slots=True)
class FollowedRefusals:
    """Lets the promoted weights read, in this process; called by one thread."""

    registry: RewardRegistry
    current: CurrentRefusals
    given: Artifact  # the weights of the settings, where they lie on this machine
    version: str | None = None  # of the registry, that reads now

    def follow(self) -> str | None:
        """Read by the registry's weights from the next batch on; return why that cannot be.

        While new weights cannot be read, those before them go on.
        """
        wanted = self.registry.champion_version(REFUSAL)
        if wanted is None or wanted == self.version:
            return None
        champion = self.registry.champion(REFUSAL)
        if champion is None:
            return None
        folder = Path(self.given.path if champion.sha256 == self.given.sha256 else champion.path)
        file = folder / WEIGHTS_FILE
        try:
            if artifact_sha256(folder) != champion.sha256:
                raise InvalidInput(f"{folder} is not what was registered, or is not there")
            self.current.follow(LearnedRefusal(file), file)
        except InvalidInput as error:
            log.error("weights_not_followed", version=wanted, error=str(error))
            return f"refusal model {wanted}: {error}"
        self.version = wanted
        log.info("weights_followed", version=wanted, reads_as=self.current.version)
        return None


def followed_of(settings: Settings, registry: RewardRegistry) -> FollowedRefusals | None:
    """Return what follows the promoted weights; None where the settings let others read."""
    if no_weights(settings) is not None:
        return None
    return FollowedRefusals(registry, refusals_of(settings), given_weights(settings))
