import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from toys import Corridor, CorridorParams

from purejaxrrl import replay
from purejaxrrl.replay import acting

LANES, ROWS, LIMIT = 4, 120, 6
ENVIRONMENT = Corridor(longest=9)
PARAMS = CorridorParams(limit=LIMIT)
ACTIONS = np.random.default_rng(0).integers(0, 3, (ROWS, LANES)).astype(np.int32)
TEACHER_OUTPUT = np.random.default_rng(1).normal(size=(ROWS, LANES, 3)).astype(np.float32)
RESET_KEY, STEP_KEYS = jax.random.key(1), jax.random.split(jax.random.key(2), ROWS)


@pytest.fixture(scope="module")
def recorded():
    """The rows that `act` records, `[ROWS, LANES]`, and the actors after each."""

    @jax.jit
    def run(params):
        def play(actors, inputs):
            actors, row, _ = acting.act(inputs[0], ENVIRONMENT, params, actors, *inputs[1:])
            return actors, (row, actors)

        actors = acting.reset(RESET_KEY, ENVIRONMENT, params, LANES)
        return jax.lax.scan(play, actors, (STEP_KEYS, ACTIONS, TEACHER_OUTPUT))[1]

    return jax.tree.map(np.asarray, run(PARAMS))


def loop_of_one_lane(lane):
    """What a recorder of one environment writes that steps it as gymnax says, one row at a time."""
    step = jax.jit(ENVIRONMENT.step)
    observation, state = ENVIRONMENT.reset(jax.random.split(RESET_KEY, LANES)[lane], PARAMS)
    after_the_limit = None
    for key, action in zip(STEP_KEYS, ACTIONS[:, lane], strict=True):
        if after_the_limit is not None:
            yield observation, None, 0.0, False, False, False
            observation, after_the_limit = after_the_limit, None
            continue
        key = jax.random.split(key, LANES)[lane]
        following, state, reward, terminated, truncated, info = step(key, state, action, PARAMS)
        truncated = truncated and not terminated
        yield observation, action, reward, terminated, truncated, True
        observation = following
        if truncated:
            observation, after_the_limit = info["final_observation"], following


@pytest.mark.parametrize("lane", range(LANES))
def test_rows_are_what_a_plain_loop_records(recorded, lane):
    rows, _ = recorded
    for row, (observation, action, *rest) in enumerate(loop_of_one_lane(lane)):
        np.testing.assert_array_equal(rows.observation[row, lane], observation)
        assert action is None or rows.action[row, lane] == action
        found = [getattr(rows, name)[row, lane] for name in ("reward", "terminated", "truncated", "is_transition")]
        np.testing.assert_array_equal(found, np.array(rest, np.float32))


def test_the_row_after_a_time_limit_holds_the_true_last_observation(recorded):
    rows, _ = recorded
    cut = np.argwhere(rows.truncated[:-2])
    assert len(cut) > 10
    for row, lane in cut:
        episode, time = rows.observation[row, lane]
        np.testing.assert_array_equal(rows.observation[row + 1, lane], [episode, LIMIT])
        assert time == LIMIT - 1 and not rows.is_transition[row + 1, lane]
        assert rows.observation[row + 2, lane, 0] != episode and rows.observation[row + 2, lane, 1] == 0


def test_only_the_rows_after_time_limits_are_no_transitions(recorded):
    rows, _ = recorded
    np.testing.assert_array_equal(~rows.is_transition[1:], rows.truncated[:-1])
    assert rows.is_transition[0].all()


def test_an_end_on_the_time_limit_is_a_termination(recorded):
    rows, _ = recorded
    assert not (rows.terminated & rows.truncated).any()
    at_the_limit = rows.terminated & (rows.observation[..., 1] == LIMIT - 1)
    assert at_the_limit.any()


def test_every_step_of_every_episode_is_recorded_once(recorded):
    rows, _ = recorded
    for lane in range(LANES):
        steps = [tuple(step) for step in rows.observation[rows.is_transition[:, lane], lane]]
        episodes = list(dict.fromkeys(episode for episode, _ in steps))
        lengths = [sum(episode == other for other, _ in steps) for episode in episodes]
        assert steps == [(e, time) for e, length in zip(episodes, lengths, strict=True) for time in range(length)]


def test_the_teachers_output_is_recorded_as_given(recorded):
    np.testing.assert_array_equal(recorded[0].teacher_output, TEACHER_OUTPUT)


def test_actors_show_the_next_row_of_the_replay_memory(recorded):
    rows, actors = recorded
    np.testing.assert_array_equal(actors.observation[:-1], rows.observation[1:])


def test_the_first_observations_after_a_reset_are_marked(recorded):
    """Time 0 is a new episode's, and no other row's; the row after a time limit is still the old one's."""
    rows, _ = recorded
    np.testing.assert_array_equal(rows.is_first, rows.observation[..., 1] == 0)


def test_recorded_rows_make_the_episodes_n_step_targets(recorded):
    rows, _ = recorded
    memory = replay.ReplayMemory(ROWS * LANES, LANES, replay.Plain((2,), jnp.int32), max_n_step=3)
    starts, lanes = np.mgrid[: ROWS - 3, :LANES]
    batch = jax.tree.map(np.asarray, jax.jit(memory.gather)(rows, starts, lanes, 3, 0.5))
    for row, lane in zip(starts.ravel(), lanes.ravel(), strict=True):
        if not batch.valid[row, lane]:
            continue
        episode, time = rows.observation[row, lane]
        taken = [
            r for r in range(row, row + 3) if rows.observation[r, lane, 0] == episode and rows.is_transition[r, lane]
        ]
        expected = sum(0.5**k * (time + 1 + k + 0.25 * ACTIONS[r, lane]) for k, r in enumerate(taken))
        np.testing.assert_allclose(batch.n_step_return[row, lane], expected)
        if rows.terminated[taken[-1], lane]:
            assert batch.bootstrap_discount[row, lane] == 0.0
        else:
            assert batch.bootstrap_discount[row, lane] == 0.5 ** len(taken)
            np.testing.assert_array_equal(batch.bootstrap_observation[row, lane], [episode, time + len(taken)])


def test_epsilon_greedy_takes_actions_with_the_right_frequencies():
    q_values = jnp.tile(jnp.array([0.0, 3.0, 1.0]), (30_000, 1))
    act = jax.jit(acting.epsilon_greedy)
    counts = np.bincount(act(jax.random.key(0), q_values, 0.3), minlength=3)
    expected = 30_000 * np.array([0.1, 0.8, 0.1])
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3
    assert (act(jax.random.key(0), q_values, 0.0) == 1).all()
    uniform = np.bincount(act(jax.random.key(0), q_values, 1.0), minlength=3)
    assert scipy.stats.chisquare(uniform).pvalue > 1e-3


def test_epsilon_greedy_explores_each_environment_for_itself():
    q_values = jnp.tile(jnp.array([0.0, 1.0]), (1000, 1))
    actions = np.asarray(acting.epsilon_greedy(jax.random.key(0), q_values, 1.0))
    assert 400 < actions.sum() < 600 and actions.dtype == np.int32


@pytest.mark.parametrize(
    ("agent_steps", "decay_steps", "expected"),
    [
        (0, 100, 1.0),
        (25, 100, 0.775),
        (50, 100, 0.55),
        (100, 100, 0.1),
        (10_000, 100, 0.1),
        (0, 0, 0.1),
        (7, 0, 0.1),
        (-5, 100, 1.0),
        (-1, 0, 1.0),
    ],
)
def test_linear_epsilon_by_hand(agent_steps, decay_steps, expected):
    epsilon = acting.linear_epsilon(jnp.int32(agent_steps), 1.0, 0.1, jnp.float32(decay_steps))
    np.testing.assert_allclose(epsilon, expected, rtol=1e-6)


def test_an_epsilon_greedy_policy_asks_its_q_values_at_the_observations():
    policy = acting.epsilon_greedy_policy(lambda observations: -((observations - jnp.arange(4.0)) ** 2), 0.0)
    np.testing.assert_array_equal(policy(jax.random.key(0), jnp.array([[2.1], [0.2], [9.0]])), [2, 0, 3])
