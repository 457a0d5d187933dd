"""Plays an Atari game and writes what the television shows as a GIF, one picture an agent step (four frames).

    python experiments/play_atari.py --game breakout                            # random play: breakout.gif
    python experiments/play_atari.py --game ms_pacman --policy teachers/dqn     # a saved teacher, greedy but for --epsilon

The GIF has the television's own picture, not what the agent sees of it.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import purejaxrrl
from purejaxrrl import environments, teachers
from purejaxrrl.environments.atari import pictures
from purejaxrrl.environments.atari.environment import Atari
from purejaxrrl.errors import UserError
from purejaxrrl.files import atomic
from purejaxrrl.replay import acting, space
from purejaxrrl.runs import command_line
from purejaxrrl.students.hyperparameters import declare, option

STEPS_OF_A_CALL = 50


@declare
class Config:
    game: str = option("breakout", "name of the game, as in ale_py.roms")
    environment_options: str = option("", "options that the game is made with, as name=value,name=value")
    policy: str = option("", "folder of a saved teacher that plays; empty: random play")
    epsilon: float = option(0.001, "chance of a random action of a teacher that plays", minimum=0, maximum=1)
    steps: int = option(
        450, "agent steps to play, four frames each unless frame_skip says otherwise", minimum=1, maximum=20_000
    )
    scale: int = option(2, "pixels of the GIF for each line of the television", minimum=1, maximum=8)
    seed: int = option(0, "seed of the random numbers", minimum=0)
    output: str = option("", "name of the GIF to write; empty: GAME.gif")

    def __post_init__(self):
        if self.output and self.path.suffix != ".gif":
            raise UserError(f"output is {self.output!r}; it must end in .gif")

    @property
    def path(self) -> Path:
        return Path(self.output or f"{self.game}.gif")


def make(config: Config) -> tuple[Atari, teachers.Teacher | None]:
    """The game and its player. Raises ValueError or OSError, before the console is switched on, where one cannot be had, or the GIF does not
    fit the memory."""
    asked, available = pictures.bytes_of_gif(config.steps, config.scale), space.available_to_the_process()
    if available is not None and asked > available:
        raise UserError(
            f"a GIF of {config.steps} steps at scale {config.scale} takes {asked:,} bytes of memory, and {available:,} are available; "
            f"give fewer --steps or a smaller --scale"
        )
    name = f"atari/{config.game}"
    options = environments.parse_options(name, config.environment_options)
    atomic.check_writable(config.path.parent)
    if config.path.is_dir():
        raise UserError(f"--output {config.path} is a folder; give a file's name")
    teacher = teachers.load(config.policy) if config.policy else None
    if teacher:
        teachers.check_trained_on(teacher, name)
    say("making the environment ...")
    if teacher is None:
        return purejaxrrl.make(name, **{"num_start_states": 1} | options), None
    environment = purejaxrrl.make(name, **options)
    teachers.check_fits(teacher, environment, normalises=False)
    return environment, teacher


def make_policy(config: Config, environment: Atari, teacher: teachers.Teacher | None):
    """(key, observation [84, 84, 4]) -> action."""

    def random(key, observation):
        return jax.random.randint(key, (), 0, environment.num_actions)

    if teacher is None:
        return random

    def epsilon_greedy(key, observation):
        explore_key, action_key = jax.random.split(key)
        greedy = teacher.apply(teacher.params, observation[None])[0].argmax()
        explores = jax.random.uniform(explore_key) < config.epsilon
        return jnp.where(explores, random(action_key, observation), greedy)

    return epsilon_greedy


def play(config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Plays `config.steps` agent steps, saying how far it is. Returns the television's pictures, palette indices uint8
    [steps, height, 160], the rewards and whether an episode ended, each [steps], and how many frames a step is."""
    environment, teacher = make(config)
    policy = make_policy(config, environment, teacher)
    fire_action = teachers.fire_action(teacher, environment) if teacher else None

    def agent_step(carry, key):
        (observation, state), fire = carry
        act_key, step_key = jax.random.split(key)
        action = policy(act_key, observation)
        if fire_action is not None:
            action = jnp.where(fire.due[0], fire_action, action)
        picture = environment.console.screen(state.console)
        observation, state, reward, terminated, truncated, info = environment.step(step_key, state, action)
        fire = acting.fire_after(fire, info["lives"][None], info["restarted"][None])
        return ((observation, state), fire), (picture, reward, terminated | truncated)

    reset_key, play_key = jax.random.split(jax.random.key(config.seed))
    keys = jax.random.split(play_key, config.steps)
    carry, parts = (environment.reset(reset_key), acting.fire_at_first(1)), []
    roll = jax.jit(lambda carry, keys: jax.lax.scan(agent_step, carry, keys))
    for start in range(0, config.steps, STEPS_OF_A_CALL):
        say(f"step {start} of {config.steps} ...")
        carry, seen = roll(carry, keys[start : start + STEPS_OF_A_CALL])
        parts.append(jax.device_get(seen))
    screens, rewards, ends = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return screens, rewards, ends, environment.frames_per_step


def say(what: str) -> None:
    """Overwrites the last thing said, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{what:40}", end="", file=sys.stderr, flush=True)


def main() -> None:
    with command_line.user_errors("the same command starts again"):
        (config,) = command_line.parse((Config,), __doc__)
        screens, rewards, ends, frames_per_step = play(config)
        say("writing the GIF ...")
        atomic.make_folder(config.path.parent)
        pictures.write_gif(
            config.path, screens, pictures.palette_of(config.game), config.scale, frames_per_step=frames_per_step
        )
    say("")
    print(f"{config.path}: {config.steps} steps, {int(ends.sum())} episodes ended, reward {rewards.sum():g}")


if __name__ == "__main__":
    main()
