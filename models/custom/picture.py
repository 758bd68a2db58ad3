"""A confusion matrix as an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_COUNTED_LABELS = 20  # up to so many, cells are large enough for their count
_LONGEST_CHARS = 32


def _cell(place: tuple[int, int], size: int, count: int, total: int, said: str) -> str:
    """A square, the bluer the larger its share of `total`; `said` is its tooltip."""
    (left, top), share = place, count / max(total, 1)
    other = round(255 * (1 - share))
    number = ""
    if count and size > 8 * len(str(count)):
        ink = "white" if share > 0.5 else "black"
        middle = f'x="{left + size / 2}" y="{top + size / 2 + 4}"'
        number = f'<text {middle} text-anchor="middle" fill="{ink}">{count}</text>'
    box = f'x="{left}" y="{top}" width="{size}" height="{size}"'
    square = f'<rect {box} fill="rgb({other},{other},255)" stroke="#ccc"/>'
    return f"<g><title>{escape(said)}</title>{square}{number}</g>"


def _names(labels: Sequence[str], margin: int, size: int, font: int) -> list[str]:
    """Each label left of its row and, turned, above its column."""
    parts = []
    for index, label in enumerate(labels):
        name = escape(label if len(label) <= _LONGEST_CHARS else f"{label[: _LONGEST_CHARS - 1]}…")
        middle = round(margin + size * (index + 0.5) + font / 3)
        edge = margin - 6
        parts.append(f'<text x="{edge}" y="{middle}" text-anchor="end">{name}</text>')
        parts.append(f'<text x="{middle}" y="{edge}" transform="rotate(-90 {middle} {edge})">{name}</text>')
    return parts


def confusion_picture(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw `counts` [right, given]: a row for each label that texts have, a column for each that they were given.

    Empty cells off the diagonal are left out.
    """
    size, font = (36, 12) if len(labels) <= _COUNTED_LABELS else (10, 8)
    margin = int(min(max(map(len, labels)), _LONGEST_CHARS) * font * 0.62) + 30
    side = margin + size * len(labels) + 8
    cells = [
        _cell(
            (margin + size * column, margin + size * row), size, count, sum(right),
            f"{labels[row]} given {labels[column]}: {count} of {sum(right)}",
        )
        for row, right in enumerate(counts)
        for column, count in enumerate(right)
        if count or row == column
    ]  # fmt: skip
    box = f'viewBox="0 0 {side} {side}" width="{side}" height="{side}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="{font}">',
        f'<rect width="{side}" height="{side}" fill="white"/>',
        '<text x="6" y="14">right: rows, given: columns</text>',
        *_names(labels, margin, size, font),
        *cells,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
