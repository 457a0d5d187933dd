"""A run that computes nothing, whose metrics are followed by TensorBoard's event files."""

import numpy as np

from purejaxrrl.runs import tensorboard
from purejaxrrl.runs.run_folder import RunFolder

MOMENTS = [("offline", 1, 0), ("offline", 2, 0), ("online", 1, 40), ("online", 2, 80), ("online", 3, 120)]
LIKE = {"number": np.zeros(2, np.float32)}


def rows(number):
    """Of two seeds after iteration `number`, from 1 on; the mean of no episodes is not a number."""
    phase, iteration, agent_steps = MOMENTS[number - 1]
    return [
        {"phase": phase, "iteration": iteration, "agent_steps": agent_steps, "seed": seed, "score": number / 7 + seed}
        | {"mean_return": float("nan") if number == 2 else 0.1 * number, "episodes": number, "seconds": 0.125}
        for seed in (3, 12)
    ]


def train(path, last, follows=True):
    """Goes on to iteration `last`; returns the one after which it went on."""
    with RunFolder(path, {}, resume=True) as folder:
        if follows:
            folder.followers.append(tensorboard.EventFiles(folder.path / "tensorboard", ("seed",)).write)
        restored = folder.restore(LIKE)
        done = restored.iterations if restored else 0
        for number in range(done + 1, last + 1):
            folder.rows += rows(number)
            folder.checkpoint(number, {"number": np.full(2, number, np.float32)})
    return done
