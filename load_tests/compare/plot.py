"""Throughput against p99: `PYTHON -m load_tests.compare.plot RESULTS.json PICTURE.svg` (needs matplotlib)."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

from load_tests.compare.results import Results, load_results

_PANELS = (("short", 64), ("long", 16))
_OURS, _OTHERS, _LIMIT = "#c2410c", "#475569", "#94a3b8"


def draw(results: Results, picture: Path) -> None:
    """One panel a load; up and to the left is worse."""
    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "shoal", "font.size": 9}
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, ScalarFormatter

    figure, panels = plt.subplots(1, len(_PANELS), figsize=(11, 4.6), layout="constrained")
    for panel, (texts, clients) in zip(panels, _PANELS, strict=True):
        limit = results.limit(texts)
        panel.axvline(limit, color=_LIMIT, linestyle="--", linewidth=1)
        panel.annotate(
            "raw limit", (limit, 0.02), xycoords=("data", "axes fraction"), ha="right", color=_LIMIT, rotation=90
        )
        for entry in results.entries.values():
            if entry.visits:
                found = entry.median(f"{texts}-{clients}")
                color = _OTHERS if entry.version else _OURS
                panel.plot(found.per_s, found.p99_ms, "o", color=color, markersize=5)
                panel.annotate(
                    entry.title,
                    (found.per_s, found.p99_ms),
                    xytext=(4, 4),
                    textcoords="offset points",
                    color=color,
                    fontsize=7,
                )
        panel.set(xlim=(0, limit * 1.08), yscale="log", xlabel="requests/s", ylabel="p99, ms")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(ScalarFormatter())
        panel.minorticks_off()
        panel.set_title(f"{texts} texts, {clients} clients")
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    draw(load_results(Path(sys.argv[1])), Path(sys.argv[2]))
