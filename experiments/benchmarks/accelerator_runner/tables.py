"""Rows of a part as a table of text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as tables, one below the other: a new one begins where the first column is another's."""
    return "\n".join(table(list(group)) for _, group in itertools.groupby(rows, key=lambda row: next(iter(row))))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A column for each name among the rows, in order of appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    texts = [names, *[[_text(row.get(name)) for name in names] for row in rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(names))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in texts)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
