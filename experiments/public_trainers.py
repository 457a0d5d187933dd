"""Other people's training programs on our environments: PureJaxRL's DQN and PPO, Rejax's DQN, PPO and PQN, PureJaxQL's PQN.

    python experiments/public_trainers.py --purejaxrl CHECKOUT --rejax CHECKOUT --purejaxql CHECKOUT
    python experiments/public_trainers.py --purejaxql CHECKOUT --environment atari/pong

Their files are imported from checkouts as they are, and `gymnax.make` gives them our environment with `FiveValues` around it: they
were written for gymnax before 1.0. So run this with the Python of a virtual environment that has
`gymnax==0.0.9 six flashbax distrax hydra-core` beside this library. What a program imports and does not use here (wandb, brax,
navix) is left empty. Trainings are as short as they can be: whether they run is what is asked. A line for each says how it ended,
and the last line with which versions.
"""

import importlib
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

import purejaxrrl
from purejaxrrl.environments import FiveValues
from purejaxrrl.errors import UserError
from purejaxrrl.runs import command_line
from purejaxrrl.students.hyperparameters import declare, option

Training = Callable[[], Any]
"""Trains, and returns a pytree of what was measured."""


@declare
class Config:
    environment: str = option("minatar/breakout", "name of the environment that the programs train on")
    purejaxrl: str = option("", "folder with a checkout of luchris429/purejaxrl; empty: none")
    rejax: str = option("", "folder with a checkout of keraJLi/rejax; empty: none")
    purejaxql: str = option("", "folder with a checkout of mttga/purejaxql; empty: none")
    training_steps: int = option(2_048, "agent steps of each program's training", minimum=1_024, maximum=1_000_000)

    def __post_init__(self):
        if not (self.purejaxrl or self.rejax or self.purejaxql):
            raise UserError("no checkout was given; give --purejaxrl, --rejax or --purejaxql")
        for name in ("purejaxrl", "rejax", "purejaxql"):
            if (folder := getattr(self, name)) and not Path(folder).is_dir():
                raise UserError(f"{name} is {folder!r}, which is no folder; give a checkout")


def put_in(environment: Any) -> None:
    """Makes `environment` what their `gymnax.make` returns, and stands in for what they import without need."""
    import gymnax

    gymnax.make = lambda *_, **__: (environment, environment.default_params)
    jax.tree_map = jax.tree.map  # newer versions of JAX have only the second name
    for name in ("wandb", "navix", "brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training"):
        sys.modules.setdefault(name, _Empty(name))


class _Empty(types.ModuleType):
    """A module that has everything that somebody imports from it, and nothing in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def trainings(config: Config) -> Iterator[tuple[str, Training]]:
    """What is trained, by name."""
    if config.purejaxrl:
        sys.path.insert(0, str(Path(config.purejaxrl) / "purejaxrl"))
        yield "PureJaxRL dqn.py", lambda: _purejaxrl("dqn", PUREJAXRL_DQN, config)
        yield "PureJaxRL ppo.py", lambda: _purejaxrl("ppo", PUREJAXRL_PPO, config)
    if config.rejax:
        sys.path.insert(0, str(Path(config.rejax) / "src"))
        for name in ("DQN", "PPO", "PQN"):
            yield f"Rejax {name}", lambda name=name: _rejax(name, config)
    if config.purejaxql:
        sys.path.insert(0, str(Path(config.purejaxql)))
        yield "PureJaxQL pqn_minatar.py", lambda: _purejaxql(config)


# Their own settings, but for lengths.
PUREJAXRL_DQN = {
    "NUM_ENVS": 8, "BUFFER_SIZE": 1_000, "BUFFER_BATCH_SIZE": 32, "EPSILON_START": 1.0, "EPSILON_FINISH": 0.05,
    "EPSILON_ANNEAL_TIME": 25e4, "TARGET_UPDATE_INTERVAL": 500, "LR": 2.5e-4, "LEARNING_STARTS": 200, "TRAINING_INTERVAL": 8,
    "LR_LINEAR_DECAY": False, "GAMMA": 0.99, "TAU": 1.0, "ENV_NAME": "", "WANDB_MODE": "disabled",
}  # fmt: skip
PUREJAXRL_PPO = {
    "LR": 2.5e-4, "NUM_ENVS": 8, "NUM_STEPS": 32, "UPDATE_EPOCHS": 1, "NUM_MINIBATCHES": 4, "GAMMA": 0.99, "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2, "ENT_COEF": 0.01, "VF_COEF": 0.5, "MAX_GRAD_NORM": 0.5, "ACTIVATION": "tanh", "ENV_NAME": "", "ANNEAL_LR": True,
    "DEBUG": False,
}  # fmt: skip
PUREJAXQL = {
    "NUM_ENVS": 8, "NUM_STEPS": 32, "EPS_START": 1.0, "EPS_FINISH": 0.05, "EPS_DECAY": 0.1, "NUM_MINIBATCHES": 4, "NUM_EPOCHS": 1,
    "NORM_TYPE": "layer_norm", "LR": 5e-4, "MAX_GRAD_NORM": 10, "LR_LINEAR_DECAY": True, "GAMMA": 0.99, "LAMBDA": 0.65, "ENV_NAME": "",
    "ENV_KWARGS": {}, "TEST_DURING_TRAINING": False, "WANDB_MODE": "disabled",
}  # fmt: skip


def _purejaxrl(module: str, settings: dict[str, Any], config: Config) -> Any:
    train = importlib.import_module(module).make_train(settings | {"TOTAL_TIMESTEPS": config.training_steps})
    return jax.jit(train)(jax.random.PRNGKey(0))["metrics"]


def _rejax(name: str, config: Config) -> Any:
    import gymnax

    environment, params = gymnax.make("")
    algorithm = getattr(importlib.import_module("rejax"), name).create(
        env=environment, env_params=params.replace(max_steps_in_episode=100), total_timesteps=config.training_steps,
        eval_freq=config.training_steps, num_envs=8, skip_initial_evaluation=True,
    )  # fmt: skip
    return jax.jit(algorithm.train)(jax.random.PRNGKey(0))[1]


def _purejaxql(config: Config) -> Any:
    module = importlib.import_module("purejaxql.pqn_minatar")
    train = module.make_train(
        PUREJAXQL | {"TOTAL_TIMESTEPS": config.training_steps, "TOTAL_TIMESTEPS_DECAY": config.training_steps}
    )
    return jax.jit(jax.vmap(train))(jax.random.split(jax.random.PRNGKey(0), 1))["metrics"]


def outcome(training: Training) -> str:
    """How a training ended: finite in all that it measured, or what went wrong."""
    started = time.perf_counter()
    try:
        measured = jax.tree.leaves(jax.block_until_ready(training()))
    except Exception as error:  # whatever somebody else's program raises
        return f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if not all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in measured):
        return "FAILED: what it measured is not finite"
    return f"ran, {len(measured)} measurements, {time.perf_counter() - started:.0f} s"


def version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "missing"


def versions(config: Config) -> str:
    """Of the libraries, and the commits of the checkouts."""
    found = [f"{name} {version(name)}" for name in ("jax", "gymnax", "flax", "optax", "distrax", "flashbax")]
    for name in ("purejaxrl", "rejax", "purejaxql"):
        if folder := getattr(config, name):
            done = subprocess.run(["git", "-C", folder, "log", "-1", "--format=%h"], capture_output=True, text=True)
            found.append(f"{name} {done.stdout.strip() or 'of no git checkout'}")
    return ", ".join(found)


def main() -> int:
    with command_line.user_errors("the same command starts again"):
        (config,) = command_line.parse((Config,), __doc__)
        if not version("gymnax").startswith("0."):
            raise UserError(
                f"gymnax is {version('gymnax')}, whose wrappers these programs cannot use; take a virtual environment with "
                f"gymnax==0.0.9"
            )
        put_in(FiveValues(purejaxrrl.make(config.environment)))
    failed = 0
    for name, training in trainings(config):
        said = outcome(training)
        failed += said.startswith("FAILED")
        print(f"{name:26} {said}", flush=True)
    print(f"on {config.environment}; {versions(config)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
