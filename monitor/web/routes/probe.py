"""What Kubernetes and Prometheus ask; open to all, but for /metrics where a token is wanted."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from monitor.web.auth import identify_scraper
from monitor.web.problem import describe
from monitor.web.state import Registry, State

router = APIRouter(tags=["probes"])


class Readiness(BaseModel):
    ready: bool
    parts: dict[str, str]  # why each part is not ready; "" where it is


class Liveness(BaseModel):
    status: Literal["alive", "failed"]
    part: str | None = Field(None, description="that failed for good")


_GONE: dict[int | str, dict[str, Any]] = {
    503: {"model": Liveness, "description": "A part failed for good; restart the process"}
}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}, "example": "# TYPE monitor_traces_total counter\n"}
_SERIES: dict[int | str, dict[str, Any]] = {
    **describe(401, 403, 429),
    200: {"content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT}},
}


@router.get("/healthz", response_model=Liveness, responses=_GONE)
def healthz(health: State) -> JSONResponse:
    """Say whether the process is worth keeping."""
    failure = health.failure
    if failure is None:
        return JSONResponse({"status": "alive"})
    return JSONResponse({"status": "failed", "part": failure.part}, status_code=503)


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
def readyz(health: State) -> JSONResponse:
    """Say whether every part works, and what the others wait for."""
    ready, _ = health.ready()
    parts = health.plain_reasons()
    return JSONResponse({"ready": ready, "parts": parts}, status_code=200 if ready else 503)


@router.get("/metrics", response_class=Response, responses=_SERIES, dependencies=[Depends(identify_scraper)])
def metrics(request: Request, registry: Registry) -> Response:
    """Expose the series as Prometheus text, or as OpenMetrics where the scraper accepts it."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": media_type})
