"""The registered models: reward ensembles and policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Query

from monitor.domain.release import Announcement, Bake
from monitor.domain.shadow import Shadow
from monitor.errors import NotFound
from monitor.runs.model import ModelDetail, ModelRole, Models
from monitor.web.auth import Viewer
from monitor.web.paging import LINK, Numbered, NumberedPage, paged
from monitor.web.problem import describe
from monitor.web.state import kept

router = APIRouter(tags=["models"])


class Registry(Protocol):
    def models(self, role: ModelRole = ModelRole.REWARD) -> Models:
        """Return the champion of *role*, the one before it, and the newest of the others."""
        ...

    def model(self, version: str) -> ModelDetail | None: ...


class Releases(Protocol):
    """What follows promotions."""

    def announcements(self, *, limit: int, before: int | None = None) -> Sequence[Announcement]:
        """Return the newest first, with how far each channel has come; those numbered below *before*, if given."""
        ...

    def open_bakes(self) -> Sequence[Bake]: ...

    def bake(self, job_id: int) -> Bake | None: ...

    def shadow(self, job_id: int) -> Shadow | None:
        """Return a job's candidate beside the champion; None where nothing was scored by both."""
        ...


ReleasesPort = Annotated[Releases, kept("releases")]
RegistryPort = Annotated[Registry, kept("models")]
ForRole = Annotated[ModelRole, Query(description="what the models are for")]
Version = Annotated[str, Path(description="as /api/v1/models tells it")]


@router.get("/models")
def get_models(_: Viewer, registry: RegistryPort, role: ForRole = ModelRole.REWARD) -> Models:
    """Return the champion of a role, the model before it, and the newest of the others."""
    return registry.models(role)


@router.get("/models/{version:path}", responses=describe(404))
def get_model(_: Viewer, registry: RegistryPort, version: Version) -> ModelDetail:
    """Return one model with its lineage and its card in Markdown."""
    detail = registry.model(version)
    if detail is None:
        raise NotFound(f"there is no model {version!r}: /api/v1/models lists them")
    return detail


@router.get("/announcements", responses={200: {"headers": LINK}})
def list_announcements(
    _: Viewer, releases: ReleasesPort, page: Annotated[Numbered, paged(int, 20)]
) -> Sequence[Announcement]:
    """List what was told, or is still to be told, of promoted and rolled back policies; the newest first."""
    found = releases.announcements(limit=page.wanted, before=page.after)
    return page.give(found, lambda announcement: announcement.announcement_id)


@router.get("/bakes", responses={200: {"headers": LINK}})
def list_bakes(_: Viewer, releases: ReleasesPort, page: NumberedPage) -> Sequence[Bake]:
    """List the bake windows that are open, by job."""
    return page.cut(releases.open_bakes(), lambda bake: bake.job_id)
