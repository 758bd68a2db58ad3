"""For those who run the server: models, health, metrics."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.metrics import REGISTRY
from service.registry import Registry
from service.request import Served
from service.schemas import Health, ModelCard, ModelList

router = APIRouter(tags=["operations"])


def _card(registry: Registry, name: str, served: Served) -> ModelCard:
    artifact = served.artifact
    settings = registry.settings
    return ModelCard(
        name=name,
        task=artifact.task,
        route=f"/v1/{served.task.route}",
        labels=artifact.labels,
        multi_label=artifact.multi_label,
        precision=artifact.precision,
        size_bytes=artifact.size_bytes,
        limits={
            "max_tokens": artifact.max_tokens,
            "max_inputs": settings.max_inputs,
            "max_input_chars": settings.max_input_chars,
        },
        score=artifact.metrics.get("score", {}),
        default=registry.default(served.task.route) == name,
    )


@router.get("/v1/models")
async def models(request: Request) -> ModelList:
    """What is served, with labels, limits, size and measured quality."""
    registry: Registry = request.app.state.registry
    return ModelList(models=[_card(registry, name, served) for name, served in registry.models.items()])


@router.get("/health/live")
async def live() -> Health:
    """The process answers: restart it when this fails."""
    return Health(status="ok")


@router.get("/health", responses={503: {"model": Health}})
@router.get("/health/ready", responses={503: {"model": Health}})
async def ready(request: Request) -> Response:
    """Requests would be answered: models are loaded, every worker lives and none is stuck. Never queues behind them."""
    healthy = request.app.state.registry.healthy()
    body: dict[str, Any] = {"status": "ok" if healthy else "unhealthy"}
    return Response(orjson.dumps(body), 200 if healthy else 503, media_type="application/json")


@router.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    """Prometheus' text format."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
