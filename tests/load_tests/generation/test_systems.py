from __future__ import annotations

import pytest

from load_tests.generation.systems import SYSTEMS, System
from load_tests.generation.tuning import best


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
@pytest.mark.parametrize("clients", [1, 2, 32])
def test_set_ups_have_no_larger_batches_than_there_are_clients(system: System, clients: int) -> None:
    assert system.likeliest(clients).batch <= clients
    axes = dict(system.axes(clients))
    assert axes["crew"][0] == system.likeliest(clients).crew
    assert max(axes.get("batch", [1])) <= clients
    assert ("batch" in axes) is (system.batched and clients > 1)


def test_the_set_up_of_the_fastest_pass_is_the_best() -> None:
    assert best({"a": [5.0, 1.0], "b": [4.0, 4.0]}) == "a"
