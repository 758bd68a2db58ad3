from __future__ import annotations

import re

import pytest

from service import errors
from service.errors import ArtifactError, Overloaded, ServiceError


def tree(base: type[ServiceError]) -> list[type[ServiceError]]:
    return [base, *(each for child in base.__subclasses__() for each in tree(child))]


ALL = [error for error in tree(ServiceError) if error.__module__ == "service.errors"]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_the_docstrings_tree_is_the_truth(error: type[ServiceError]) -> None:
    assert errors.__doc__ is not None
    line = re.search(rf"^[ │├└─]*{error.__name__} +(\d+) (\w+)", errors.__doc__, re.MULTILINE)
    assert line is not None, "it is not in the tree"
    assert (int(line[1]), line[2]) == (error.status, error.code)


def test_the_sentence_is_what_the_client_reads() -> None:
    assert str(ServiceError("Do that.")) == "Do that."


def test_only_overload_asks_to_come_back() -> None:
    assert Overloaded("full").headers == {"Retry-After": "1"}
    assert all(error("x").headers == {} for error in ALL if error is not Overloaded)


def test_a_503_is_never_for_overload() -> None:
    assert Overloaded.status == 429


def test_an_artifact_error_never_reaches_a_client() -> None:
    assert not issubclass(ArtifactError, ServiceError)
