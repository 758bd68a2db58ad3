"""The command line reads what it is told, and refuses what it cannot."""

from __future__ import annotations

import pytest

from models.__main__ import app, main

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f" {name} [OPTIONS]" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["finetune"],
        ["finetune", "sentiment", "--task", "classification"],
        ["finetune", "--task", "translation"],
        ["distil", "sentiment"],
        ["distil", "sentiment", "--layers", "3", "--weights", "1", "2"],
        ["evaluate", "sentiment", "--limit", "many"],
        ["bake", "sentiment"],
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(" --help.")
