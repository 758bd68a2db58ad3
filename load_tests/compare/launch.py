"""Becomes the command that follows: `python -m load_tests.compare.launch COMMAND ...`.

Before that, Linux is told that orphans below this process are adopted by it (the attribute survives exec): so all that
a server starts, daemons too, stays its descendant, is counted, and is stopped.
"""

import ctypes
import os
import sys

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """This process becomes the parent of descendants that lost theirs."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    adopt_orphans()
    os.execvp(sys.argv[1], sys.argv[1:])
