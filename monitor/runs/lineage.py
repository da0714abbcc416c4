"""Where a model comes from: what would make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a run was made of. Hashes are SHA-256, in hexadecimal."""

    action: str  # of `domain.job.Action`
    base_sha256: str  # of the folder the training began from: `runs.artifact.artifact_sha256`
    champion: str | None  # version of the champion it was judged against
    scorer: str | None  # version of the ensemble that ranked and judged, for a policy
    data: Mapping[str, str] = field(default_factory=dict)  # hash of each file it was given, by the file's purpose
    recipe: Mapping[str, float | int | str | bool] = field(default_factory=dict)  # whole, as it was used
    seeds: Mapping[str, int] = field(default_factory=dict)
    code_version: str = ""  # of this package
    libraries: Mapping[str, str] = field(default_factory=dict)  # version by distribution
    devices: str = ""  # what it was trained on, for people
