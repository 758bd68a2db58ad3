"""Imports go one way: down through the folders of service/, and round in no circle inside one."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A folder, or a module that stands beside them, imports only what stands in a line above its own.
LEVELS: list[set[str]] = [
    {"service.errors", "service.process", "service.metrics", "service.protobuf"},
    {"service.config", "service.hub_cache", "service.onnx_file"},
    {"service.artifact", "service.scheduling", "service.text"},
    {"service.runtime"},
    {"service.seq2seq"},
    {"service.tasks"},
    {"service.engine"},
    {"service.api"},
    {"service.app"},
    {"service.__main__"},
]
# What may be imported by less than the levels would allow.
ONLY: dict[str, set[str]] = {
    "service.scheduling": {"service.errors"},
    "service.text": {"service.errors", "service.protobuf"},
    "service.artifact": {"service.errors", "service.hub_cache", "service.onnx_file"},
}
FORBIDDEN = {"models", "torch", "transformers", "optimum", "tests"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted((ROOT / "service").rglob("*.py"))}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(name: str) -> str:
    """The module of service/ that an imported name is, or is defined in."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def part_of(module: str) -> str:
    """The folder of a module, or the module itself where it is in none."""
    return ".".join(module.split(".")[:2])


def level_of(module: str) -> int:
    return next(number for number, parts in enumerate(LEVELS) if part_of(module) in parts)


def imported_from_service(module: str) -> set[str]:
    names = {name for name in imports_of(MODULES[module]) if name.split(".")[0] == "service"}
    return {module_of(name) for name in names} - {"service", module}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"service"}))
def test_a_module_imports_only_its_own_folder_and_lower_ones(module: str) -> None:
    for imported in imported_from_service(module):
        inside = part_of(imported) == part_of(module)
        assert inside or level_of(imported) < level_of(module), f"{module} imports {imported}"
        if not inside and part_of(module) in ONLY:
            assert part_of(imported) in ONLY[part_of(module)], f"{module} imports {imported}"
    assert not {name.split(".")[0] for name in imports_of(MODULES[module])} & FORBIDDEN


@pytest.mark.parametrize("folder", sorted({part_of(module) for module in MODULES} - {"service"}))
def test_a_folder_has_no_circle(folder: str) -> None:
    inside = [module for module in MODULES if part_of(module) == folder]
    TopologicalSorter({module: imported_from_service(module) & set(inside) for module in inside}).prepare()


@pytest.mark.parametrize("library", ["asyncio", "fastapi", "onnxruntime", "starlette", "tokenizers", "uvicorn"])
def test_the_scheduler_knows_neither_http_nor_onnx(library: str) -> None:
    for module, path in MODULES.items():
        if part_of(module) == "service.scheduling":
            assert library not in {name.split(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize(
    ("library", "owners"), [("onnxruntime", {"service.runtime.session"}), ("tokenizers", {"service.text"})]
)
def test_a_library_is_imported_by_its_owners_only(library: str, owners: set[str]) -> None:
    for module, path in MODULES.items():
        if library in {name.split(".")[0] for name in imports_of(path)}:
            assert {module, part_of(module)} & owners, f"{module} imports {library}"
