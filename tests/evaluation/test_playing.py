"""Playing episodes to score a policy, where every episode is known beforehand."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from toys import Corridor, CorridorParams

from purejaxrrl.evaluation import playing


@pytest.fixture(scope="module")
def played():
    """Lengths from 1 to 12 are equally likely, and the limit cuts those above 10."""
    environment, params = Corridor(longest=12), CorridorParams(limit=10)

    def policy(key, observations):
        return jnp.full(observations.shape[0], 2)

    play = jax.jit(lambda key: playing.play(key, environment, params, policy, 6000))
    return jax.tree.map(np.asarray, play(jax.random.key(0)))


def test_no_length_of_episode_is_preferred(played):
    counts = np.bincount(played.steps)
    assert len(counts) == 11 and counts[0] == 0
    expected = np.array([1] * 9 + [3]) * 500.0  # 10, 11 and 12 all end at the limit
    assert scipy.stats.chisquare(counts[1:], expected).pvalue > 1e-3


def test_with_no_more_steps_than_environments_each_plays_one_episode(played):
    assert (played.number == 1).all()
    np.testing.assert_allclose(played.mean_return, played.returns.mean(), rtol=1e-5)


def test_a_return_is_the_sum_over_exactly_one_episode(played):
    lengths = played.steps.astype(float)
    np.testing.assert_allclose(played.returns, lengths * (lengths + 1) / 2 + 0.5 * lengths)


def test_the_policy_sees_the_observations_it_acts_on():
    environment, params = Corridor(longest=9), CorridorParams(limit=9)

    def parity(key, observations):
        return observations[:, 1] % 2

    episodes = jax.jit(lambda key: playing.play(key, environment, params, parity, 50))(jax.random.key(0))
    lengths = np.asarray(episodes.steps)
    np.testing.assert_allclose(episodes.returns, lengths * (lengths + 1) / 2 + 0.25 * (lengths // 2))


def test_an_evaluation_plays_equal_shares_and_finishes_the_episodes_begun():
    """Two environments, 15 steps each or more: what a loop over the same episodes finds, one environment at a time."""
    environment, params = Corridor(longest=9), CorridorParams(limit=9)
    key, lanes = jax.random.key(4), 2

    def parity(key, observations):
        return observations[:, 1] % 2

    found = jax.jit(lambda key: playing.play(key, environment, params, parity, lanes, 29))(key)
    reset_key, play_key = jax.random.split(key)
    returns, played = [], []
    for lane in range(lanes):
        observation, state = environment.reset(jax.random.split(reset_key, lanes)[lane], params)
        running_key, running, steps = play_key, 0.0, 0
        while True:
            running_key, _, step_key = jax.random.split(running_key, 3)
            observation, state, reward, terminated, truncated, _ = environment.step(
                jax.random.split(step_key, lanes)[lane], state, observation[1] % 2, params
            )
            running, steps = running + float(reward), steps + 1
            if terminated or truncated:
                returns, running = [*returns, running], 0.0
                if steps >= 15:
                    break
        played.append(steps)
    assert played[0] != played[1] and max(played) > 15
    assert int(found.number.sum()) == len(returns) > 4
    np.testing.assert_allclose(found.mean_return, np.mean(returns), rtol=1e-6)
    np.testing.assert_array_equal(found.steps, played)


def test_an_evaluation_does_not_prefer_short_episodes():
    """Lengths from 1 to 9 are equally likely, and a return is its length's triangular number."""
    play = lambda key: playing.play(key, Corridor(longest=9), CorridorParams(limit=9), _walk, 4, 400).mean_return  # noqa: E731
    means = np.asarray(jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), 200)))
    expected = np.mean([length * (length + 1) / 2 for length in range(1, 10)])
    assert abs(means.mean() - expected) < 4 * means.std() / np.sqrt(len(means)) < 0.5


@pytest.mark.parametrize("limit", [15, 18])
def test_at_the_limit_running_episodes_count_as_they_stand(limit):
    """Two environments, 15 steps each; their episodes of 9 steps would end after 18."""
    environment, params = Corridor(longest=10**6), CorridorParams(limit=9)
    found = jax.jit(lambda key: playing.play(key, environment, params, _walk, 2, 30, limit))(jax.random.key(0))
    whole, begun = 9 * 10 / 2, (limit - 9) * (limit - 8) / 2
    np.testing.assert_allclose(found.returns, [whole + begun] * 2)
    assert (found.number == 2).all() and (found.steps == limit).all()


def test_an_episode_without_end_ends_an_evaluation_at_its_limit():
    environment, params = Corridor(longest=10**6), CorridorParams(limit=10**6)
    found = jax.jit(lambda key: playing.play(key, environment, params, _walk, 3, 30, 40))(jax.random.key(0))
    assert (found.number == 1).all() and (found.steps == 40).all()
    with pytest.raises(ValueError, match="limit of 9 agent steps is below the 10 that each environment plays"):
        playing.play(jax.random.key(0), environment, params, _walk, 3, 30, 9)


@pytest.mark.parametrize("steps", [10_000_001, 2**31 - 1, np.float32(np.inf), jnp.array([27_000, 2**29])])
def test_an_episode_that_may_never_end_needs_a_limit(steps):
    environment, params = Corridor(), types.SimpleNamespace(max_steps_in_episode=steps)
    with pytest.raises(ValueError, match=r"an episode of toy/corridor may have \S+ agent steps .*--evaluation-limit"):
        playing.check_ends(environment, params, limit=0)
    playing.check_ends(environment, params, limit=7)
    for ends in (
        types.SimpleNamespace(max_steps_in_episode=10_000_000),
        CorridorParams(),
        None,
    ):  # the last two say nothing
        playing.check_ends(environment, ends, limit=0)


@pytest.mark.parametrize(("lanes", "widths"), [(3, [3]), (16, [16, 4]), (64, [64, 16, 4]), (100, [100, 25, 6])])
def test_where_few_are_left_they_are_played_alone(lanes, widths):
    """One step a lane and on to the episode's end: lengths 1 to 12, so that the widths are needed one after the other."""
    seen = []

    def policy(key, observations):
        seen.append(observations.shape[0])
        return jnp.full(observations.shape[0], 2)

    found = jax.jit(
        lambda key: playing.play(key, Corridor(longest=12), CorridorParams(limit=12), policy, lanes)
    )(jax.random.key(5))  # fmt: skip
    assert list(dict.fromkeys(seen)) == widths
    lengths = np.asarray(found.steps, float)
    assert (found.number == 1).all() and lengths.max() > np.median(lengths)
    np.testing.assert_allclose(found.returns, lengths * (lengths + 1) / 2 + 0.5 * lengths)


def test_each_of_many_runs_leaves_out_its_own():
    play = lambda key: playing.play(key, Corridor(longest=12), CorridorParams(limit=12), _walk, 20, 60)  # noqa: E731
    keys = jax.random.split(jax.random.key(7), 5)
    together = jax.jit(jax.vmap(play))(keys)
    alone = [jax.jit(play)(key) for key in keys]
    assert len({int(episodes.steps.max()) for episodes in alone}) > 1
    jax.tree.map(np.testing.assert_array_equal, together, jax.tree.map(lambda *each: jnp.stack(each), *alone))


def _walk(key, observations):
    return jnp.zeros(observations.shape[0], jnp.int32)
