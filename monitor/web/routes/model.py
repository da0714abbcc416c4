"""The registered models: reward ensembles and policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Query

from monitor.domain.release import Announcement, Bake
from monitor.domain.shadow import Shadow
from monitor.errors import NotFound
from monitor.runs.model import ModelDetail, ModelPlace, ModelQuery, ModelRole, ModelState, RegisteredModel
from monitor.web.auth import Viewer
from monitor.web.paging import LINK, Numbered, NumberedPage, Page, paged
from monitor.web.problem import describe
from monitor.web.state import kept

router = APIRouter(tags=["models"])


class Registry(Protocol):
    def models(self, wanted: ModelQuery, *, limit: int, before: ModelPlace | None = None) -> Sequence[RegisteredModel]:
        """Return the newest first, those that stand before *before* where it is given."""
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
Version = Annotated[str, Path(description="as /api/v1/models tells it", examples=["reward-12"])]


@router.get("/models", responses={200: {"headers": LINK}})
def list_models(
    _: Viewer,
    registry: RegistryPort,
    page: Annotated[Page[ModelPlace], paged(ModelPlace, 100)],
    *,
    role: Annotated[ModelRole | None, Query(description="only those of this role; of each without")] = None,
    state: Annotated[Sequence[ModelState], Query(description="only those that stand so; all without")] = (),
) -> Sequence[RegisteredModel]:
    """List models, the newest first; of each role one is the champion, and one may be the one before it."""
    found = registry.models(ModelQuery(role, frozenset(state)), limit=page.wanted, before=page.after)
    return page.give(found, ModelPlace.of)


@router.get("/models/{version:name}", responses=describe(404))
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
