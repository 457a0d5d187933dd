import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pgx
import pgx_seaquest
import pytest

import purejaxrrl
from purejaxrrl import environments
from purejaxrrl.environments import base, minatar

LANES, STEPS, LIMIT = 8, 250, 60
NUM_ACTIONS = {"asterix": 5, "breakout": 3, "freeway": 3, "seaquest": 6, "space_invaders": 4}  # MinAtar's minimal sets
CHANNELS = {"asterix": 4, "breakout": 4, "freeway": 7, "seaquest": 10, "space_invaders": 6}  # Young and Tian, 2019


@functools.cache
def make(game, **options):
    return purejaxrrl.make(f"minatar/{game}", **options)


@functools.cache
def stepper(game, **options):
    """One jitted `jax.vmap(env.step)` for a game, shared by the tests: `params` are traced."""
    return jax.jit(jax.vmap(make(game, **options).step, in_axes=(0, 0, 0, None)))


@functools.cache
def reset(game):
    return jax.jit(jax.vmap(make(game).reset))(jax.random.split(jax.random.key(0), LANES))


def assert_equal(tree, expected):
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def of_pgx(game):
    """(init, step) of one of pgx's games as pgx makes it, with auto-reset and the time limit; the state has the time."""
    theirs = pgx.make(f"minatar-{game}")
    mended = pgx_seaquest.mended if game == "seaquest" else lambda before, after: after

    def step(key, state, action):
        step_key, reset_key = jax.random.split(key)
        stepped, time = mended(state[0], theirs.step(state[0], action, step_key)), state[1] + 1
        truncated = (time >= LIMIT) & ~stepped.terminated
        done = stepped.terminated | truncated
        after = jax.lax.cond(done, lambda: (theirs.init(reset_key), 0), lambda: (stepped, time))
        info = {"final_observation": stepped.observation}
        return after[0].observation, after, stepped.rewards[0], stepped.terminated, truncated, info

    return lambda key: (theirs.init(key), 0), step


@pytest.mark.parametrize("game", NUM_ACTIONS)
def test_a_game_is_pgxs_with_auto_reset(game):
    """Sticky actions included. The first half of a key steps, the second one starts the next episode."""
    environment, params = make(game), minatar.EnvParams(max_steps_in_episode=LIMIT)
    init, their_step = of_pgx(game)

    @jax.jit
    @jax.vmap
    def play(key):
        def step(states, key):
            action_key, key = jax.random.split(key)
            action = jax.random.randint(action_key, (), 0, environment.num_actions)
            ours = environment.step(key, states[0], action, params)
            theirs = their_step(key, states[1], action)
            ours, state = (ours[0], *ours[2:]), ours[1]
            theirs, their_state = (theirs[0], *theirs[2:]), theirs[1]
            return (state, their_state), (ours, theirs)

        (observation, state), their_state = environment.reset(key), init(key)
        states, rows = jax.lax.scan(step, (state, their_state), jax.random.split(key, STEPS))
        return (observation, their_state[0].observation), states, rows

    first, (state, their_state), (ours, theirs) = play(jax.random.split(jax.random.key(0), LANES))
    assert_equal(*first)
    assert_equal(ours, theirs)
    their_game = jax.vmap(pgx_seaquest.as_ours)(their_state[0]) if game == "seaquest" else their_state[0]
    assert_equal((state.game, state.time), (their_game, their_state[1]))
    terminated, truncated = ours[2], ours[3]
    assert (terminated | truncated).sum() >= LANES * (STEPS // LIMIT)


@pytest.mark.parametrize("game", NUM_ACTIONS)
def test_a_game_has_minatars_actions_and_observations(game):
    environment = make(game)
    observation, _ = reset(game)
    assert environment.name == f"minatar/{game}"
    assert environment.num_actions == environment.action_space().n == NUM_ACTIONS[game]
    assert observation.shape[1:] == environment.observation_space().shape == (10, 10, CHANNELS[game])
    assert observation.dtype == environment.observation_space().dtype == jnp.bool_
    assert isinstance(environment, environments.Environment)


def test_all_five_games_are_known_by_name():
    minatar_names = [name for name in environments.names() if name.startswith("minatar/")]
    assert minatar_names == [f"minatar/{game}" for game in sorted(NUM_ACTIONS)]


def test_batched_steps_are_single_steps():
    _, state = reset("breakout")
    keys = jax.random.split(jax.random.key(5), LANES)
    actions = np.arange(LANES) % 3
    together = stepper("breakout")(keys, state, actions, minatar.EnvParams())
    single = jax.jit(make("breakout").step)
    for lane in range(LANES):
        alone = single(keys[lane], jax.tree.map(lambda leaf, lane=lane: leaf[lane], state), actions[lane])
        assert_equal(jax.tree.map(lambda leaf, lane=lane: leaf[lane], together), alone)


def at_time(game, time):
    _, state = reset(game)
    return state.replace(time=jnp.full(LANES, time))


@pytest.mark.parametrize(("time", "limit"), [(2499, None), (6, 7)])
def test_the_time_limit_truncates_and_is_a_parameter(time, limit):
    params = minatar.EnvParams() if limit is None else minatar.EnvParams(max_steps_in_episode=limit)
    keys, actions = jax.random.split(jax.random.key(1), LANES), jnp.zeros(LANES, jnp.int32)
    before = stepper("breakout")(keys, at_time("breakout", time - 1), actions, params)
    assert not before[4].any() and (before[1].time == time).all()
    _, state, _, terminated, truncated, info = stepper("breakout")(keys, at_time("breakout", time), actions, params)
    assert truncated.all() and not terminated.any() and not state.time.any()
    # The ball of the old episode has moved, that of the new one has not.
    assert (info["final_observation"] == before[5]["final_observation"]).all()


def test_no_parameters_are_the_defaults_of_2500_steps():
    single = jax.jit(make("breakout").step)
    state = jax.tree.map(lambda leaf: leaf[0], reset("breakout")[1])
    for time, truncates in ((2498, False), (2499, True)):
        assert single(jax.random.key(0), state.replace(time=jnp.int32(time)), 0)[4] == truncates


def test_freeway_ends_by_itself():
    """pgx's Freeway is over when its counter of 2,500 falls below 0, in the step after 2,500."""
    environment = make("freeway")

    @jax.jit
    def run(params):
        def step(state, key):
            _, state, _, terminated, truncated, _ = environment.step(key, state, 0, params)
            return state, (terminated, truncated)

        keys = jax.random.split(jax.random.key(1), 2600)
        return jax.lax.scan(step, environment.reset(jax.random.key(0))[1], keys)[1]

    terminated, truncated = run(minatar.EnvParams(max_steps_in_episode=10_000))
    assert np.flatnonzero(terminated).tolist() == [2500] and not truncated.any()
    terminated, truncated = run(minatar.EnvParams(max_steps_in_episode=2501))
    assert np.flatnonzero(terminated).tolist() == [2500] and not truncated.any()
    terminated, truncated = run(environment.default_params)
    assert np.flatnonzero(truncated).tolist() == [2499] and not terminated.any()


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_sticky_actions_repeat_the_last_one_with_their_probability(probability, expected):
    """Breakout's paddle starts in column 4 and action 1 moves it left; before the first step the last action is 0."""
    state = jax.tree.map(lambda leaf: np.repeat(leaf[:1], 1000, axis=0), reset("breakout")[1])
    step = jax.jit(jax.vmap(make("breakout", sticky_action_probability=probability).step, in_axes=(0, 0, None)))
    observation = np.asarray(step(jax.random.split(jax.random.key(2), 1000), state, 1)[0])
    stayed, moved = observation[:, 9, 4, 0], observation[:, 9, 3, 0]
    assert (stayed ^ moved).all()
    assert stayed.mean() == pytest.approx(expected, abs=0.05 if 0 < probability < 1 else 0.0)


def test_the_sticky_action_probability_is_minatars_by_default():
    assert make("freeway")._game.sticky_action_prob == 0.1


@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_a_probability_that_is_none_is_refused(probability):
    with pytest.raises(ValueError, match=r"sticky_action_probability is .*; it must lie in \[0, 1\]"):
        purejaxrrl.make("minatar/breakout", sticky_action_probability=probability)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("minatar/brakeout", "minatar/breakout"),
        ("minatar/space-invaders", "minatar/space_invaders"),
        ("freeway", "minatar/freeway"),
    ],
)
def test_an_unknown_game_gets_the_nearest_names(name, nearest):
    with pytest.raises(ValueError, match=f"unknown environment '{name}'; the nearest are .*{nearest}"):
        purejaxrrl.make(name)
    with pytest.raises(ValueError, match=f"unknown MinAtar game .*{nearest.removeprefix('minatar/')}"):
        minatar.MinAtar(name.removeprefix("minatar/") + "_")


def test_spaces_are_gymnaxs_where_it_is_installed():
    found = make("breakout").observation_space(), make("breakout").action_space()
    if importlib.util.find_spec("gymnax"):
        from gymnax.environments import spaces

        expected = spaces.Box, spaces.Discrete
    else:
        expected = base.Box, base.Discrete
    assert tuple(map(type, found)) == expected


def test_spaces_without_gymnax_have_the_same_attributes(monkeypatch):
    monkeypatch.setattr(base, "_gymnax_spaces", lambda: None)
    box, discrete = make("breakout").observation_space(), make("breakout").action_space()
    assert (box.low, box.high, box.shape, box.dtype) == (0, 1, (10, 10, 4), jnp.bool_)
    assert (discrete.n, discrete.shape, discrete.dtype) == (3, (), jnp.int32)


def test_episode_statistics_are_sums_over_the_episode():
    environment = base.EpisodeStatistics(make("space_invaders"))
    assert (environment.name, environment.num_actions) == ("minatar/space_invaders", 4)
    params = minatar.EnvParams(max_steps_in_episode=60)

    @jax.jit
    def play(key):
        def step(state, key):
            _, state, reward, terminated, truncated, info = environment.step(key, state, 3, params)  # fires
            return state, (reward, terminated | truncated, info["episode_return"], info["episode_length"])

        return jax.lax.scan(step, environment.reset(key)[1], jax.random.split(key, 200))[1]

    returned, length, returns = 0.0, 0, []
    for reward, done, episode_return, episode_length in zip(*map(np.asarray, play(jax.random.key(0))), strict=True):
        returned, length = returned + reward, length + 1
        assert (episode_return, episode_length) == (returned, length)
        if done:
            returns.append(returned)
            returned, length = 0.0, 0
    assert len(returns) >= 3 and max(returns) > 0
