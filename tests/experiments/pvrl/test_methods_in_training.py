"""What methods do in the whole program beyond their loss: rehearse, start Adam anew, learn offline at another rate, follow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import SHORT_EPISODES, changed, tiny

from purejaxrrl.students import qdagger
from purejaxrrl.students.settings import QDagger


@pytest.fixture(scope="module")
def settings():
    return tiny(QDagger, rehearsal_fraction=0.5, weaning="none", iteration_steps=80)


@pytest.fixture(scope="module")
def iterations(settings, breakout, teacher, dataset):
    program = qdagger.program(settings, breakout, teacher, dataset, env_params=SHORT_EPISODES)
    return [jax.jit(functools.partial(step, program)) for step in (qdagger.init, qdagger.offline, qdagger.online)]


def train(iterations, settings, data, seed=0):
    init, offline, online = iterations
    state = init(jax.random.key(seed), settings)
    after_offline, _ = offline(state, jax.random.key(1), settings, data, jnp.int32(0))
    state, metrics = online(after_offline, jax.random.key(2), settings, data, jnp.int32(0))
    return after_offline, state, metrics


def unlike(dataset):
    """Data of which a single sample would be noticed."""
    return dataset.ring.replace(reward=jnp.full_like(dataset.ring.reward, jnp.nan))


@pytest.mark.parametrize(("fraction", "finite"), [(0.0, True), (0.5, False)])
def test_rehearsal_learns_from_the_teachers_data_online(iterations, settings, dataset, fraction, finite):
    init, _, online = iterations
    method = changed(settings, rehearsal_fraction=fraction)
    state = init(jax.random.key(0), changed(settings))
    state, metrics = online(state, jax.random.key(2), method, unlike(dataset), jnp.int32(0))
    assert bool(np.isfinite(metrics["td_loss"])) == finite


@pytest.mark.parametrize(("fraction", "same"), [(1.0, True), (0.5, False)])
def test_with_all_rehearsal_what_the_student_plays_teaches_it_nothing(iterations, settings, dataset, fraction, same):
    init, _, online = iterations
    method = changed(settings, rehearsal_fraction=fraction)
    state, elsewhere = init(jax.random.key(0), changed(settings)), init(jax.random.key(9), changed(settings))
    moved = state._replace(actors=elsewhere.actors)  # the same student in other episodes
    learners = [
        online(start, jax.random.key(2), method, dataset.ring, jnp.int32(0))[0].learner for start in (state, moved)
    ]
    equal = [np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, learners), strict=True)]
    assert all(equal) == same


@pytest.mark.parametrize("fresh", [True, False])
def test_adam_starts_anew_with_the_online_phase_where_it_should(iterations, settings, dataset, fresh):
    method = changed(settings, fresh_optimiser=fresh)
    after_offline, state, _ = train(iterations, method, dataset.ring)
    offline = int(after_offline.learner.optimiser.count)
    online = int(state.learner.optimiser.count) - (0 if fresh else offline)
    assert offline == settings.offline_updates
    # 80 steps are 20 updates, of which those before the warm-up of 48 steps (12 updates, the last of them due) are left out.
    assert online == 20 - 10


def test_the_offline_phase_has_a_rate_of_its_own(iterations, settings, dataset):
    init, offline, _ = iterations
    state = init(jax.random.key(0), changed(settings))
    rates = []
    for rate in (0.0, 1e-3):
        method = changed(settings, offline_learning_rate=rate)
        _, metrics = offline(state, jax.random.key(1), method, dataset.ring, jnp.int32(0))
        rates.append(float(metrics["learning_rate"]))
    assert rates == pytest.approx([settings.learning_rate, 1e-3])


@pytest.mark.parametrize("how", [{"roll_in_steps": 1000}, {"guide_probability": 1.0, "guide_decay_steps": 10**9}])
def test_a_student_behind_its_guide_plays_the_teachers_greedy_actions(iterations, settings, dataset, how):
    init, _, online = iterations
    leading = {"roll_in_decay": 1.0, "epsilon_start": 1.0, "epsilon_end": 1.0} | how
    method = changed(settings, **leading)
    state, _ = online(init(jax.random.key(0), changed(settings)), jax.random.key(2), method, dataset.ring, jnp.int32(0))
    ring = jax.tree.map(lambda leaf: np.asarray(leaf)[:10], state.ring)
    agrees = (ring.action == ring.teacher_output.argmax(-1)).mean()
    # Lengths are uniform up to 1000, so that a few episodes of 50 steps are not led to their end.
    assert agrees > 0.9
    # Where it acts, nothing is learned about how far the student is from it: a guided step is none of the student's.
    assert "roll_in_steps" in how or state.evidence.spread == 0.0
    method = changed(settings, epsilon_start=1.0, epsilon_end=1.0)
    alone, _ = online(init(jax.random.key(0), changed(settings)), jax.random.key(2), method, dataset.ring, jnp.int32(0))
    ring = jax.tree.map(lambda leaf: np.asarray(leaf)[:10], alone.ring)
    assert (ring.action == ring.teacher_output.argmax(-1)).mean() < 0.7
    assert alone.evidence.spread > 0.0
