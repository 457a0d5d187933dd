import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recordings
from still_air import make

from purejaxrrl.environments.balloon import agents, suites
from purejaxrrl.environments.balloon.constants import DOWN, STAY, UP


def seeker_by_hand(observation):
    """StationSeeker level by level, as Bellemare et al. (2020) have it: the action."""
    winds = observation[16:].reshape(-1, 3).astype(float)
    distance = 250 * observation[7] / (1 - observation[7])
    weight = 0.6 - 0.15 * np.clip((distance - 250) / 250, 0, 1)
    scores = []
    for level, (uncertainty, bearing, magnitude) in enumerate(winds):
        if (uncertainty, bearing, magnitude) == (0, 1, 1):
            scores.append(0.0)
            continue
        near = np.exp(-distance / 35)
        speed = 30 * magnitude / (1 - magnitude)
        score = (1 - near) * np.exp(-weight * np.pi * bearing) + near * np.exp(-0.07 * speed)
        scores.append((1.01 - uncertainty) * score + 0.5 * uncertainty + 0.05 * np.exp(-0.001 * abs(level - 180)))
    best = int(np.argmax(scores))
    return UP if best < 180 else DOWN if best > 180 else STAY


def test_station_seeker_flies_to_the_level_that_scores_best():
    observations = recordings.load("steps_seed1")["F"][::10]
    agent = agents.station_seeker()
    actions = jax.vmap(lambda seen: agent.act(jax.random.key(0), (), seen)[0])(jnp.asarray(observations))
    expected = [seeker_by_hand(seen) for seen in observations]
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(actions, expected)


@pytest.mark.parametrize(("pressure", "action"), [(6000.0, DOWN), (8950.0, STAY), (9050.0, STAY), (12_000.0, UP)])
def test_the_random_walk_flies_to_its_target(pressure, action):
    agent = agents.random_walk()
    memory = agent.begin(jax.random.key(0))._replace(target=jnp.float32(9000.0))
    seen = jnp.zeros(1099).at[0].set((pressure - 5000.0) / 9000.0)
    found, memory = agent.act(jax.random.key(1), memory, seen)
    assert int(found) == action
    assert float(memory.target) == 9000.0  # nothing has passed yet


def test_the_random_walks_target_moves_with_the_time_since_the_beginning():
    agent = agents.random_walk()

    def walk(key):
        begin_key, *step_keys = jax.random.split(key, 4)
        memory = agent.begin(begin_key)
        targets = []
        for step_key in step_keys:
            _, memory = agent.act(step_key, memory, jnp.zeros(1099))
            targets.append(memory.target)
        return jnp.diff(jnp.stack(targets))

    changes = np.asarray(jax.vmap(walk)(jax.random.split(jax.random.key(0), 4000)))
    np.testing.assert_allclose(changes.std(0), [180 * 0.1666, 360 * 0.1666], rtol=0.05)


def test_suites_have_the_references_seeds():
    assert {name: len(suites.seeds_of(name)) for name in suites.SUITES} == {
        "micro": 1, "tiny": 10, "small": 100, "medium": 1000, "big": 10_000,
    }  # fmt: skip
    np.testing.assert_array_equal(suites.seeds_of("tiny"), range(10))
    with pytest.raises(ValueError, match="unknown suite 'smal'; the nearest are small"):
        suites.seeds_of("smal")


@pytest.mark.parametrize("steps", [3])
def test_a_suite_is_flown_seed_by_seed_and_scored(monkeypatch, steps):
    monkeypatch.setattr(suites, "STEPS_OF_EPISODE", steps)
    done = []
    scores, path = suites.fly(make(), agents.stay(), [3, 49, 5], lanes=2, report=done.append)
    assert done == [2, 3] and path.x.shape == (3, steps)
    beginnings = recordings.load("resets_0_49")
    # Still air, where the reference's decoder is not at hand: the noise alone moves the balloon, by less than 3 km in 9 minutes.
    np.testing.assert_allclose(path.x[:, 0], beginnings["s_x"][[3, 49, 5]], atol=3000.0)
    np.testing.assert_array_equal(scores.steps, [steps] * 3)
    within = np.hypot(path.x, path.y) <= 50_000.0
    np.testing.assert_allclose(scores.twr50, within.mean(1))
    np.testing.assert_allclose(scores.returns, path.reward.sum(1), rtol=1e-6)
    mean, low, high = scores.mean_with_interval("returns")
    assert low <= mean <= high and suites.lost(scores) == 0


def test_a_students_evaluation_is_the_suites_flight(monkeypatch):
    """Which scores a balloon's student, and so moves its lambda."""
    monkeypatch.setattr(suites, "STEPS_OF_EPISODE", 3)
    seeds = [3, 49, 5]

    def q_values(observations):
        return jnp.stack([observations[:, 0], observations[:, 1], observations[:, 7]], 1)

    scores, _ = suites.fly(make(), agents.greedy(q_values), seeds)
    found = jax.jit(lambda key: suites.evaluation(make(), seeds)(key, q_values, None))(jax.random.key(0))
    np.testing.assert_allclose(found["seed_returns"], scores.returns, rtol=1e-5)
    np.testing.assert_allclose(found["seed_twr50"], scores.twr50, rtol=1e-6)
    assert float(found["mean_return"]) == pytest.approx(scores.returns.mean(), rel=1e-5) and int(found["episodes"]) == 3
    assert len(set(scores.returns.round(3))) > 1, "seeds that fly alike would hide which is flown"


def test_no_seeds_are_refused():
    with pytest.raises(ValueError, match="no seeds were given"):
        suites.fly(make(), agents.stay(), [])
