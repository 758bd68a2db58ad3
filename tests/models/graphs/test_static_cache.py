"""A decoder over static caches writes what it wrote over growing ones, whoever is beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from models.graphs.static_cache import use_static_cache
from tests.models.tiny import Exported, Feed, open_session, random_step, run_session, with_room

Export = Callable[[str], Exported]
STATIC = ("bart", "marian")


def rows_of(feed: Feed, chosen: list[int]) -> Feed:
    return {name: value[chosen] for name, value in feed.items()}


@pytest.mark.parametrize("kind", STATIC)
def test_rows_at_different_places_share_a_pass(exported: Export, kind: str) -> None:
    decoder = exported(kind).fp32 / "decoder.onnx"
    session = open_session(decoder)
    steps = [with_room(rows_of(random_step(decoder, 6, past), [row])) for row, past in enumerate((0, 5, 9, 1, 3, 7))]
    room = max(step["past_key_values.0.decoder.key"].shape[2] for step in steps)
    for step in steps:
        for name in [name for name in step if ".decoder." in name]:
            missing = room - step[name].shape[2]
            # What lies behind a row's own columns is anything.
            step[name] = np.pad(step[name], ((0, 0), (0, 0), (0, missing), (0, 0)), constant_values=3.0)
    together = run_session(session, {name: np.concatenate([step[name] for step in steps]) for name in steps[0]})
    alone = [run_session(session, step) for step in steps]
    for name, value in together.items():
        for row, each in enumerate(alone):
            np.testing.assert_array_equal(value[row : row + 1], each[name])


@pytest.mark.parametrize("kind", STATIC)
def test_beams_look_at_one_copy_of_their_source(exported: Export, kind: str) -> None:
    decoder = exported(kind).fp32 / "decoder.onnx"
    session = open_session(decoder)
    feed = with_room(random_step(decoder, 6, 4))
    source = [name for name in feed if ".encoder." in name or name == "source_lengths"]
    shared = {name: value[::3] if name in source else value for name, value in feed.items()}
    repeated = {name: value[[0, 0, 0, 3, 3, 3]] if name in source else value for name, value in feed.items()}
    for name, value in run_session(session, repeated).items():
        np.testing.assert_allclose(run_session(session, shared)[name], value, atol=1e-5)


@pytest.mark.parametrize("kind", STATIC)
def test_a_row_writes_its_token_at_its_place_and_nothing_else(exported: Export, kind: str) -> None:
    decoder = exported(kind).fp32 / "decoder.onnx"
    feed = with_room(random_step(decoder, 3, 2))
    feed["positions"] = np.array([2, 0, 1])
    outputs = run_session(open_session(decoder), feed)
    for name in (name for name in outputs if name.startswith("present")):
        changed = (outputs[name] != feed[name.replace("present", "past_key_values")]).any(axis=(1, 3))
        assert [np.flatnonzero(row).tolist() for row in changed] == [[2], [0], [1]]


def test_an_attention_that_is_not_understood_stays_as_it_is(exported: Export) -> None:
    assert use_static_cache(onnx.load(exported("t5").fp32 / "decoder.onnx")) is None
