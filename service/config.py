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


RENAMED = {
    "threads": "workers",
    "wide_threads": "intra_op_threads",
    "batch_tokens": "max_batch_tokens",
    "queue_rows": "max_queue_size",
    "deadline_s": "request_timeout_s",
    "max_inputs": "max_inputs_per_request",
    "drain_s": "shutdown_timeout_s",
}
"""New names by the old ones, which `read_settings` still accepts in 0.1 and no longer in 0.2."""


class Settings(BaseSettings):
    """Each field is a SHOAL_NAME variable; its description is the README's line for it."""

    model_config = SettingsConfigDict(env_prefix="SHOAL_", frozen=True, extra="forbid")

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
    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Forward passes that run side by side, a core each; 0 = as many as this process has cores.",
    )
    intra_op_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads of a forward pass while a single batch runs; 0 = as many as workers, 1 = one always.",
    )
    max_batch_tokens: int = Field(
        256, ge=1, description="Tokens in one forward pass, padding included; a longer row runs in a pass of its own."
    )
    max_queue_size: int = Field(1024, ge=1, description="Rows that may wait for a model; beyond it requests get 429.")
    request_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Seconds from a request's arrival to its answer: 413 for what takes longer alone, 429 if too much "
        "work waits, 504 when they are over.",
    )
    cache_bytes: int = Field(0, ge=0, description="Memory for results that are kept by content; 0 keeps none.")
    max_inputs_per_request: int = Field(128, ge=1, description="Inputs in one request.")
    max_input_chars: int = Field(200_000, ge=1, description="Characters in one text.")
    max_body_bytes: int = Field(8_388_608, ge=1, description="Bytes in one request body.")
    stuck_after_s: float = Field(
        60.0, gt=0, description="Seconds that one forward pass may take before /health turns false."
    )
    keep_alive_s: int = Field(75, ge=1, description="Seconds that a connection may be idle before it is closed.")
    shutdown_timeout_s: int = Field(30, ge=0, description="Seconds that running requests get to finish on shutdown.")
    telemetry: bool = Field(
        False, description="Whether requests are traced by OpenTelemetry, as the OTEL_* variables say."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")

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
    given = {name.lower().removeprefix("shoal_"): value for name, value in os.environ.items() if _is_ours(name)}
    # What is given under a setting's present name counts, even beside an old one.
    renamed = {new: given[old] for old, new in RENAMED.items() if old in given and new not in given}
    try:
        return Settings.model_validate(renamed)
    except ValidationError as error:
        wrong = [
            f"SHOAL_{str(each['loc'][0]).upper()}={each['input']}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise StartupError("; ".join(wrong)) from error


def _is_ours(name: str) -> bool:
    return name.lower().startswith("shoal_")


def setting_warnings(names: Iterable[str]) -> list[str]:
    """A sentence for each SHOAL_* variable among `names` that has an old name, or that is no setting."""
    return [
        sentence
        for name in sorted(filter(_is_ours, names))
        if (sentence := _warning(name, name.lower()[len("shoal_") :]))
    ]


def _warning(name: str, field: str) -> str | None:
    if field in RENAMED:
        return f"{name} is called SHOAL_{RENAMED[field].upper()} now; the old name is not read from version 0.2 on."
    if field not in Settings.model_fields:
        return f"{name} is not a setting and has no effect{_close_names(field)}"
    return None


def _close_names(field: str) -> str:
    close = get_close_matches(field, Settings.model_fields)
    return f"; did you mean {' or '.join(f'SHOAL_{each.upper()}' for each in close)}?" if close else "."
