"""What the driver chose, as a server's own processes see it. Standard library only."""

import os
from pathlib import Path

from load_tests.compare.contender import ARTIFACT


def chosen(name: str, default: str) -> str:
    """An axis' value."""
    return os.environ.get(f"COMPARE_{name.upper()}", default)


PORT = int(chosen("port", "8000"))
WORK = Path(chosen("work", "."))
"""A folder for files that the server needs at start."""
WORKERS, THREADS = map(int, chosen("cpus", "1x1").split("x"))
BATCH = int(chosen("batch", "16"))
DELAY_MS = float(chosen("delay_ms", "2"))
FP32 = ARTIFACT.parent.parent.parent / ".tools" / "compare" / "fp32"
"""What load_tests.compare.weights wrote."""
UNTRAINED = "untrained.txt"
"""A file in it, if its weights could not be read from the graph: names of those."""
