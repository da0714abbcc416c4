"""The reward ensemble behind HTTP, in vLLM's words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monitor import __version__
from monitor.errors import Unavailable
from monitor.rewards.classify import OWNER, Rejected, parse_request
from monitor.rewards.scoring import ScoringThread
from monitor.rewards.served import EncodedRequest, ServedEnsemble, ServedModel, finish
from monitor.telemetry.health import Health
from monitor.telemetry.serving import ServingMetrics

BODY_SECONDS = 30.0  # a request that takes longer to arrive holds a place it does not use
RETRY_SECONDS = "1"


@dataclass(frozen=True, slots=True)
class RequestLimits:
    max_bytes: int  # of a body
    max_rows: int  # prompts in a request
    max_requests: int  # taken and not answered yet; with max_bytes the bound on memory


def create_app(
    served: ServedEnsemble, thread: ScoringThread, *, health: Health, metrics: ServingMetrics, limits: RequestLimits
) -> Starlette:
    """Return the app; *thread* scores for it and belongs to the caller."""
    classify = _Classify(served, thread, metrics=metrics, limits=limits)
    return Starlette(
        routes=[
            Route("/classify", classify.answer, methods=["POST"]),
            Route("/health", _health(health)),
            Route("/version", _version),
            Route("/v1/models", _models(served)),
            Route("/metrics", _metrics(metrics)),
        ],
        exception_handlers={HTTPException: _describe},
    )


class _Classify:
    def __init__(
        self, served: ServedEnsemble, thread: ScoringThread, *, metrics: ServingMetrics, limits: RequestLimits
    ) -> None:
        self._served = served
        self._thread = thread
        self._metrics = metrics
        self._limits = limits
        self._in_flight = 0  # changed on the event loop alone
        metrics.follow_in_flight(lambda: self._in_flight)

    async def answer(self, request: Request) -> Response:
        self._in_flight += 1
        try:
            if self._in_flight > self._limits.max_requests:
                raise Unavailable(f"{self._limits.max_requests} requests wait already")
            body = await self._read(request)
            encoded = await run_in_threadpool(
                lambda: self._served.encode(parse_request(body, max_rows=self._limits.max_rows))
            )
            scores = await asyncio.wrap_future(self._thread.submit(encoded))
            response = JSONResponse(_answer(encoded, finish(encoded, scores)))
        except Rejected as rejected:
            response = JSONResponse(rejected.body(), status_code=rejected.status)
        except Unavailable as reason:
            refused = Rejected(str(reason), status=503, kind="ServiceUnavailableError")
            response = JSONResponse(refused.body(), status_code=503, headers={"Retry-After": RETRY_SECONDS})
        finally:
            self._in_flight -= 1
        self._metrics.count_request(response.status_code)
        return response

    async def _read(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    self._check_size(len(body))
        except TimeoutError:
            raise Rejected("the request's body did not arrive in time", status=408) from None
        except ClientDisconnect:
            raise Rejected("the request ended before its body did") from None
        return bytes(body)

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise Rejected(f"the request's body is longer than {self._limits.max_bytes} bytes", status=413)


def _answer(request: EncodedRequest, values: list[float]) -> dict[str, Any]:
    return {
        "id": f"classify-{uuid4().hex[:16]}",
        "object": "list",
        "created": int(time.time()),
        "model": request.model.id,
        "data": [
            {"index": index, "label": "LABEL_0", "probs": [value], "num_classes": 1}
            for index, value in enumerate(values)
        ],
        "usage": {
            "prompt_tokens": request.prompt_tokens,
            "total_tokens": request.prompt_tokens,
            "completion_tokens": 0,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
    }


def _health(health: Health) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        ready, _ = health.ready()
        return Response(status_code=200 if ready else 503)

    return answer


async def _version(_request: Request) -> Response:
    return JSONResponse({"version": __version__})


def _models(served: ServedEnsemble) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_card(model) for model in served.models]})

    return answer


def _card(model: ServedModel) -> dict[str, Any]:
    created = int(time.time())
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": OWNER,
        "root": model.version,
        "parent": model.parent,
        "max_model_len": model.max_tokens,
        "permission": [
            {
                "id": f"modelperm-{uuid4().hex[:16]}",
                "object": "model_permission",
                "created": created,
                "allow_create_engine": False,
                "allow_sampling": True,
                "allow_logprobs": True,
                "allow_search_indices": False,
                "allow_view": True,
                "allow_fine_tuning": False,
                "organization": "*",
                "group": None,
                "is_blocking": False,
            }
        ],
    }


def _metrics(metrics: ServingMetrics) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        content, media_type = metrics.render(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": media_type})

    return answer


async def _describe(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, status_code=error.status_code, headers=error.headers)
