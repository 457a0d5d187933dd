"""Which search of settings saw which game: what a comparison of the methods cannot be called held out from."""

import dataclasses
from collections.abc import Sequence

import tables

from purejaxrrl.environments import minatar

LAST_SEARCHED = "asterix", "breakout", "freeway", "seaquest"
"""The games on which the methods' rates and coefficients were last searched; our rules of weaning were on all."""


@dataclasses.dataclass(frozen=True)
class Search:
    """A search of settings, or a comparison after which some were changed.

    what: was tried. methods: of which. games: on which. seeds: of the runs. where: its commit, or the command.
    """

    what: str
    methods: str
    games: Sequence[str]
    seeds: str
    where: str


EARLIER = (
    Search("rates and temperatures with the convolutional network", "QDagger", minatar.GAMES, "two each", "ab7a47f"),
    Search("factors on all rates, 50,000 frames", "all", ("asterix", "breakout"), "100, 101", "3b9c310"),
    Search("factors on both rates", "all", ("breakout", "space_invaders"), "100, 101", "6b0016b"),
    Search("the rate after weaning", "QDagger, kickstarting, pretraining", ("asterix",), "100, 101", "6b0016b"),
    Search("first comparison", "all", ("asterix", "breakout", "freeway", "space_invaders"), "0 to 5", "2b9df9e"),
    Search("the rate after weaning", "all", LAST_SEARCHED, "100, 101", "26b0a20"),
    Search("the rate with lambda 1", "all that have two", ("asterix", "breakout"), "100, 101", "26b0a20"),
    Search("second comparison", "all", minatar.GAMES, "0 to 4", "c8ee3a1"),
    Search("the rate after weaning, or the only one", "all", LAST_SEARCHED, "100, 101", "c679e99"),
    Search("the rate with lambda 1", "all that have two", ("asterix", "breakout"), "100, 101", "c679e99"),
    Search("a coefficient of its own", "all but tabula rasa", LAST_SEARCHED, "100, 101", "c679e99"),
    Search("the rule of weaning", "QDagger with our rules", minatar.GAMES, "100, 101", "c68f05a"),
    Search("confirmation", "all", minatar.GAMES, "1000 to 1009", "8a1c25b"),
)  # fmt: skip
"""Seaquest was pgx's game in all up to the second comparison."""


def table(found: Sequence[Search]) -> str:
    """Markdown: a row a search, a column a game."""
    games = list(dict.fromkeys([*minatar.GAMES, *(game for search in found for game in search.games)]))
    rows = []
    for search in found:
        saw = ["saw it" if game in search.games else "" for game in games]
        rows.append([search.what, search.methods, search.seeds, search.where, *saw])
    return tables.markdown(["what was looked at", "methods", "seeds", "commit", *games], rows)
