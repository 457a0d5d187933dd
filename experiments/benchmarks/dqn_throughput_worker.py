"""One side of `dqn_throughput.py`: compiles its programs once and times a call of one whenever it is asked to.

Runs in either interpreter, so it imports nothing that PureJaxRL's environment lacks before it knows which side it is.

    dqn_throughput_worker.py SIDE STEPS WARM_UP SEEDS [PUREJAXRL_FOLDER]

It reads names of programs from stdin, one a line, and answers each with the seconds of one call as a line of JSON. Its
first line says what it is: versions, updates in a call, and what the compiler says of the memory.
"""

import functools
import json
import math
import os
import sys
import time
import types

ENVIRONMENTS, BATCH, CAPACITY = 10, 128, 100_000
STEPS_PER_UPDATE, TARGET_STEPS = 10, 500


def ours(steps: int, warm_up: int):
    """(train(key), environments(key), updates in a call, memory(keys)) of DQN here."""
    import jax.numpy as jnp

    import purejaxrrl
    from purejaxrrl import qdagger

    settings = purejaxrrl.DQN(
        iteration_steps=steps, widths=(120, 84), num_environments=ENVIRONMENTS, steps_per_update=STEPS_PER_UPDATE,
        target_period=TARGET_STEPS // STEPS_PER_UPDATE, batch_size=BATCH, capacity=CAPACITY, warm_up=warm_up,
        epsilon_end=0.05, epsilon_decay_steps=250_000,
    )  # fmt: skip
    environment = purejaxrrl.make("minatar/breakout")
    params = environment.default_params
    program = qdagger.program(settings, environment)

    def train(key):
        state = qdagger.init(program, key, settings)
        return qdagger.play_and_learn(program, state, key, settings, None, jnp.int32(0))

    def environments(key):
        return step_randomly(
            key, lambda key: environment.reset(key, params), lambda *args: environment.step(*args, params), steps
        )

    schedule = settings.schedule
    updates = schedule.updates_per_cycle * (schedule.cycles_per_iteration - warm_up // STEPS_PER_UPDATE + 1)
    return train, environments, updates, functools.partial(memory, program)


def purejaxrl(steps: int, warm_up: int, folder: str):
    """The same of PureJaxRL's dqn.py, which is imported as it is."""
    import jax

    sys.modules["wandb"] = types.ModuleType("wandb")
    jax.tree_map = jax.tree.map  # newer versions of JAX have only the second name
    sys.path.insert(0, os.path.join(folder, "purejaxrl"))
    import dqn
    import gymnax
    from gymnax.wrappers.purerl import FlattenObservationWrapper, LogWrapper

    config = {
        "NUM_ENVS": ENVIRONMENTS, "BUFFER_SIZE": CAPACITY, "BUFFER_BATCH_SIZE": BATCH, "TOTAL_TIMESTEPS": steps,
        "EPSILON_START": 1.0, "EPSILON_FINISH": 0.05, "EPSILON_ANNEAL_TIME": 25e4, "TARGET_UPDATE_INTERVAL": TARGET_STEPS,
        "LR": 2.5e-4, "LEARNING_STARTS": warm_up, "TRAINING_INTERVAL": STEPS_PER_UPDATE, "LR_LINEAR_DECAY": False,
        "GAMMA": 0.99, "TAU": 1.0, "ENV_NAME": "Breakout-MinAtar", "WANDB_MODE": "disabled",
    }  # fmt: skip
    train = dqn.make_train(config)
    game, params = gymnax.make(config["ENV_NAME"])
    environment = LogWrapper(FlattenObservationWrapper(game))

    def environments(key):
        return step_randomly(
            key, lambda key: environment.reset(key, params), lambda *args: environment.step(*args, params), steps
        )

    return train, environments, (steps - warm_up) // STEPS_PER_UPDATE, None


def memory(program, keys) -> dict[str, int]:
    """Bytes of our iteration (without evaluation) over those seeds, its state donated: the ring, the state, and the compiler's."""
    import jax
    import jax.numpy as jnp

    from purejaxrrl import qdagger

    settings = program.settings
    state = jax.eval_shape(jax.vmap(lambda key: qdagger.init(program, key, settings)), keys)
    online = jax.vmap(lambda state, key: qdagger.play_and_learn(program, state, key, settings, None, jnp.int32(0)))
    analysis = jax.jit(online, donate_argnums=0).lower(state, keys).compile().memory_analysis()
    size = lambda tree: sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))  # noqa: E731
    return {
        "ring": size(state.ring), "state": size(state), "arguments": analysis.argument_size_in_bytes,
        "aliased": analysis.alias_size_in_bytes, "temporary": analysis.temp_size_in_bytes,
    }  # fmt: skip


def step_randomly(key, reset, step, steps: int):
    """Steps the environments of one seed with random actions for `steps` agent steps in total, and does nothing else."""
    import jax

    reset_key, key = jax.random.split(key)
    observation, state = jax.vmap(reset)(jax.random.split(reset_key, ENVIRONMENTS))

    def body(carry, index):
        _, state, total = carry
        action_key, step_key = jax.random.split(jax.random.fold_in(key, index))
        actions = jax.random.randint(action_key, (ENVIRONMENTS,), 0, 3)
        observation, state, reward, *_ = jax.vmap(step)(jax.random.split(step_key, ENVIRONMENTS), state, actions)
        return (observation, state, total + reward), None

    total = jax.numpy.zeros(ENVIRONMENTS)
    return jax.lax.scan(body, (observation, state, total), jax.numpy.arange(steps // ENVIRONMENTS))[0]


def main() -> None:
    side, steps, warm_up, seeds, *folder = sys.argv[1:]
    steps, warm_up, seeds = int(steps), int(warm_up), int(seeds)
    import jax

    if side == "ours":
        from purejaxrrl.runs import devices

        devices.use_cores()
        train, environments, updates, memory_of = ours(steps, warm_up)
        over_runs = functools.partial(devices.over_runs, num_runs=seeds, per_run=(True,))
    else:
        train, environments, updates, memory_of = purejaxrl(steps, warm_up, *folder)
        over_runs = lambda function: jax.jit(jax.vmap(function))  # noqa: E731

    keys = jax.random.split(jax.random.PRNGKey(0), seeds)
    compiled = {
        "train": over_runs(train).lower(keys).compile(),
        "environments": over_runs(environments).lower(keys).compile(),
    }
    for call in compiled.values():  # the first call of a compiled program also allocates
        jax.block_until_ready(call(keys))
    about = {"python": sys.version.split()[0], "jax": jax.__version__, "updates": seeds * updates}
    if memory_of:
        about["memory"] = memory_of(keys)
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        jax.block_until_ready(compiled[line.strip()](keys))
        print(json.dumps(time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
