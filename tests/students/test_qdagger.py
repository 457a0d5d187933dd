"""The training step as functions: one program, traced hyperparameters, and what weaning does in it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import SHORT_EPISODES, changed, data, tiny, untrained_teacher
from toys import Reel

import purejaxrrl
from purejaxrrl import replay, teachers
from purejaxrrl.runs import devices, training
from purejaxrrl.streams import Purpose, stream
from purejaxrrl.students import qdagger, weaning
from purejaxrrl.students.hyperparameters import declaration, names, offline_part, replace, stack
from purejaxrrl.students.settings import DQN, QDagger


@pytest.fixture(scope="module")
def settings():
    return tiny(QDagger)


@pytest.fixture(scope="module")
def program(settings, breakout, teacher, dataset):
    return qdagger.program(settings, breakout, teacher, dataset, env_params=SHORT_EPISODES)


@pytest.fixture(scope="module")
def trained(program, settings, dataset):
    """The whole run of two seeds and two methods as one vmapped call."""
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    other = replace(settings, n_step=1, student_temperature=1.0, weaning="linear", weaning_steps=200)
    train = jax.jit(jax.vmap(functools.partial(qdagger.train, program), in_axes=(0, 0, None)))
    return train(keys, stack([settings, other]), dataset.ring)


@pytest.fixture(scope="module")
def steps(program):
    """Init, offline and online iterations of one run, compiled once for the module."""
    return [jax.jit(functools.partial(step, program)) for step in (qdagger.init, qdagger.offline, qdagger.online)]


def by_iterations(program, steps, settings, data, seed):
    """The same run as `train`, an iteration a call."""
    init, offline, online = steps
    key = qdagger.run_key(program, jax.random.key(seed))
    state, history = init(key, settings), []
    for index in range(settings.offline_iterations):
        state, _ = offline(state, stream(key, Purpose.OFFLINE), settings, data, jnp.int32(index))
    for index in range(settings.online_iterations):
        state, metrics = online(state, stream(key, Purpose.ONLINE), settings, None, jnp.int32(index))
        history.append(metrics)
    return state, history


def test_vmapped_whole_run_equals_single_runs_by_iterations(trained, program, steps, settings, dataset):
    state, history = by_iterations(program, steps, settings, dataset.ring, seed=0)
    vmapped, _, online = trained
    jax.tree.map(
        lambda single, many: np.testing.assert_allclose(single, many[0], rtol=1e-4, atol=1e-5),
        state.learner.params,
        vmapped.learner.params,
    )
    np.testing.assert_array_equal(state.ring.observation, vmapped.ring.observation[0])
    np.testing.assert_allclose([float(metrics["score"]) for metrics in history], online["score"][0], rtol=1e-5)


def test_runs_of_a_program_differ_by_settings(trained, settings):
    _, _, online = trained
    # The second is weaned linearly, 160 and 320 of 200 agent steps in; the first by its score, which starts as 0.
    np.testing.assert_allclose(online["lambda"][1], [1.0 - 160 / 200, 0.0], atol=1e-6)
    assert online["lambda"][0, 0] == 1.0
    assert online["lambda"][0, 1] == pytest.approx(np.clip(1.0 - float(online["score"][0, 0]), 0.0, 1.0), abs=1e-6)


def test_evaluations_are_remembered_the_last_one_first(trained):
    state, offline, online = trained
    scores = np.zeros((2, weaning.MOST_EVALUATIONS), np.float32)
    scores[:, :2] = np.asarray(online["score"])[:, ::-1]  # offline evaluations are not among them
    np.testing.assert_array_equal(state.evidence.scores, scores)
    assert (np.asarray(offline["disagreement"]) == 1.0).all()


def test_the_disagreement_is_that_of_the_actions_in_the_ring(steps, settings):
    """Without exploration they are the greedy ones; each row of them is forgotten with the memory's 5,000 agent steps."""
    init, _, online = steps
    greedy = changed(settings, epsilon_start=0.0, epsilon_end=0.0)
    state, metrics = online(init(jax.random.key(0), greedy), jax.random.key(2), greedy, None, jnp.int32(0))
    rows = settings.iteration_steps // settings.num_environments
    ring = jax.tree.map(lambda leaf: np.asarray(leaf)[:rows], state.ring)
    regret = spread = 0.0
    for values, actions, counts in zip(ring.teacher_output, ring.action, ring.is_transition, strict=True):
        best, kept = values.max(-1), np.exp(-counts.sum() / settings.weaning_memory)
        lost = best - values[range(len(actions)), actions]
        regret = kept * regret + (1 - kept) * lost[counts].mean()
        spread = kept * spread + (1 - kept) * (best - values.mean(-1))[counts].mean()
    np.testing.assert_allclose([state.evidence.regret, state.evidence.spread], [regret, spread], rtol=1e-4)
    assert float(metrics["disagreement"]) == pytest.approx(regret / spread, rel=1e-4) and regret > 0


def test_learning_rate_follows_lambda(trained, settings):
    _, offline, online = trained
    assert float(offline["learning_rate"][0, 0]) == pytest.approx(settings.learning_rate)
    for run in range(2):
        weight = np.asarray(online["lambda"][run])
        expected = weight * settings.learning_rate + (1 - weight) * settings.weaned_learning_rate
        np.testing.assert_allclose(online["learning_rate"][run], expected, rtol=1e-5)


def test_scores_are_normalised_by_the_card(trained, teacher):
    _, _, online = trained
    np.testing.assert_allclose(online["score"], (online["mean_return"] - 0.5) / (2.0 - 0.5), rtol=1e-5)


def test_the_offline_phase_looks_at_its_own_settings_alone(steps, settings, dataset):
    """What `training.run` shares: runs with other online settings learn the same offline, to the bit."""
    init, offline, _ = steps
    key = jax.random.key(1)

    def learned(settings):
        return offline(init(jax.random.key(0), settings), key, settings, dataset.ring, jnp.int32(0))[0]

    expected, traced = learned(changed(settings)), 0
    for name in names(QDagger):
        declared = declaration(QDagger, name)
        if declared.json_schema_extra["static"]:
            continue
        other = changed(settings, **{name: not getattr(settings, name) if declared.annotation is bool else 2})
        is_same = offline_part(other) == offline_part(changed(settings))
        assert is_same == (declared.json_schema_extra["phase"] == "online"), name
        if is_same:
            traced += 1
            jax.tree.map(np.testing.assert_array_equal, learned(other), expected)
    assert traced >= 15
    # Of the weaning it sees lambda alone.
    later, without = replace(settings, weaning="linear", weaning_steps=77), replace(settings, weaning="none")
    assert training._offline_lambda(later) == training._offline_lambda(settings) == 1.0
    assert training._offline_lambda(without) == 0.0


def test_hyperparameters_change_the_result_and_compile_nothing(steps, settings, dataset):
    init, offline, _ = steps
    state, key = init(jax.random.key(0), settings), jax.random.key(1)
    before, _ = offline(state, key, settings, dataset.ring, jnp.int32(0))
    compiled = offline._cache_size()
    changes = {
        "n_step": 1, "discount": 0.5, "distillation_coefficient": 1.0, "teacher_temperature": 1.0, "student_temperature": 1.0,
        "learning_rate": 1e-3, "adam_eps": 1e-2,
    }  # fmt: skip
    for name, value in changes.items():
        after, _ = offline(state, key, replace(settings, **{name: value}), dataset.ring, jnp.int32(0))
        assert any(
            np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (before.learner, after.learner)), strict=True)
        ), name
    assert offline._cache_size() == compiled


def test_unweaned_student_without_distillation_ignores_a_teacher_full_of_nan(steps, settings, dataset):
    """A term that is masked out brings in nothing, in the loss or in its gradient."""
    init, offline, _ = steps
    poisoned = dataset.ring.replace(teacher_output=jnp.full_like(dataset.ring.teacher_output, jnp.nan))
    unweaned = replace(settings, weaning="none")
    state = init(jax.random.key(0), unweaned)
    clean, _ = offline(state, jax.random.key(1), unweaned, dataset.ring, jnp.int32(0))
    dirty, metrics = offline(state, jax.random.key(1), unweaned, poisoned, jnp.int32(0))
    assert np.isfinite(metrics["td_loss"]) and metrics["distillation_loss"] == 0.0
    jax.tree.map(np.testing.assert_array_equal, clean.learner.params, dirty.learner.params)


def test_the_ring_records_the_teachers_output_for_its_observations(trained, teacher, program, settings):
    state, _, _ = trained
    rows = settings.online_iterations * settings.iteration_steps // settings.num_environments
    ring = jax.tree.map(lambda leaf: leaf[1][:rows], state.ring)
    places = jnp.mgrid[:rows, : settings.num_environments]
    observations = program.memory.codec.gather(ring.observation, ring.is_first, *places)
    expected = teacher.apply(teacher.params, observations.reshape(-1, *observations.shape[2:]))
    np.testing.assert_allclose(ring.teacher_output.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["frames", pytest.param("bits", marks=pytest.mark.slow)])
def test_memory_grows_by_the_rings_and_nothing_else(kind, breakout, teacher, dataset):
    """A hundred times the capacity adds, in a donated vmapped iteration, as many times the ring and no copy of it."""

    def made(capacity: int):
        if kind == "bits":
            settings = tiny(QDagger, capacity=capacity)
            return settings, qdagger.program(settings, breakout, teacher, dataset, env_params=SHORT_EPISODES)
        settings = tiny(DQN, network="mlp", widths=(4,), capacity=capacity)
        program = qdagger.program(settings, Reel())
        assert isinstance(program.memory.codec, replay.FrameStack)
        return settings, program

    def analysis(capacity: int):
        settings, program = made(capacity)
        keys, many = jax.vmap(jax.random.key)(jnp.arange(2)), stack([settings] * 2)
        state = jax.eval_shape(jax.vmap(functools.partial(qdagger.init, program)), keys, many)
        online = functools.partial(qdagger.online, program)
        compiled = devices.over_runs(online, 2, (True, True, True, False, False), donate=(0,))
        compiled = compiled.lower(state, keys, many, None, jnp.int32(0)).compile()
        ring_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.ring))
        return ring_bytes, compiled.memory_analysis()

    small_ring, small = analysis(4_000)
    large_ring, large = analysis(400_000)
    grown = large_ring - small_ring
    assert large.argument_size_in_bytes - small.argument_size_in_bytes == pytest.approx(grown, rel=0.01)
    assert large.alias_size_in_bytes - small.alias_size_in_bytes == pytest.approx(grown, rel=0.01)  # donated, not new
    assert large.temp_size_in_bytes - small.temp_size_in_bytes < 0.01 * grown


@pytest.mark.parametrize("output", ["q_values", "logits"])
def test_any_function_is_a_teacher(breakout, settings, output):
    """Nothing but `apply` and the card is asked of it: this one has no network."""
    card = dataclasses.replace(untrained_teacher(breakout).card, output=output)
    teacher = teachers.Teacher(lambda weights, seen: seen.sum((1, 2))[:, :3] * weights, jnp.float32(0.1), card)
    own = data(breakout, teacher, SHORT_EPISODES)
    program = qdagger.program(settings, breakout, teacher, own, env_params=SHORT_EPISODES)
    state = qdagger.init(program, jax.random.key(0), settings)
    offline = jax.jit(functools.partial(qdagger.offline, program))
    _, metrics = offline(state, jax.random.key(0), settings, own.ring, jnp.int32(0))
    assert np.isfinite(metrics["td_loss"]) and metrics["distillation_loss"] > 0


def test_gymnax_environment_passed_in():
    gymnax = pytest.importorskip("gymnax")
    environment, params = gymnax.make("CartPole-v1")
    params = params.replace(max_steps_in_episode=30)
    teacher, settings = untrained_teacher(environment), tiny(QDagger, network="mlp")
    own = data(environment, teacher, params)
    program = qdagger.program(settings, environment, teacher, own, env_params=params)
    _, _, online = jax.jit(functools.partial(qdagger.train, program))(jax.random.key(0), settings, own.ring)
    assert np.isfinite(online["td_loss"]).all() and (np.asarray(online["mean_return"]) >= 8).all()


def test_gymnax_environment_by_name():
    pytest.importorskip("gymnax")
    assert purejaxrrl.make("gymnax/CartPole-v1").num_actions == 2
    with pytest.raises(ValueError, match="CartPole-v1"):
        purejaxrrl.make("gymnax/CartPole")


def test_an_evaluation_that_may_never_end_is_refused(breakout):
    """Before anything is compiled; one that is limited, or one's own, is not."""
    endless = breakout.default_params.replace(max_steps_in_episode=2**31 - 1)
    small = {"capacity": 400, "widths": (4,)}
    with pytest.raises(ValueError, match="minatar/breakout may have 2,147,483,647 agent steps"):
        qdagger.program(DQN(**small), breakout, env_params=endless)
    qdagger.program(DQN(**small, evaluation_limit=5), breakout, env_params=endless)
    qdagger.program(DQN(**small), breakout, env_params=endless, evaluation=lambda *_: None)
    with pytest.raises(ValueError, match="give an evaluation limit"):
        teachers.score(
            jax.random.key(0), lambda params, seen: jnp.zeros((len(seen), 3)), None, breakout, endless, 1.0, 1
        )
