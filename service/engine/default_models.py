"""Which model answers a route's requests that name none."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from service.errors import StartupError

log = logging.getLogger(__name__)

SHIPPED = {"classify": "sentiment", "answer": "qa", "summarize": "summarizer"}
"""The models that the repository brings, by route: the defaults where no setting says otherwise."""


def choose_defaults(
    routes: Mapping[str, str], missing: Collection[str], wanted: Mapping[str, str], all_routes: Collection[str]
) -> dict[str, str]:
    """The default model by route, none for a route whose default could not be loaded.

    `routes` are those of the loaded models by name, in the order in which models were asked for; `missing` are the
    names of folders that could not be loaded; `wanted` is what the operator chose, by route. Without a choice it is the
    model that the repository brings, else the only one, else the first. A default that could not be loaded is not
    replaced: another model's answers to the same requests would go unnoticed.

    Raises StartupError for a choice that names no route of `all_routes`, or no model of the route.
    """
    _check(routes, missing, wanted, all_routes)
    chosen = {}
    for route in all_routes:
        names = [name for name, own in routes.items() if own == route]
        first = wanted.get(route) or SHIPPED.get(route)
        default = default_of(names, missing, first)
        if default is not None:
            chosen[route] = default
        elif first in missing:
            log.warning("%s is the default of /v1/%s and could not be loaded: requests must name a model", first, route)
        if default != first and len(names) > 1 and default is not None:
            log.warning(
                "%d models serve /v1/%s and none is set as its default: the first, %s, answers requests that name "
                "none; SHOAL_DEFAULT_MODELS=%s=%s makes sure of it",
                *(len(names), route, default, route, default),
            )
    return chosen


def default_of(names: Sequence[str], missing: Collection[str], first: str | None) -> str | None:
    """Which of a route's models is its default: `first` if it is there, and none if that could not be loaded."""
    if first in names:
        return first
    return None if first in missing or not names else names[0]


def _check(
    routes: Mapping[str, str], missing: Collection[str], wanted: Mapping[str, str], all_routes: Collection[str]
) -> None:
    wrong = []
    for route, name in wanted.items():
        fitting = [each for each, own in routes.items() if own == route]
        if route not in all_routes:
            wrong.append(f"there is no route {route!r}; there are: {', '.join(all_routes)}")
        elif name not in fitting and name not in missing:
            what = "is for another route" if name in routes else "is not there"
            wrong.append(f"{name!r} {what}; {route} is served by: {', '.join(fitting) or 'none'}")
    if wrong:
        raise StartupError(f"SHOAL_DEFAULT_MODELS: {'; '.join(wrong)}")
