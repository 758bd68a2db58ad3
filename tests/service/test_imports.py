"""Imports go one way: a module imports only what stands in a layer above its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS: list[list[str]] = [
    ["service", "service.errors", "service.config", "service.cpus", "service.schemas", "service.metrics"],
    ["service.protobuf"],
    ["service.onnx_file"],
    ["service.default_models", "service.job", "service.cost", "service.answers", "service.refusals"],
    ["service.connection"],
    ["service.protocol"],
    ["service.sentences", "service.extraction", "service.sources"],
    ["service.queue", "service.outbox"],
    ["service.line", "service.artifact"],
    ["service.admission"],
    ["service.turn"],
    ["service.scheduler"],
    ["service.marian", "service.words", "service.frame"],
    ["service.encoding"],
    ["service.domain"],
    ["service.model"],
    ["service.conformity"],
    ["service.encoder"],
    ["service.generation"],
    ["service.tasks"],
    ["service.request"],
    ["service.engine"],
    ["service.registry"],
    ["service.routes"],
    ["service.middleware"],
    ["service.app"],
    ["service.__main__"],
]
INSIDE = {"service.generation", "service.tasks", "service.routes"}  # packages, whose modules may import each other
FORBIDDEN = {"models", "torch", "transformers", "optimum", "tests"}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer_of(name: str) -> int:
    """The layer of a module, or of what is imported from it; its own name counts most."""
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        for number, layer in enumerate(LAYERS):
            if ".".join(parts[:size]) in layer:
                return number
    raise AssertionError(f"{name} is in no layer")


def modules() -> list[Path]:
    return sorted((ROOT / "service").rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_layers_above(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    package = next((package for package in INSIDE if own.startswith(f"{package}.")), None)
    for name in imports_of(path):
        assert name.split(".")[0] not in FORBIDDEN
        if name.split(".")[0] == "service" and not (package and name.startswith(f"{package}.")):
            assert layer_of(name) < layer_of(own) or layer_of(own) == 0 == layer_of(name), f"{own} imports {name}"


@pytest.mark.parametrize(
    ("library", "owners"),
    [
        ("onnxruntime", {"service.model"}),
        ("tokenizers", {"service.encoding", "service.frame", "service.marian", "service.words"}),
    ],
)
def test_a_library_is_imported_by_its_owners_only(library: str, owners: set[str]) -> None:
    importers = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules()
        if any(name.split(".")[0] == library for name in imports_of(path))
    }
    assert importers == owners
