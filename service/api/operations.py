"""For those who run the server: models, health, metrics."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from service.api.schemas import Health, MissingModel, ModelCard, ModelList, Readiness
from service.engine.loaded_model import LoadedModel
from service.engine.registry import Registry
from service.metrics import REGISTRY

router = APIRouter(tags=["operations"])


def _card(registry: Registry, name: str, served: LoadedModel) -> ModelCard:
    artifact = served.artifact
    settings = registry.settings
    return ModelCard(
        name=name,
        task=served.task.name,
        route=f"/v1/{served.task.route}",
        labels=list(served.task.labels),
        multi_label=artifact.multi_label,
        precision=artifact.precision,
        size_bytes=artifact.size_bytes,
        limits={
            "max_tokens": artifact.max_tokens,
            "max_inputs": settings.max_inputs_per_request,
            "max_input_chars": settings.max_input_chars,
        },
        score=artifact.score,
        default=registry.default(served.task.route) == name,
    )


@router.get("/v1/models")
async def models(request: Request) -> ModelList:
    """What is served, with labels, limits, size and measured quality."""
    registry: Registry = request.app.state.registry
    cards = [_card(registry, name, served) for name, served in registry.models.items()]
    return ModelList(models=cards, missing=_missing(registry))


def _missing(registry: Registry) -> list[MissingModel]:
    return [MissingModel(name=name, reason=reason) for name, reason in registry.missing.items()]


@router.get("/health/live")
async def live() -> Health:
    """The process answers: restart it when this fails."""
    return Health(status="ok")


@router.get("/health", responses={200: {"model": Readiness}, 503: {"model": Readiness}})
@router.get("/health/ready", responses={200: {"model": Readiness}, 503: {"model": Readiness}})
async def ready(request: Request) -> Response:
    """Requests would be answered: models are loaded, every worker lives and none is stuck. Never queues behind them.

    Models that could not be loaded are named; they do not make it fail, because the others are served.
    """
    registry: Registry = request.app.state.registry
    healthy = registry.healthy()
    body = Readiness(status="ok" if healthy else "unhealthy", missing=_missing(registry))
    return Response(orjson.dumps(body.model_dump()), 200 if healthy else 503, media_type="application/json")


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Prometheus' text format, or OpenMetrics for who accepts that."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), media_type=content_type)
