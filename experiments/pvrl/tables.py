"""Tables in Markdown."""

from collections.abc import Sequence


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a title for each column."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows))
