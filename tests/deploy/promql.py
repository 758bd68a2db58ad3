"""Just enough PromQL to find the metrics and labels that an expression names."""

from __future__ import annotations

import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_METRIC = re.compile(r"\b(?:shoal|process|python)_[a-z_]+\b")
_SELECTOR = re.compile(r"\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_WORD = re.compile(r"[a-z_]+")


def metrics_in(expression: str) -> set[str]:
    """Names of our metrics in a PromQL expression, suffixes (_bucket, _sum, _count) included."""
    return set(_METRIC.findall(_STRING.sub('""', expression)))


def labels_in(expression: str) -> set[str]:
    """Labels that the expression selects or groups by."""
    bare = _STRING.sub('""', expression)
    return {label for part in (*_SELECTOR.findall(bare), *_GROUPING.findall(bare)) for label in _WORD.findall(part)}
