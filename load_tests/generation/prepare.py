"""What a run needs before it starts: environments, and the artifact's weights in every engine's form."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence

from load_tests.compare.contender import ROOT, TOOLS
from load_tests.compare.environment import install, python
from load_tests.generation.environments import TORCHED
from load_tests.generation.inputs import ARTIFACT
from load_tests.generation.systems import System

FOLDER = TOOLS.parent / "generation"
_CHECKED_TEXTS = 24


def prepare(systems: Iterable[System], texts: Sequence[str]) -> None:
    """Install what is missing and convert what is out of date. Raises RuntimeError if either fails."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for environment in {each.environment.name: each.environment for each in systems}.values():
        install(environment)
    wanted, stamp = (ARTIFACT / "SHA256SUMS").read_text(encoding="utf-8"), FOLDER / "SHA256SUMS"
    if not any(each.environment.requirements for each in systems):
        return
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    install(TORCHED)
    (FOLDER / "texts.json").write_text(json.dumps(texts[:_CHECKED_TEXTS]), encoding="utf-8")
    command = [str(python(TORCHED)), "-m", "load_tests.generation.conversions", str(FOLDER)]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"no weights for the other engines: {done.stderr.strip().splitlines()[-1]}")
    stamp.write_text(wanted, encoding="utf-8")
