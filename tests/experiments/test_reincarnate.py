"""The main experiment as functions: one program, traced hyperparameters, and what weaning does in it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reincarnate
from tiny import SHORT_EPISODES, tiny, untrained_teacher

import purejaxrrl
from purejaxrrl import datasets, parallel, reincarnation, replay, teachers


@pytest.fixture(scope="module")
def config():
    return tiny(reincarnate.Config)


@pytest.fixture(scope="module")
def program(config, breakout, teacher, dataset):
    return reincarnate.make_train(config, breakout, SHORT_EPISODES, teacher, dataset)


@pytest.fixture(scope="module")
def trained(program, config):
    """The whole run of two seeds and two methods as one vmapped call."""
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    other = dataclasses.replace(config, n_step=1, student_temperature=1.0, weaning="linear", weaning_steps=200)
    return jax.jit(jax.vmap(program.train))(keys, reincarnation.stack([config.method, other.method]))


@pytest.fixture(scope="module")
def steps(program):
    """Init, offline and online iterations of one run, compiled once for the module."""
    return jax.jit(program.init), jax.jit(program.offline), jax.jit(program.online)


def by_iterations(steps, config, method, data, seed):
    """The same run as `train`, an iteration a call."""
    init, offline, online = steps
    init_key, offline_key, online_key = jax.random.split(jax.random.key(seed), 3)
    state, history = init(init_key), []
    for index in range(config.offline_iterations):
        state, _ = offline(state, offline_key, method, data, jnp.int32(index))
    for index in range(config.online_iterations):
        state, metrics = online(state, online_key, method, None, jnp.int32(index))
        history.append(metrics)
    return state, history


def test_vmapped_whole_run_equals_single_runs_by_iterations(trained, steps, config, dataset):
    state, history = by_iterations(steps, config, config.method, dataset.ring, seed=0)
    vmapped, _, online = trained
    jax.tree.map(
        lambda single, many: np.testing.assert_allclose(single, many[0], rtol=1e-4, atol=1e-5),
        state.learner.params,
        vmapped.learner.params,
    )
    np.testing.assert_array_equal(state.ring.observation, vmapped.ring.observation[0])
    np.testing.assert_allclose([float(metrics.score) for metrics in history], online.score[0], rtol=1e-5)


def test_runs_of_a_program_differ_by_method(trained, config):
    _, _, online = trained
    # The second is weaned linearly, 160 and 320 of 200 agent steps in; the first by its score, which starts as 0.
    np.testing.assert_allclose(online.coefficient[1], [1.0 - 160 / 200, 0.0], atol=1e-6)
    assert online.coefficient[0, 0] == 1.0
    assert online.coefficient[0, 1] == pytest.approx(np.clip(1.0 - float(online.score[0, 0]), 0.0, 1.0), abs=1e-6)


def test_learning_rate_follows_lambda(trained, config):
    _, offline, online = trained
    assert float(offline.learning_rate[0, 0]) == pytest.approx(config.learning_rate)
    for run in range(2):
        weight = np.asarray(online.coefficient[run])
        expected = weight * config.learning_rate + (1 - weight) * config.weaned_learning_rate
        np.testing.assert_allclose(online.learning_rate[run], expected, rtol=1e-5)


def test_scores_are_normalised_by_the_card(trained, teacher):
    _, _, online = trained
    np.testing.assert_allclose(online.score, (online.mean_return - 0.5) / (2.0 - 0.5), rtol=1e-5)


def test_the_offline_phase_looks_at_its_own_settings_alone(steps, config, dataset):
    """What `training.run` shares: a method with other online settings learns the same offline, to the bit."""
    init, offline, _ = steps
    key, method = jax.random.key(1), config.method

    def learned(method):
        return offline(init(jax.random.key(0)), key, method, dataset.ring, jnp.int32(0))[0]

    expected = learned(method)
    names = [field.name for field in dataclasses.fields(method) if field.name != "weaning"]
    for name in names:
        changed = dataclasses.replace(method, **{name: getattr(method, name) * 0 + 2})
        is_same = reincarnation.offline_settings(changed) == reincarnation.offline_settings(method)
        assert is_same == (name in reincarnation._ONLINE_ONLY)
        if is_same:
            jax.tree.map(np.testing.assert_array_equal, learned(changed), expected)
    later = dataclasses.replace(config, weaning="linear", weaning_steps=77).method
    assert reincarnation.offline_settings(later) == reincarnation.offline_settings(method)
    without = dataclasses.replace(config, weaning="none").method
    assert reincarnation.offline_settings(without) != reincarnation.offline_settings(method)


def test_hyperparameters_change_the_result_and_compile_nothing(steps, config, dataset):
    init, offline, _ = steps
    state, key = init(jax.random.key(0)), jax.random.key(1)
    before, _ = offline(state, key, config.method, dataset.ring, jnp.int32(0))
    compiled = offline._cache_size()
    changes = {
        "n_step": 1, "discount": 0.5, "distillation_coefficient": 1.0, "teacher_temperature": 1.0, "student_temperature": 1.0,
        "learning_rate": 1e-3, "adam_eps": 1e-2,
    }  # fmt: skip
    for name, value in changes.items():
        method = dataclasses.replace(config, **{name: value}).method
        after, _ = offline(state, key, method, dataset.ring, jnp.int32(0))
        assert any(
            np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (before.learner, after.learner)), strict=True)
        ), name
    assert offline._cache_size() == compiled


def test_unweaned_student_without_distillation_ignores_a_teacher_full_of_nan(steps, config, dataset):
    """A term that is masked out brings in nothing, in the loss or in its gradient."""
    init, offline, _ = steps
    poisoned = dataset.ring.replace(preferences=jnp.full_like(dataset.ring.preferences, jnp.nan))
    method = dataclasses.replace(config, weaning="none").method
    state = init(jax.random.key(0))
    clean, _ = offline(state, jax.random.key(1), method, dataset.ring, jnp.int32(0))
    dirty, metrics = offline(state, jax.random.key(1), method, poisoned, jnp.int32(0))
    assert np.isfinite(metrics.td_loss) and metrics.distillation_loss == 0.0
    jax.tree.map(np.testing.assert_array_equal, clean.learner.params, dirty.learner.params)


def test_the_ring_records_the_teachers_output_for_its_observations(trained, teacher, breakout, config):
    state, _, _ = trained
    memory = replay.memory_for(breakout, SHORT_EPISODES, config.capacity, config.num_environments, config.max_n_step)
    rows = config.online_iterations * config.iteration_steps // config.num_environments
    ring = jax.tree.map(lambda leaf: leaf[1][:rows], state.ring)
    observations = memory.observations(ring.observation).reshape(-1, *memory.observation_shape)
    expected = teacher.apply(teacher.params, observations)
    np.testing.assert_allclose(ring.preferences.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_memory_grows_by_the_rings_and_nothing_else(breakout, teacher, dataset):
    """Ten times the capacity adds, in a donated vmapped iteration, ten times the ring and no copy of it."""

    def analysis(capacity: int):
        config = tiny(reincarnate.Config, capacity=capacity)
        program = reincarnate.make_train(config, breakout, SHORT_EPISODES, teacher, dataset)
        keys = jax.vmap(jax.random.key)(jnp.arange(2))
        state = jax.eval_shape(jax.vmap(program.init), keys)
        online = parallel.over_runs(program.online, 2, (True, True, True, False, False), donate=(0,))
        compiled = online.lower(state, keys, reincarnation.stack([config.method] * 2), None, jnp.int32(0)).compile()
        ring_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.ring))
        return ring_bytes, compiled.memory_analysis()

    small_ring, small = analysis(4_000)
    large_ring, large = analysis(400_000)
    grown = large_ring - small_ring
    assert large.argument_size_in_bytes - small.argument_size_in_bytes == pytest.approx(grown, rel=0.01)
    assert large.alias_size_in_bytes - small.alias_size_in_bytes == pytest.approx(grown, rel=0.01)  # donated, not new
    assert large.temp_size_in_bytes - small.temp_size_in_bytes < 0.01 * grown


@pytest.mark.parametrize("output", ["q_values", "logits"])
def test_any_function_is_a_teacher(breakout, config, output):
    """Nothing but `apply` and the card is asked of it: this one has no network."""
    card = dataclasses.replace(untrained_teacher(breakout).card, output=output)
    teacher = teachers.Teacher(lambda weights, seen: seen.sum((1, 2))[:, :3] * weights, jnp.float32(0.1), card)
    dataset = datasets.collect(
        jax.random.key(0),
        breakout,
        SHORT_EPISODES,
        teacher,
        replay.memory_for(breakout, SHORT_EPISODES, 400, 8, 3),
        0.1,
    )
    program = reincarnate.make_train(config, breakout, SHORT_EPISODES, teacher, dataset)
    state = program.init(jax.random.key(0))
    _, metrics = jax.jit(program.offline)(state, jax.random.key(0), config.method, dataset.ring, jnp.int32(0))
    assert np.isfinite(metrics.td_loss) and metrics.distillation_loss > 0


def test_gymnax_environment_passed_in(config):
    gymnax = pytest.importorskip("gymnax")
    environment, params = gymnax.make("CartPole-v1")
    params = params.replace(max_steps_in_episode=30)
    teacher = untrained_teacher(environment)
    memory = replay.memory_for(environment, params, 400, 8, 3)
    dataset = datasets.collect(jax.random.key(0), environment, params, teacher, memory, 0.1)
    program = reincarnate.make_train(dataclasses.replace(config, network="mlp"), environment, params, teacher, dataset)
    _, _, online = jax.jit(program.train)(jax.random.key(0), config.method)
    assert np.isfinite(online.td_loss).all() and (np.asarray(online.mean_return) >= 8).all()


def test_gymnax_environment_by_name():
    pytest.importorskip("gymnax")
    assert purejaxrrl.make("gymnax/CartPole-v1").num_actions == 2
    with pytest.raises(ValueError, match="CartPole-v1"):
        purejaxrrl.make("gymnax/CartPole")
