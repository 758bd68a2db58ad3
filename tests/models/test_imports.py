"""The workshop's folders import each other in one direction, and no folder has an import cycle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Each folder may import those before it.
FOLDERS = ("errors", "data", "graphs", "evaluation", "training", "compression", "custom", "commands", "__main__")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((ROOT / "models").rglob("*.py"))}


def imports_of(name: str) -> set[str]:
    """Modules of the workshop that a module imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {each if each in MODULES else node.module for each in full}
    return found & set(MODULES) - {name}


def folder_of(name: str) -> int:
    return FOLDERS.index(name.split(".")[1])


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"models"}))
def test_a_module_imports_only_folders_before_its_own(name: str) -> None:
    later = {other for other in imports_of(name) - {"models"} if folder_of(other) > folder_of(name)}
    assert not later, f"{name} imports {', '.join(sorted(later))}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_has_an_import_cycle(folder: str) -> None:
    inside = {name for name in MODULES if name.split(".")[1:2] == [folder]}
    assert inside
    try:
        TopologicalSorter({name: imports_of(name) & inside for name in inside}).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_typer_is_imported_by_the_command_line_only() -> None:
    importers = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "typer"
    }
    assert {name.split(".")[1] for name in importers} == {"commands", "__main__"}
