"""Every wrapper that gymnax ships around a MinAtar and an Atari game, called as gymnax's own are: without jit."""

import pickle
from copy import deepcopy

import fake_console
import jax
import jax.numpy as jnp
import numpy as np
import pytest

gymnax = pytest.importorskip("gymnax")
from gymnax import wrappers  # noqa: E402

import purejaxrrl  # noqa: E402
from purejaxrrl.environments.legacy import FiveValues  # noqa: E402

KEY = jax.random.key(0)
STEPS, LIMIT = 5, 3
ENDS = [False, False, True, False, False]


@pytest.fixture(scope="module")
def games():
    """One of each; the Atari game on a console that needs no emulation."""
    with pytest.MonkeyPatch.context() as patch:
        fake_console.install(patch)
        yield {
            "minatar": purejaxrrl.make("minatar/breakout"),
            "atari": purejaxrrl.make("atari/pong", num_start_states=2),
        }


@pytest.fixture(params=["minatar", "atari"])
def game(request, games):
    return games[request.param]


def short(environment):
    return environment.default_params.replace(max_steps_in_episode=LIMIT)


def own_steps(environment, actions=(1,) * STEPS):
    """What the environment itself returns for keys 0, 1, ... after a reset with `KEY`."""
    observation, state = environment.reset(KEY, short(environment))
    rows = [observation]
    for number, action in enumerate(actions):
        row = environment.step(jax.random.key(number), state, action, short(environment))
        state = row[1]
        rows.append((row[0], *row[2:]))
    return rows


def wrapped_steps(environment, params, action=1):
    """The same of a wrapper that is stepped as gymnax's environments are."""
    observation, state = environment.reset(KEY, params)
    rows = [observation]
    for number in range(STEPS):
        row = environment.step(jax.random.key(number), state, action, params)
        state = row[1]
        rows.append((row[0], *row[2:]))
    return rows


def assert_same(found, expected, shape=lambda observation: observation):
    np.testing.assert_array_equal(found[0], shape(expected[0]))
    for (observation, reward, *ends, _), (our_observation, our_reward, *our_ends, _) in zip(
        found[1:], expected[1:], strict=True
    ):
        np.testing.assert_array_equal(observation, shape(our_observation))
        assert reward == our_reward and ends == our_ends


def test_nothing_is_forgotten():
    tested = {"GymnaxToDmEnvWrapper", "GymnaxToGymWrapper", "GymnaxToVectorGymWrapper", "LegacyStepAPIWrapper"}
    tested |= {"FlattenObservationWrapper", "LogWrapper", "StickyActionWrapper"}
    assert set(wrappers.__all__) == tested


def test_the_flattening_wrapper(game):
    wrapped = wrappers.FlattenObservationWrapper(game)
    assert_same(wrapped_steps(wrapped, short(game)), own_steps(game), lambda observation: observation.reshape(-1))


def test_the_log_wrapper(game):
    rows = wrapped_steps(wrappers.LogWrapper(game), short(game))
    expected = own_steps(game)
    assert_same(rows, expected)
    assert [bool(row[-1]["returned_episode"]) for row in rows[1:]] == ENDS
    assert rows[LIMIT][-1]["returned_episode_returns"] == sum(row[1] for row in expected[1 : LIMIT + 1])
    assert rows[LIMIT][-1]["returned_episode_lengths"] == LIMIT


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_the_sticky_wrapper(game, probability):
    rows = wrapped_steps(wrappers.StickyActionWrapper(game, probability), short(game))
    assert [bool(row[2] | row[3]) for row in rows[1:]] == ENDS
    if not probability:
        assert_same(rows, own_steps(game))


def test_the_legacy_wrapper_and_ours(game):
    for wrapped in (wrappers.LegacyStepAPIWrapper(game), FiveValues(game, final_observation=True)):
        rows, expected = wrapped_steps(wrapped, short(game)), own_steps(game)
        for (observation, reward, done, info), (ours, our_reward, *ends, our_info) in zip(
            rows[1:], expected[1:], strict=True
        ):
            np.testing.assert_array_equal(observation, ours)
            np.testing.assert_array_equal(info["final_observation"], our_info["final_observation"])
            assert (reward, bool(done)) == (our_reward, any(ends)) and done.dtype == bool
    (*_, info) = wrapped_steps(FiveValues(game), short(game))[LIMIT]
    assert "final_observation" not in info and bool(info["truncated"]) and not info["terminated"]


def test_the_dm_env_wrapper(game):
    wrapped = wrappers.GymnaxToDmEnvWrapper(game)
    timestep, expected = wrapped.reset(KEY, short(game)), own_steps(game)
    for number, (observation, reward, terminated, _, info) in enumerate(expected[1:]):
        timestep = wrapped.step(jax.random.key(number), timestep, 1, short(game))
        np.testing.assert_array_equal(timestep.observation, observation)
        np.testing.assert_array_equal(timestep.final_observation, info["final_observation"])
        assert (timestep.reward, timestep.discount) == (reward, 1.0 - terminated)


def test_the_gymnasium_wrapper(game):
    wrapped = wrappers.GymnaxToGymWrapper(game, short(game))
    observation, _ = wrapped.reset(seed=0)
    assert wrapped.observation_space.contains(np.asarray(observation)) and wrapped.action_space.n == game.num_actions
    assert [bool(np.any(wrapped.step(1)[2:4])) for _ in range(STEPS)] == ENDS


@pytest.mark.parametrize("params", ["default", "given"])
def test_the_gymnasium_vector_wrapper(game, params):
    wrapped = wrappers.GymnaxToVectorGymWrapper(game, 3, *([short(game)] if params == "given" else []))
    observation, _ = wrapped.reset(seed=0)
    assert observation.shape == (3, *game.observation_space().shape) == wrapped.observation_space.shape
    ends = [np.logical_or(*wrapped.step(np.ones(3, np.int32))[2:4]).tolist() for _ in range(STEPS)]
    assert ends == [[end and params == "given"] * 3 for end in ENDS]


def test_the_brax_wrapper(game):
    """The EvoJAX one makes gymnax's environments itself, by their names."""
    pytest.importorskip("brax")
    from gymnax.wrappers.brax import GymnaxToBraxWrapper

    wrapped = GymnaxToBraxWrapper(game)
    state, ends = wrapped.reset(KEY, short(game)), []
    for _ in range(STEPS):
        state = wrapped.step(state, 1)
        ends.append(bool(state.done))
    assert state.obs.shape == game.observation_space().shape and ends == ENDS


def test_nothing_is_compiled_again_or_kept_by_a_step_without_jit(game):
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
    jax.jit(lambda number: number + 1.5)(1.0)
    assert compiled  # it is heard when something is
    counts = []
    for number in range(STEPS):
        compiled.clear()
        _, state = game.reset(jax.random.key(number))
        _, state, *_ = game.step(jax.random.key(number), state, number % 3)
        counts.append(len([event for event in compiled if "compile" in event]))
    jax.monitoring.clear_event_listeners()
    assert counts[1:] == [0] * (STEPS - 1)


def test_environments_are_pickled_and_copied(game):
    for copied in (pickle.loads(pickle.dumps(game)), deepcopy(game)):
        assert (copied.name, copied.options, copied.num_actions) == (game.name, game.options, game.num_actions)
        assert_same(own_steps(copied), own_steps(game))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("make", [np.asarray, jnp.asarray])
def test_actions_may_be_any_integers(game, dtype, make):
    _, state = game.reset(KEY)
    expected, found = game.step(KEY, state, 2), game.step(KEY, state, make(2, dtype))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("action", [-1, 77, 255])
def test_an_action_out_of_range_does_nothing_where_traced_and_is_refused_where_known(game, action):
    _, state = game.reset(KEY)
    nothing, found = game.step(KEY, state, 0), game.step(KEY, state, jnp.int32(action))
    jax.tree.map(np.testing.assert_array_equal, found, nothing)
    for known in (action, np.int64(action)):
        with pytest.raises(
            ValueError, match=f"action {action} is not one of {game.name}'s {game.num_actions}; give 0 to"
        ):
            game.step(KEY, state, known)


@pytest.mark.parametrize("action", [1.0, np.float32(1), jnp.float32(1), True])
def test_what_is_no_integer_is_no_action(game, action):
    _, state = game.reset(KEY)
    with pytest.raises(ValueError, match="an action of type .*'s are integers"):
        game.step(KEY, state, action)


@pytest.mark.slow
def test_a_real_atari_game_in_every_wrapper():
    pong = purejaxrrl.make("atari/pong", num_start_states=1)
    for test in (test_the_flattening_wrapper, test_the_log_wrapper, test_the_legacy_wrapper_and_ours, test_the_dm_env_wrapper,
                 test_the_gymnasium_wrapper, test_environments_are_pickled_and_copied,
                 test_nothing_is_compiled_again_or_kept_by_a_step_without_jit):  # fmt: skip
        test(pong)
    test_the_gymnasium_vector_wrapper(pong, "given")
    test_the_sticky_wrapper(pong, 0.0)
