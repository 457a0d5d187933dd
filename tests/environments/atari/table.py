"""The table of a long comparison in Markdown, from the folder in which `comparison.py --folder` keeps its reports.

python tests/environments/atari/table.py FOLDER > docs/atari_comparison.md
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

TITLE = """# Atari beside ale-py, frame by frame

RAM, screen, reward, lives and game over were compared after every frame of random play, held and hammered buttons and idling, on the
compiled kernel (`python tests/environments/atari/comparison.py --frames 100000 --seeds 3 --folder FOLDER`): {frames:,} frames of {games} games,
{resets:,} resets, {differing:,} frames that differ in anything.

| game | seeds | frames | resets | frames that differ |
| --- | --- | ---: | ---: | ---: |"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    reports = [json.loads(file.read_text()) for file in sorted(parser.parse_args().folder.glob("*.json"))]
    of_game: dict[str, list[dict]] = defaultdict(list)
    for report in reports:
        of_game[report["game"]].append(report)
    print(TITLE.format(games=len(of_game), **_sums(reports)))
    for game, found in of_game.items():
        seeds, sums = ", ".join(str(report["seed"]) for report in found), _sums(found)
        print(f"| {game} | {seeds} | {sums['frames']:,} | {sums['resets']:,} | {sums['differing']:,} |")


def _sums(reports: list[dict]) -> dict[str, int]:
    # A frame that differs in several things counts once for the one in which most frames do: at least so many differ.
    differing = sum(max(report["differences"].values(), default=0) for report in reports)
    return {name: sum(report[name] for report in reports) for name in ("frames", "resets")} | {"differing": differing}


if __name__ == "__main__":
    main()
