"""The name of a user's own model, and the folder that the server finds it in."""

from __future__ import annotations

from pathlib import Path

from models.errors import BadOption, NameTaken
from service.config import read_settings

_MOST_BYTES = 255


def folder_for(name: str) -> Path:
    """The folder, not made yet, of a model of one's own that requests will call `name`.

    Raises BadOption for a name that a folder or a request cannot have, NameTaken.
    """
    if not name or name != name.strip() or name.startswith(".") or not name.isprintable() or set(name) & set("/\\,"):
        raise BadOption(
            f"{name!r} is no name for a model: it is a folder's, without slash, backslash or comma, and neither begins "
            "with a dot nor begins or ends with a space"
        )
    if len(name.encode()) > _MOST_BYTES:
        raise BadOption(f"a model's name has {_MOST_BYTES} bytes at most, this one {len(name.encode())}")
    settings = read_settings()
    for folder in settings.model_folders():
        if (folder / name).exists():
            raise NameTaken(f"{folder / name} is there already; take another name or remove it")
    return settings.own_models_dir / name
