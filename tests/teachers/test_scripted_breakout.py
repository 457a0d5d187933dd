"""Any function is a teacher: a script of twenty lines plays Atari's Breakout, is recorded and teaches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scripted_breakout

import purejaxrrl
from purejaxrrl import replay
from purejaxrrl.evaluation import playing
from purejaxrrl.replay import acting
from purejaxrrl.students import qdagger
from purejaxrrl.students.settings import QDagger
from purejaxrrl.teachers import datasets


@pytest.fixture(scope="module")
def breakout():
    return purejaxrrl.make("atari/breakout")


NOOP, FIRE, RIGHT, LEFT = range(4)


@pytest.mark.parametrize(
    ("before", "now", "action"),
    [
        ((60, 30), (58, 20), LEFT),  # it rises: to below it
        ((50, 10), (52, 12), LEFT),  # it falls, a column a row, and lands on 36
        ((50, 70), (52, 68), RIGHT),  # on 44
        ((50, 40), (52, 40), NOOP),
        ((50, 26), (52, 21), RIGHT),  # off the left wall, on 48
        (None, None, FIRE),
    ],
)
def test_it_goes_to_where_the_ball_comes_down(before, now, action):
    """The paddle's centre is at column 40."""
    seen = np.zeros((1, 84, 84, 4), np.uint8)
    seen[:, 75:77, 38:43] = 200
    for place, ball in ((2, before), (3, now)):
        if ball:
            seen[0, ball[0], ball[1], place] = 200
    assert scripted_breakout.preferences(None, jnp.asarray(seen)).argmax(-1) == action


@pytest.mark.slow
def test_it_scores_many_times_what_chance_does(breakout):
    """Six episodes each, with sticky actions, cut after 2,500 agent steps: about 20, and 1.7."""

    def mean_return(policy):
        play = jax.jit(lambda key: playing.play(key, breakout, breakout.default_params, policy, 6, 1, limit=2500))
        return float(play(jax.random.key(0)).mean_return)

    follows = acting.epsilon_greedy_policy(lambda seen: scripted_breakout.preferences(None, seen), 0.001)
    guesses = acting.epsilon_greedy_policy(lambda seen: jnp.zeros((6, 4)), 1.0)
    assert mean_return(follows) > 10 > 4 > mean_return(guesses)


@pytest.mark.slow
def test_it_is_recorded_and_teaches_a_student_of_pixels(breakout):
    """Its data hold single frames; an offline update of the Nature CNN lowers the distillation loss that it starts with."""
    teacher = scripted_breakout.scripted_teacher(breakout)
    data = datasets.collect(jax.random.key(0), breakout, teacher, 160, epsilon=0.1, num_environments=4)
    assert data.memory.codec == replay.FrameStack((84, 84), 4, jnp.dtype(jnp.uint8))
    rows, lanes = np.mgrid[:40, :4]
    seen = data.memory.codec.gather(data.ring.observation, data.ring.is_first, rows, lanes)
    expected = teacher.apply(None, seen.reshape(-1, 84, 84, 4))
    np.testing.assert_array_equal(data.ring.teacher_output.reshape(-1, 4), expected)
    settings = QDagger(
        network="nature_cnn", width=0.125, padding="VALID", batch_size=8, capacity=160, num_environments=4, max_n_step=3,
        offline_updates=10, target_period=5, iteration_steps=40, learning_rate=3e-3, td_coefficient=0.0,
    )  # fmt: skip
    program = qdagger.program(settings, breakout, teacher, data)
    state = qdagger.init(program, jax.random.key(1), settings)
    batch = qdagger.sample_data(program, settings, jax.random.key(2), data.ring)

    def update(carry, key):
        learner, _, report = qdagger.update(program, settings, carry, batch, key, jnp.float32(1.0), is_online=False)
        return learner, report["distillation_loss"]

    losses = jax.jit(lambda learner: jax.lax.scan(update, learner, jax.random.split(jax.random.key(3), 60))[1])
    losses = np.asarray(losses(state.learner))
    assert losses[-1] < 0.5 * losses[0]
