"""The balloon's student in the training step on a toy: prioritised replay, exploration by turns, quantiles; stopped and resumed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from purejaxrrl.environments.balloon.agents import Agent
from purejaxrrl.runs import run_folder
from purejaxrrl.students import balloon, exploration, qdagger
from purejaxrrl.students.hyperparameters import replace, stack
from purejaxrrl.students.settings import DQN, QDagger

RUNS, ROWS = 2, 40
SETTINGS = replace(
    DQN(**balloon.REFERENCE),
    num_environments=4, iteration_steps=200, target_period=5, warm_up=40, online_iterations=2, capacity=4 * ROWS, widths=(4,),
    num_atoms=5, learning_rate=0.0, max_n_step=3, n_step=3, batch_size=8,
)  # fmt: skip
WALK = Agent(lambda key: jnp.int32(0), lambda key, memory, observation: (jnp.int32(2), memory))
"""It takes action 2 in every second step; the student, whose values are all 0, takes action 0."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The states `[runs]` after each of two iterations, and after the second one of a run that went on from the first one's checkpoint."""
    explores = exploration.MarcoPolo(WALK, episodes=1.0, own_steps=1, exploring_steps=1)
    program = qdagger.program(SETTINGS, toys.Corridor(), exploration=explores)
    step = jax.jit(jax.vmap(functools.partial(qdagger.play_and_learn, program), in_axes=(0, 0, 0, None, None)))
    keys, many = jax.random.split(jax.random.key(0), RUNS), stack([SETTINGS] * RUNS)
    state = jax.jit(jax.vmap(functools.partial(qdagger.init, program)))(keys, many)
    zeros = jax.tree.map(jnp.zeros_like, state.learner.params)
    state = state._replace(learner=state.learner.replace(params=zeros, target_params=zeros))
    first, _ = step(state, keys, many, None, jnp.int32(0))
    path, like = tmp_path_factory.mktemp("run") / "run", jax.eval_shape(lambda: first)
    with run_folder.RunFolder(path, {}, resume=False) as folder:
        folder.checkpoint(1, first._replace(ring=None), first.ring, SETTINGS.schedule.rows_per_iteration)
    with run_folder.RunFolder(path, {}, resume=True) as folder:
        restored = folder.restore(like._replace(ring=None), like.ring)
    second, resumed = (
        step(each, keys, many, None, jnp.int32(1))[0] for each in (first, restored.state._replace(ring=restored.ring))
    )
    return jax.tree.map(np.asarray, (first, second, resumed))


def test_a_resumed_run_has_the_same_bits_its_sampler_included(trained):
    _, second, resumed = trained
    assert jax.tree.leaves(second.sampler) and jax.tree.leaves(second.exploration)
    jax.tree.map(np.testing.assert_array_equal, resumed, second)


def test_what_explores_is_what_the_ring_has(trained):
    for state in trained[:2]:
        kept = state.ring.is_transition
        time, action = state.ring.observation[..., 1][kept], state.ring.action[kept]
        np.testing.assert_array_equal(action, np.where(time % 2 == 1, 2, 0))
        assert set(action) == {0, 2}


def test_the_priorities_are_of_complete_transitions_and_were_learned(trained):
    """After 100 rows of a ring of 40: row 99 is at place 19, and the newest three are not complete."""
    state = trained[1]
    priority = state.sampler.tree.leaves
    incomplete = (np.arange(97, 100)) % ROWS
    complete = state.ring.is_transition.copy()
    complete[:, incomplete] = False
    np.testing.assert_array_equal(priority > 0, complete)
    assert (state.sampler.largest > 1).all()
    entered = (priority == state.sampler.largest[:, None, None]) & complete
    assert 0 < entered.sum() < complete.sum()


def test_the_preset_is_the_references():
    """`agents/configs/quantile.gin` and `networks.py` of the Balloon Learning Environment 1.0.1."""
    for made in (DQN(**balloon.REFERENCE), QDagger(**balloon.REFERENCE)):
        assert (made.discount, made.n_step, made.steps_per_update, made.batch_size) == (0.993, 5, 4, 32)
        assert made.target_period * made.steps_per_update == 100  # agent steps
        assert (made.learning_rate, made.adam_eps, made.capacity, made.warm_up) == (2e-6, 2e-5, 2_000_000, 500)
        assert (made.widths, made.num_atoms, made.head, made.initialiser) == (
            (600,) * 7,
            51,
            "quantile",
            "fan_in_uniform",
        )
        assert made.drawn_by.importance_weights is False
        assert made.epsilon_start == made.epsilon_end == made.evaluation_epsilon == 0.0
