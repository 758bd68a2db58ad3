"""Each server's own virtual environment, made when it is first wanted."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from load_tests.compare.chosen import FP32
from load_tests.compare.contender import ARTIFACT, ROOT, TOOLS, TORCH, Contender

_FP32 = Contender(
    name="fp32_weights", title="", requirements=("transformers==4.57.6", TORCH, "onnx==1.23.0"), command=()
)
PLOT = Contender(name="plot", title="", requirements=("matplotlib==3.11.2",), command=())


def _pip(python: Path, *arguments: str) -> None:
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--quiet",
        "--no-compile",
        *arguments,
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise RuntimeError(f"pip could not install it: {' '.join(errors[-2:]) or done.stderr[-300:]}")


def python(contender: Contender) -> Path:
    """Its interpreter; ours where it needs nothing."""
    return contender.folder / "bin" / "python" if contender.requirements else Path(sys.executable)


def install(contender: Contender) -> None:
    """Make its environment, if it is not there as required. Raises RuntimeError if pip fails."""
    wanted, stamp = "\n".join(contender.requirements), contender.folder / "requirements.txt"
    if contender.requirements and not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        print(f"Installing {contender.requirements[0]} into {contender.folder.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", contender.folder], check=True)
        if TORCH in contender.requirements:
            # First and alone: which build is right depends on the machine, see the Makefile. TORCH names another.
            _pip(python(contender), *shlex.split(os.environ.get("TORCH") or TORCH))
        _pip(python(contender), *_without_torch(contender.requirements))
        stamp.write_text(wanted, encoding="utf-8")
    weights = FP32 / "model.safetensors"
    if contender.fp32 and not (
        weights.is_file() and weights.stat().st_mtime > (ARTIFACT / "model.onnx").stat().st_mtime
    ):
        install(_FP32)
        command = [str(python(_FP32)), "-m", "load_tests.compare.weights", str(FP32)]
        done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"no float weights could be made: {done.stderr.strip().splitlines()[-1]}")


def _without_torch(requirements: Sequence[str]) -> list[str]:
    return [each for each in requirements if each != TORCH]


def plot(rounds: Path, picture: Path) -> None:
    """Draw what was measured; matplotlib has an environment of its own, too."""
    install(PLOT)
    command = [str(python(PLOT)), "-m", "load_tests.compare.plot", str(rounds), str(picture)]
    environment = {**os.environ, "MPLCONFIGDIR": str(TOOLS / "plot")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
