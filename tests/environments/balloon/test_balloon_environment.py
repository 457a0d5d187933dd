import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recordings
from recordings import NEEDS_DATA
from still_air import make

import purejaxrrl
from purejaxrrl import environments
from purejaxrrl.environments import balloon, base
from purejaxrrl.environments.balloon import assets, environment, suites

LANES = 8
"""Of every batch, so that each program is compiled once."""


@functools.cache
def stepper():
    return jax.jit(jax.vmap(make().step, in_axes=(0, 0, 0, None)))


@functools.cache
def reset():
    return jax.jit(jax.vmap(make().reset))


def keys(number, count=LANES):
    return jax.random.split(jax.random.key(number), count)


@functools.cache
def launcher():
    return jax.jit(jax.vmap(make()._launch))


def beginnings_of(seeds):
    """The first observations of the reference's episodes of up to eight seeds."""
    padded = np.zeros(LANES, np.uint32)
    padded[: len(seeds)] = seeds
    return np.asarray(launcher()(jnp.asarray(padded)).observation)[: len(seeds)]


def test_it_follows_the_protocol():
    assert isinstance(make(), base.Environment)
    assert "balloon" in environments.names()
    assert make().observation_space().shape == (3,)
    observation, state = reset()(keys(0))
    actions = jnp.arange(LANES) % 3
    observation, state, reward, terminated, truncated, info = stepper()(
        keys(1), state, actions, environment.EnvParams()
    )
    assert observation.shape == (LANES, 3) and observation.dtype == jnp.float32
    assert reward.dtype == jnp.float32 and terminated.dtype == truncated.dtype == jnp.bool_
    np.testing.assert_array_equal(info["final_observation"], observation)
    np.testing.assert_array_equal(state.flight.vehicle.last_command, actions)
    assert (np.asarray(state.flight.vehicle.elapsed) == 180).all()


def test_a_seeds_key_starts_that_seeds_episode():
    recorded = recordings.load("resets_0_49")
    seeds = np.asarray([0, 7, 11, 13, 21, 34, 48, 49])
    observation, state = reset()(jnp.stack([balloon.key(int(seed)) for seed in seeds]))
    np.testing.assert_allclose(state.flight.vehicle.x, recorded["s_x"][seeds], atol=0.06)
    np.testing.assert_array_equal(state.flight.vehicle.seconds, recorded["s_t"][seeds])
    np.testing.assert_allclose(observation, beginnings_of(seeds), atol=1e-6)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}; it must be from 0"):
        balloon.key(seed)


@pytest.mark.parametrize("bits", [0, 1, 9_999, 10_000, 2**32 - 10_001, 2**32 - 10_000, 2**32 - 1])
def test_whatever_is_drawn_is_no_evaluations_seed(monkeypatch, bits):
    monkeypatch.setattr(jax.random, "bits", lambda key, dtype: jnp.asarray(bits, dtype))
    assert 10_000 <= int(environment._training_seed(jax.random.key(0))) < 2**32


def test_other_keys_never_start_an_evaluations_episode():
    """Neither typed keys nor raw ones, and also those of small seeds."""
    seeds = jax.vmap(environment._training_seed)(jax.random.split(jax.random.key(0), 20_000))
    assert len(np.unique(seeds)) > 19_990  # of 2^32
    evaluation = beginnings_of(range(LANES))
    for make_key in (jax.random.key, jax.random.PRNGKey):
        begun = np.asarray(jax.jit(jax.vmap(make().reset))(jnp.stack([make_key(seed) for seed in range(LANES)]))[0])
        assert np.abs(begun[:, None] - evaluation[None]).max(-1).min() > 1e-4


def test_an_episode_at_its_limit_is_truncated_and_goes_on_at_a_new_beginning():
    limit = environment.EnvParams(max_steps_in_episode=2)
    observation, state = reset()(keys(2))
    beginnings = [np.asarray(observation)]
    for number in range(1, 9):
        next_seeds = state.launch_seed
        observation, state, _, terminated, truncated, info = stepper()(keys(number), state, jnp.ones(LANES, int), limit)
        assert not terminated.any() and (np.asarray(truncated) == (number % 2 == 0)).all()
        if number % 2 == 0:
            assert np.abs(np.asarray(info["final_observation"] - observation)).max(-1).min() > 1e-4
            np.testing.assert_allclose(observation, beginnings_of(next_seeds), atol=1e-6)
            assert (np.asarray(state.flight.steps) == 0).all() and (np.asarray(state.flight.belief.count) == 1).all()
            beginnings.append(np.asarray(observation))
    flat = np.concatenate(beginnings)
    assert len(np.unique(flat, axis=0)) == len(flat)  # none repeats


def test_what_a_lane_does_never_depends_on_the_others():
    """Its beginnings are computed when others need theirs too, but from its own seeds."""
    limit, lane = environment.EnvParams(max_steps_in_episode=4), 1
    _, state = reset()(keys(3))
    _, others = reset()(keys(8))
    staggered = jnp.arange(LANES, dtype=jnp.int32) % 4
    # The same lane among others that end at other times.
    others = jax.tree.map(lambda theirs, ours: theirs.at[lane].set(ours[lane]), others, state)
    others = others._replace(flight=others.flight._replace(steps=staggered.at[lane].set(0)))
    for number in range(10):
        step_keys = keys(100 + number)
        other_keys = keys(200 + number).at[lane].set(step_keys[lane])
        seen, state, *_ = stepper()(step_keys, state, jnp.ones(LANES, int), limit)
        seen_there, others, *_ = stepper()(other_keys, others, jnp.ones(LANES, int), limit)
        np.testing.assert_allclose(seen[lane], seen_there[lane], atol=1e-6)
        assert int(state.launch_seed[lane]) == int(others.launch_seed[lane])
    assert (np.asarray(state.ready) != np.asarray(others.ready)).any()


def test_beginnings_after_an_episodes_end_are_distributed_as_resets():
    """Two-sample Kolmogorov-Smirnov over distance and pressure, at one in a thousand."""
    from scipy import stats

    limit = environment.EnvParams(max_steps_in_episode=1)
    _, state = reset()(keys(4))
    seen = []
    for number in range(50):
        observation, state, *_ = stepper()(keys(number), state, jnp.ones(LANES, int), limit)
        seen.append(np.asarray(observation))
    after = np.concatenate(seen)
    resets = np.concatenate([np.asarray(reset()(keys(1000 + number))[0]) for number in range(50)])
    for of in (lambda rows: np.hypot(rows[:, 0], rows[:, 1]), lambda rows: rows[:, 2]):
        assert stats.ks_2samp(of(after), of(resets)).pvalue > 1e-3
    assert len(np.unique(after, axis=0)) == len(after)


def test_a_lost_balloon_terminates():
    _, state = reset()(keys(6))
    vehicle = state.flight.vehicle
    empty = vehicle._replace(battery=jnp.zeros(LANES), seconds=vehicle.safety.sunset + 3600)
    state = state._replace(flight=state.flight._replace(vehicle=empty))
    _, _, _, terminated, truncated, info = stepper()(keys(7), state, jnp.ones(LANES, int), environment.EnvParams(1))
    assert terminated.all() and not truncated.any()
    assert (np.asarray(info["status"]) == 1).all()


@pytest.mark.parametrize(
    ("kilometres", "command", "watts", "battery", "expected"),
    [
        (49.9, 1, 0.0, 0.5, 1.0),
        (150.0, 1, 0.0, 0.5, 0.2),
        (49.9, 0, 100.0, 0.5, 0.95),
        (49.9, 0, 300.0, 0.5, 0.65),
        (49.9, 0, 400.0, 0.5, 0.65),
        (49.9, 0, 300.0, 1.0, 1.0),  # by day with a full battery
        (49.9, 2, 0.0, 0.5, 1.0),
    ],
)
def test_the_reward(kilometres, command, watts, battery, expected):
    recorded = recordings.load("steps_seed1")
    vehicle = jax.tree.map(lambda leaf: leaf[0], recordings.vehicles(recorded))
    vehicle = vehicle._replace(
        x=jnp.float32(1e3 * kilometres), y=jnp.float32(0), last_command=jnp.int32(command),
        compressor=jnp.float32(watts), battery=jnp.float32(3058.56 * battery),
    )  # fmt: skip
    noon = environment.sun.Sunlight(*map(jnp.asarray, (60.0, 1366.0, True, 1.15, 3.0)))
    assert float(environment.reward(vehicle, noon)) == pytest.approx(expected, rel=1e-5)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="no features are called 'perciateli'; the nearest are perciatelli"):
        environment.Settings(features="perciateli")
    with pytest.raises(ValueError, match="wind_belief is 'exact'; it must be one of cholesky, updated_inverse"):
        environment.Settings(wind_belief="exact")
    with pytest.raises(ValueError, match="launches_at_once is 0"):
        environment.Settings(launches_at_once=0)
    with pytest.raises(ValueError, match="balloon has no option 'wind'; the nearest are wind_belief"):
        environments.parse_options("balloon", "wind=1")
    with pytest.raises(ValueError, match="action 1.5 is not one of the balloon's"):
        make().step(jax.random.key(0), None, 1.5)
    with pytest.raises(ValueError, match="action 3 is not one of the balloon's"):
        make().step(jax.random.key(0), None, 3)
    assert make(wind_belief="updated_inverse").options == {"features": "place"}


def test_without_its_data_it_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("PUREJAXRRL_CACHE", str(tmp_path))
    assets.decoder.cache_clear()
    try:
        with pytest.raises(ValueError, match="fetch them with: python -m purejaxrrl.environments.balloon.fetch$"):
            purejaxrrl.make("balloon")
        with pytest.raises(ValueError, match="fetch it with: python -m"):
            purejaxrrl.shipped_teacher("balloon")
    finally:
        assets.decoder.cache_clear()


STEP_IN_64_BITS = """
import jax, jax.numpy as jnp, purejaxrrl
environment = purejaxrrl.make("balloon", launches_at_once=1)
params = environment.default_params.replace(max_steps_in_episode=2)
_, state = environment.reset(jax.random.key(0), params)
step = jax.jit(environment.step)
for action in (7, 1, 2):
    observation, state, reward, terminated, truncated, _ = step(jax.random.key(1), state, action, params)
    print(observation.dtype, state.flight.vehicle.x.dtype, reward.dtype, int(state.flight.vehicle.last_command), bool(truncated))
"""


@NEEDS_DATA
@pytest.mark.slow
def test_a_step_in_64_bits_goes_on_and_begins_anew():
    """An action that is none is "stay"."""
    environment = os.environ | {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", STEP_IN_64_BITS], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = done.stdout.splitlines()
    assert rows[0] == "float32 float64 float32 1 False" and rows[1].endswith("True") and len(rows) == 3, rows


@NEEDS_DATA
def test_features_along_a_flight_are_the_references_but_for_rounding():
    recorded = recordings.load("steps_seed1")
    whole = purejaxrrl.make("balloon")
    actions, steps = jnp.asarray(recorded["A"], jnp.int32), 150  # the ring is full after 120

    def fly(actions):
        first, state = whole.reset(balloon.key(1))

        def step(flight, action):
            seen, flight, reward, *_ = whole.fly(flight, action)
            return flight, (seen, reward)

        _, (seen, rewards) = jax.lax.scan(step, state.flight, actions)
        return jnp.concatenate([first[None], seen]), rewards

    seen, rewards = jax.jit(fly)(actions[:steps])
    differences = np.abs(np.asarray(seen) - recorded["F"][: steps + 1])
    assert np.quantile(differences, 0.999) < 1e-4 and (differences > 2e-3).sum() <= 3
    np.testing.assert_allclose(rewards, recorded["R"][:steps], atol=1e-4)


@NEEDS_DATA
@pytest.mark.slow
@pytest.mark.parametrize("method", ["cholesky", "updated_inverse"])
def test_whole_episodes_score_as_the_references(method):
    from purejaxrrl import teachers
    from purejaxrrl.environments.balloon import agents

    recorded = recordings.load("episodes")
    whole, teacher = purejaxrrl.make("balloon", wind_belief=method), teachers.load(teachers.shipped("balloon"))
    agent = agents.greedy(lambda seen: teacher.apply(teacher.params, seen))
    seeds = [0, 1, 2, 3, 5]
    scores, _ = suites.fly(whole, agent, seeds)
    for number, seed in enumerate(seeds):
        path = recorded[f"perciatelli44_{seed}"]
        assert abs(scores.twr50[number] - (np.hypot(path[:, 0], path[:, 1]) <= 50.0).mean()) < 0.02
        assert abs(scores.returns[number] - path[:, 5].sum()) < 0.02 * 960
