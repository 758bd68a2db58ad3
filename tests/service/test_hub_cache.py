from __future__ import annotations

import os
from pathlib import Path

from service.hub_cache import is_cache, snapshot


def cached(folder: Path, *revisions: str) -> Path:
    """A model in the cache with these revisions, the oldest first."""
    for age, revision in enumerate(reversed(revisions)):
        path = folder / "snapshots" / revision
        path.mkdir(parents=True)
        os.utime(path, (1e9 - age, 1e9 - age))
    return folder


def test_the_newest_revision_is_taken_unless_another_is_main(tmp_path: Path) -> None:
    folder = cached(tmp_path / "models--me--mine", "b", "a")
    assert snapshot(folder) == folder / "snapshots" / "a"
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("b\n", encoding="utf-8")
    assert snapshot(folder) == folder / "snapshots" / "b"
    (folder / "refs" / "main").write_text("gone", encoding="utf-8")
    assert snapshot(folder) == folder / "snapshots" / "a"


def test_what_is_no_model_of_the_cache_has_no_revision(tmp_path: Path) -> None:
    assert snapshot(tmp_path) is None
    (tmp_path / "snapshots").mkdir()
    assert snapshot(tmp_path) is None


def test_a_folder_of_fetched_models_only_is_the_cache(tmp_path: Path) -> None:
    assert not is_cache(tmp_path)
    cached(tmp_path / "models--me--mine", "a")
    (tmp_path / ".locks").mkdir()
    (tmp_path / "datasets--me--rows").mkdir()
    (tmp_path / "version.txt").touch()
    assert is_cache(tmp_path)
    (tmp_path / "moods").mkdir()
    assert not is_cache(tmp_path), "a folder of models into which somebody put one from the cache"
