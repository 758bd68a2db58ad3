"""The table in docs/benchmarks.md."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from load_tests.compare.contender import CORES
from load_tests.compare.results import Entry, Results

_FIRST, _LAST = "<!-- compare: written by `make compare` -->", "<!-- compare: end -->"
_HEAD = (
    "| server | short, 64 clients: req/s | of limit | p50 ms | p99 ms | CPU ms/req "
    "| long, 16 clients: req/s | of limit | p99 ms | short, 1 client: p50 ms | p99 ms |"
)
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")


def machine() -> str:
    """Processor, cores, instructions that int8 depends on, memory, system."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"))
    return ", ".join(
        [
            f"{processor[1] if processor else platform.machine()}",
            f"{CORES} cores",
            " ".join(flag for flag in _FLAGS if flag in flags),
            f"{int(memory[1]) / 2**20:.0f} GB" if memory else "",
            f"Linux {platform.release().partition('-')[0]}",
            f"Python {platform.python_version()}",
        ]
    )


def _setting(entry: Entry) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry.setting.items()) or "as it comes"


def _row(entry: Entry) -> str:
    short, long, alone = entry.median("short-64"), entry.median("long-16"), entry.median("short-1")
    cells = [
        f"**{entry.title}**" if not entry.version else entry.title,
        f"{short.per_s:.0f}",
        f"{100 * entry.share('short', 64):.0f}%",
        f"{short.p50_ms:.0f}",
        f"{short.p99_ms:.0f}",
        f"{short.cpu_ms:.1f}",
        f"{long.per_s:.1f}",
        f"{100 * entry.share('long', 16):.0f}%",
        f"{long.p99_ms:.0f}",
        f"{alone.p50_ms:.1f}",
        f"{alone.p99_ms:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _second_row(entry: Entry) -> str:
    failed = sum(sample.failed for visit in entry.visits for sample in visit.loads.values())
    note = "; ".join(filter(None, [entry.note, f"{failed:.0f} requests failed" if failed else ""]))
    start_s = sorted(visit.start_s for visit in entry.visits)[len(entry.visits) // 2]
    rss_mb = sorted(visit.rss_mb for visit in entry.visits)[len(entry.visits) // 2]
    cells = [entry.title, entry.version or "this", _setting(entry), f"{start_s:.1f}", f"{rss_mb:.0f}", note]
    return f"| {' | '.join(cells)} |"


def table(results: Results, absent: dict[str, str]) -> str:
    """All of it, as Markdown."""
    entries = [entry for entry in results.entries.values() if entry.visits]
    entries.sort(key=lambda entry: -entry.median("short-64").per_s)
    missing = {entry.title: entry.failure for entry in results.entries.values() if not entry.visits} | absent
    limits = ", ".join(
        f"{texts} {results.limit(texts):.0f} texts/s ({min(found):.0f} to {max(found):.0f})"
        for texts, found in results.limits.items()
    )
    conditions = (
        f"{results.machine}; {results.date}. Medians of {results.rounds} rounds, every server in each; "
        f"{results.seconds} s a load. Raw limit of the machine meanwhile: {limits}; shares are of that just before "
        "and after."
    )
    return "\n".join(
        [
            conditions,
            "",
            "![Throughput against p99](benchmarks.svg)",
            "",
            _HEAD,
            "| --- |" + " ---: |" * 10,
            *(_row(entry) for entry in entries),
            "",
            "| server | version | setting | start s | RSS MB | |",
            "| --- | --- | --- | ---: | ---: | --- |",
            *(_second_row(entry) for entry in entries),
            "",
            "Not measured:",
            "",
            *(f"- {title}: {reason}" for title, reason in missing.items()),
        ]
    )


def write(results: Results, absent: dict[str, str], page: Path) -> None:
    """Put the table between its marks in the page; at its end, if there are none."""
    text = page.read_text(encoding="utf-8") if page.is_file() else "# Benchmarks\n"
    if _FIRST not in text:
        text += f"\n{_FIRST}\n{_LAST}\n"
    before, _, rest = text.partition(_FIRST)
    after = rest.partition(_LAST)[2]
    page.write_text(f"{before}{_FIRST}\n{table(results, absent)}\n{_LAST}{after}", encoding="utf-8")
