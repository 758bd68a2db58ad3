"""The cache of the Hugging Face Hub, where a model's files are links under models--OWNER--NAME/snapshots/REVISION."""

from __future__ import annotations

from pathlib import Path

_KINDS = ("models--", "datasets--", "spaces--")


def snapshot(folder: Path) -> Path | None:
    """The revision of a cached model that `main` was when it was fetched, else the newest; None if it is not cached."""
    revisions = folder / "snapshots"
    main = folder / "refs" / "main"
    if main.is_file() and (named := revisions / main.read_text(encoding="utf-8").strip()).is_dir():
        return named
    found = [each for each in revisions.iterdir() if each.is_dir()] if revisions.is_dir() else []
    return max(found, key=lambda each: each.stat().st_mtime, default=None)


def is_cache(folder: Path) -> bool:
    """Whether it is the cache itself, the folder of all that was fetched."""
    names = [each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")]
    return bool(names) and all(name.startswith(_KINDS) for name in names)
