from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.config import ARTIFACTS, RENAMED, Settings, read_settings, setting_warnings
from service.errors import StartupError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SHOAL_{name.upper()}", raising=False)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_PORT", "9000")
    monkeypatch.setenv("SHOAL_MODELS_DIR", "/srv/models")
    monkeypatch.setenv("SHOAL_UNHEARD_OF", "1")
    settings = Settings()
    assert (settings.port, settings.models_dir) == (9000, Path("/srv/models"))


def test_defaults_serve_the_repositorys_models_on_this_machine_only() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.models_dir.parts[-2:] == ("models", "artifacts")
    assert settings.model_names() == ()


def test_models_of_ones_own_are_found_where_the_workshop_puts_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Settings().model_folders() == (ARTIFACTS, tmp_path / "shoal" / "models")
    monkeypatch.setenv("HOME", "/home/somebody")
    for ignored in ("", "not/absolute"):
        monkeypatch.setenv("XDG_DATA_HOME", ignored)
        assert Settings().own_models_dir == Path("/home/somebody/.local/share/shoal/models")
    monkeypatch.setenv("SHOAL_MODELS_DIR", "/srv/models")
    assert Settings().model_folders() == (Path("/srv/models"),)
    assert Settings().own_models_dir == Path("/srv/models")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("WORKERS", "-1"), ("MAX_BATCH_TOKENS", "0"), ("MAX_QUEUE_SIZE", "many"), ("LOG_LEVEL", "loud"),
     ("STUCK_AFTER_S", "0"), ("MAX_INPUTS_PER_REQUEST", "0"), ("MAX_BODY_BYTES", "0"), ("SHUTDOWN_TIMEOUT_S", "-1"),
     ("INTRA_OP_THREADS", "257"), ("REQUEST_TIMEOUT_S", "0"), ("CACHE_BYTES", "-1"),
     ("KEEP_ALIVE_S", "0"), ("HOST", ""), ("HOST", " "), ("MODELS_DIR", "")],
)  # fmt: skip
def test_a_value_out_of_bounds_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SHOAL_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize(("text", "names"), [("", ()), ("a", ("a",)), (" a, b ,,", ("a", "b"))])
def test_names_of_models(text: str, names: tuple[str, ...]) -> None:
    assert Settings(models=text).model_names() == names


def test_default_models_are_by_route() -> None:
    assert Settings(default_models=" classify = a,answer=b=c ,").default_names() == {"classify": "a", "answer": "b=c"}
    assert Settings().default_names() == {}


@pytest.mark.parametrize("text", ["classify", "=a", "classify=", "classify=a,classify=b"])
def test_default_models_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="default_models"):
        Settings(default_models=text)


def test_all_wrong_values_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_PORT", "http")
    monkeypatch.setenv("SHOAL_DEFAULT_MODELS", "sentiment")
    monkeypatch.setenv("SHOAL_LOG_LEVEL", "loud")
    with pytest.raises(StartupError) as told:
        read_settings()
    assert str(told.value) == (
        "SHOAL_PORT=http: Input should be a valid integer, unable to parse string as an integer; "
        "SHOAL_DEFAULT_MODELS=sentiment: it should be ROUTE=NAME pairs, separated by commas; "
        "SHOAL_LOG_LEVEL=loud: Input should be 'debug', 'info', 'warning' or 'error'"
    )


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name


def test_names_that_are_no_settings_are_told_with_those_that_are_like_them() -> None:
    names = ["SHOAL_WORKER", "SHOAL_PORT", "shoal_port", "SHOAL_XYZ", "SHOALS", "PATH", "SHOAL_KEEP_ALIVE"]
    assert setting_warnings(names) == [
        "SHOAL_KEEP_ALIVE is not a setting and has no effect; did you mean SHOAL_KEEP_ALIVE_S?",
        "SHOAL_WORKER is not a setting and has no effect; did you mean SHOAL_WORKERS?",
        "SHOAL_XYZ is not a setting and has no effect.",
    ]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_read_with_a_warning_that_gives_the_new_one(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SHOAL_{old.upper()}", "7")
    assert getattr(read_settings(), new) == 7
    assert setting_warnings([f"SHOAL_{old.upper()}"]) == [
        f"SHOAL_{old.upper()} is called SHOAL_{new.upper()} now; the old name is not read from version 0.2 on."
    ]
    monkeypatch.setenv(f"SHOAL_{new.upper()}", "5")
    assert getattr(read_settings(), new) == 5, "the new name counts"


def test_a_wrong_value_under_an_old_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_THREADS", "many")
    with pytest.raises(StartupError, match=r"^SHOAL_WORKERS=many: "):
        read_settings()
