"""All games that ale-py 0.12.1 ships a ROM for and loads."""

from __future__ import annotations

import dataclasses

from purejaxrrl.environments.atari.games import catalogue_a_to_c, catalogue_d_to_k, catalogue_l_to_r, catalogue_s_to_z
from purejaxrrl.environments.atari.games.spec import GameSpec

_ENTRIES = (*catalogue_a_to_c.ENTRIES, *catalogue_d_to_k.ENTRIES, *catalogue_l_to_r.ENTRIES, *catalogue_s_to_z.ENTRIES)

GAMES: dict[str, GameSpec] = {
    entry.name: dataclasses.replace(entry, game_id=game_id)
    for game_id, entry in enumerate(sorted(_ENTRIES, key=lambda entry: entry.name))
}
"""Every supported game by its name in `ale_py.roms`, in alphabetical order, which is the order of `game_id`."""
