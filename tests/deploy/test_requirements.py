"""The locks: exact, hashed, of one mind, and free of addresses, torch and CUDA."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

LOCKS = ("runtime", "test", "workshop")
_PIN = re.compile(
    r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ;.*)? \\\n"  # name==version ; marker
    r"(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+",
    re.MULTILINE,
)
_NAME = re.compile(r"^[A-Za-z0-9._-]+")


def pins(root: Path, lock: str) -> dict[str, str]:
    """Version by package; every line that names a package must be an exact, hashed pin."""
    text = (root / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    found = dict(_PIN.findall(text))
    assert len(found) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address(root: Path, lock: str) -> None:
    text = (root / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.findall(r"^-", text, re.MULTILINE), "an option of pip"
    assert " @ " not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_neither_torch_nor_cuda(root: Path, lock: str) -> None:
    assert not {name for name in pins(root, lock) if re.match(r"(torch$|nvidia|cuda|triton)", name)}


def test_runtime_has_nothing_of_the_workshop(root: Path) -> None:
    assert not {"transformers", "optimum", "optimum-onnx", "onnx"} & set(pins(root, "runtime"))


@pytest.mark.parametrize(("smaller", "larger"), [("runtime", "test"), ("test", "workshop")])
def test_locks_agree(root: Path, smaller: str, larger: str) -> None:
    assert pins(root, smaller).items() <= pins(root, larger).items()


def test_locks_hold_what_pyproject_asks_for(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {
        "runtime": project["dependencies"],
        "test": project["optional-dependencies"]["test"],
        "workshop": project["optional-dependencies"]["workshop"],
    }
    for lock, requirements in asked.items():
        names = {match[0] for line in requirements if (match := _NAME.match(line))} - {"shoal", "torch"}
        assert names <= set(pins(root, lock))


def test_torch_is_the_same_everywhere(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (wanted,) = [line for line in project["project"]["optional-dependencies"]["workshop"] if line.startswith("torch==")]
    (described,) = project["tool"]["uv"]["dependency-metadata"]
    assert wanted == f"torch=={described['version']}"
    assert f"TORCH_CPU := {wanted}\n" in (root / "Makefile").read_text(encoding="utf-8")
