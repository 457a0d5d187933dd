"""Pictures of flights, as files."""

from pathlib import Path

import jax
import numpy as np

from purejaxrrl.environments.balloon import pictures, suites
from purejaxrrl.environments.balloon.environment import Balloon


def draw(folder: Path, environment: Balloon, seeds: np.ndarray, path: suites.Path, number: int) -> list[str]:
    """Draws the first flights of those that `suites.fly` returned; the files' names."""
    files = []
    for place in range(min(number, len(seeds))):
        seed = int(seeds[place])
        flight = pictures.flight_of(environment, seed, jax.tree.map(lambda leaf, place=place: leaf[place], path))
        for name, draw in ((f"flight_{seed}.png", pictures.draw), (f"flight_{seed}.gif", pictures.animate)):
            draw(folder / name, flight)
            files.append(name)
    return files
