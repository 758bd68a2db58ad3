"""The one settings object: read once from SHOAL_* in the environment, then frozen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import StartupError


def user_models_dir() -> Path:
    """Where the workshop puts models of one's own: $XDG_DATA_HOME/shoal/models, by default under ~/.local/share."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # unset, empty or relative, which the XDG specification says to ignore
        data = Path(os.path.expanduser("~/.local/share"))  # noqa: PTH111  # Path.expanduser raises without a home
    return data / "shoal" / "models"


ARTIFACTS = Path(__file__).resolve().parent.parent / "models" / "artifacts"


class Settings(BaseSettings):
    """Each field is a SHOAL_NAME variable; its description is the README's line for it."""

    model_config = SettingsConfigDict(env_prefix="SHOAL_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    models_dir: Path = Field(
        ARTIFACTS,
        description="Folder with one sub-folder a model; if unset, `~/.local/share/shoal/models` is one too.",
    )
    models: str = Field("", description="Names of the models to load, separated by commas; empty loads all.")
    default_models: str = Field(
        "",
        description="Models for requests that name none, by route, such as `classify=sentiment,answer=qa`.",
    )
    strict_models: bool = Field(
        False, description="Whether a folder that cannot be served stops the start; else it is left out."
    )
    threads: int = Field(
        0, ge=0, le=256, description="Passes side by side, a core each; 0 takes what affinity and cgroup quota allow."
    )
    wide_threads: int = Field(
        0, ge=0, le=256, description="Cores for a batch that has the machine to itself; 0 takes all, 1 is never wide."
    )
    batch_tokens: int = Field(256, ge=1, description="Padded tokens a forward pass may hold; a longer row runs alone.")
    queue_rows: int = Field(1024, ge=1, description="Rows that may wait for a model; beyond it requests get 429.")
    deadline_s: float = Field(
        10.0,
        gt=0,
        description="Seconds from a request's arrival to its answer: 413 for what takes longer alone, 429 if more work "
        "waits, 504 when they are over.",
    )
    cache_bytes: int = Field(0, ge=0, description="Memory for answers kept by content; 0 keeps none.")
    max_inputs: int = Field(128, ge=1, description="Inputs in one request.")
    max_input_chars: int = Field(200_000, ge=1, description="Characters in one text.")
    max_body_bytes: int = Field(8_388_608, ge=1, description="Bytes in one request body.")
    stuck_after_s: float = Field(
        60.0, gt=0, description="Seconds that one forward pass may take before /health turns false."
    )
    keep_alive_s: int = Field(75, ge=1, description="Seconds that a connection may be idle before it is closed.")
    drain_s: int = Field(30, ge=0, description="Seconds that running requests get to finish on shutdown.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    @field_validator("default_models")
    @classmethod
    def _routes_with_a_name_each(cls, text: str) -> str:
        pairs = _pairs(text)
        if not all(route and name for route, name in pairs):
            raise ValueError("it should be ROUTE=NAME pairs, separated by commas")
        if len(dict(pairs)) < len(pairs):
            raise ValueError("it names a route twice")
        return text

    @property
    def own_models_dir(self) -> Path:
        """The folder that the workshop puts models of one's own into: `models_dir`, if that is set."""
        return self.models_dir if "models_dir" in self.model_fields_set else user_models_dir()

    def model_folders(self) -> tuple[Path, ...]:
        """The folders that models are served from, in the order of who is asked first."""
        return tuple(dict.fromkeys((self.models_dir, self.own_models_dir)))

    def default_names(self) -> dict[str, str]:
        """The names in `default_models` by route, such as "classify"."""
        return dict(_pairs(self.default_models))

    @field_validator("host", "models_dir", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        # An empty host would listen on every address, an empty folder would be the current one.
        if not str(value).strip():
            raise ValueError("must not be empty; unset the variable to get the default")
        return value

    def model_names(self) -> tuple[str, ...]:
        """The names in `models`, empty for all."""
        return tuple(name.strip() for name in self.models.split(",") if name.strip())


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    return [(route.strip(), name.strip()) for route, _, name in parts]


def read_settings() -> Settings:
    """The settings that the environment gives; raises StartupError, naming all variables that are wrong in one line."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [
            f"SHOAL_{str(each['loc'][0]).upper()}={each['input']}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise StartupError("; ".join(wrong)) from error


def unknown_settings(names: Iterable[str]) -> list[str]:
    """A sentence for each SHOAL_* variable among `names` that is no setting, with those it may be a slip for."""
    unknown = [(name, name.lower().removeprefix("shoal_")) for name in names if name.lower().startswith("shoal_")]
    return [
        f"{name} is not a setting and has no effect{_close_names(field)}"
        for name, field in sorted(unknown)
        if field not in Settings.model_fields
    ]


def _close_names(field: str) -> str:
    close = get_close_matches(field, Settings.model_fields)
    return f"; did you mean {' or '.join(f'SHOAL_{each.upper()}' for each in close)}?" if close else "."
