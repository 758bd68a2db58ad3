from __future__ import annotations

import logging

import pytest

from service.default_models import choose_defaults

ROUTES = ("classify", "answer", "summarize")


@pytest.mark.parametrize(
    ("routes", "missing", "wanted", "chosen"),
    [
        ({"a": "classify", "sentiment": "classify", "z": "classify"}, (), {}, {"classify": "sentiment"}),
        ({"a": "classify", "sentiment": "classify"}, (), {"classify": "a"}, {"classify": "a"}),
        ({"a": "classify", "b": "answer"}, (), {}, {"classify": "a", "answer": "b"}),
        # A name that the repository uses for another task is a name like any other.
        ({"qa": "classify", "b": "answer"}, (), {}, {"classify": "qa", "answer": "b"}),
        ({"b": "classify"}, ("sentiment",), {}, {}),
        ({"b": "classify"}, ("sentiment",), {"classify": "b"}, {"classify": "b"}),
        ({"sentiment": "classify"}, ("b",), {"classify": "b"}, {}),
        ({}, (), {}, {}),
    ],
)
def test_the_default_of_each_route(
    caplog: pytest.LogCaptureFixture,
    routes: dict[str, str],
    missing: tuple[str, ...],
    wanted: dict[str, str],
    chosen: dict[str, str],
) -> None:
    with caplog.at_level(logging.WARNING):
        assert choose_defaults(routes, missing, wanted, ROUTES) == chosen
    assert bool(caplog.records) == (bool(routes) and not chosen), "a route without its default is warned of"


def test_the_first_of_several_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    routes = {"first": "classify", "second": "classify", "b": "answer"}
    with caplog.at_level(logging.WARNING):
        assert choose_defaults(routes, (), {}, ROUTES) == {"classify": "first", "answer": "b"}
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("2 models serve /v1/classify and none is set as its default: the first, first, answers")
    assert line.endswith("SHOAL_DEFAULT_MODELS=classify=first makes sure of it")
