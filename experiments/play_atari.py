"""Plays an Atari game and writes what the television shows as a GIF, one picture an agent step (four frames).

python experiments/play_atari.py --game breakout                            # random play: breakout.gif
python experiments/play_atari.py --game ms_pacman --policy teachers/dqn     # a saved teacher, greedy but for --epsilon
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from purejaxrrl.environments.atari.environment import Atari

PICTURES_PER_SECOND = 15


@dataclasses.dataclass(frozen=True)
class Config:
    """game: as in `ale_py.roms`. policy: folder of a saved teacher; random play without. epsilon: chance of a random action.
    steps: agent steps. scale: pixels of the GIF per line of the television. output: file; <game>.gif without."""

    game: str = "breakout"
    policy: str | None = None
    epsilon: float = 0.001
    steps: int = 450
    scale: int = 2
    seed: int = 0
    output: str | None = None


def make_policy(config: Config, environment: Atari):
    """(key, observation [84, 84, 4]) -> action."""

    def random(key, observation):
        return jax.random.randint(key, (), 0, environment.num_actions)

    if config.policy is None:
        return random
    from purejaxrrl import teachers

    teacher = teachers.load(config.policy)
    teachers.check_fits(teacher, environment)

    def epsilon_greedy(key, observation):
        explore_key, action_key = jax.random.split(key)
        greedy = teacher.apply(teacher.params, observation[None])[0].argmax()
        explores = jax.random.uniform(explore_key) < config.epsilon
        return jnp.where(explores, random(action_key, observation), greedy)

    return epsilon_greedy


def play(config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plays `config.steps` agent steps. Returns the television's pictures, uint8 [steps, height, 160, 3], the rewards
    and whether an episode ended, each [steps]."""
    environment = Atari(config.game, num_start_states=1)
    policy = make_policy(config, environment)

    def agent_step(carry, key):
        observation, state = carry
        act_key, step_key = jax.random.split(key)
        action = policy(act_key, observation)
        picture = environment.console.rgb(state.console)
        observation, state, reward, terminated, truncated, _ = environment.step(step_key, state, action)
        return (observation, state), (picture, reward, terminated | truncated)

    reset_key, play_key = jax.random.split(jax.random.key(config.seed))
    keys = jax.random.split(play_key, config.steps)
    start = environment.reset(reset_key)
    pictures, rewards, ends = jax.jit(lambda start, keys: jax.lax.scan(agent_step, start, keys)[1])(start, keys)
    return np.asarray(pictures), np.asarray(rewards), np.asarray(ends)


def write_gif(path: Path, pictures: np.ndarray, scale: int) -> None:
    """Writes pictures, uint8 [T, height, 160, 3], as a GIF; a television's pixels are twice as wide as high."""
    size = (320 * scale, pictures.shape[1] * scale)
    images = [Image.fromarray(picture).resize(size, Image.Resampling.NEAREST) for picture in pictures]
    images[0].save(path, save_all=True, append_images=images[1:], duration=1000 // PICTURES_PER_SECOND, loop=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in dataclasses.fields(Config):
        kind = str if field.default is None else type(field.default)
        parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    config = Config(**vars(parser.parse_args()))
    try:
        pictures, rewards, ends = play(config)
    except (ValueError, ModuleNotFoundError) as error:
        parser.error(str(error))
    path = Path(config.output or f"{config.game}.gif")
    write_gif(path, pictures, config.scale)
    print(f"{path}: {config.steps} steps, {int(ends.sum())} episodes ended, reward {rewards.sum():g}")


if __name__ == "__main__":
    main()
