"""DQN as a teacher's school: it learns, saves what a student needs, and resumes."""

import sys

import dqn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import SHORT_EPISODES

from purejaxrrl import datasets, replay, teachers

SMALL = {
    "frames": 320,
    "iteration_frames": 160,
    "longer_frames": 480,
    "target_period": 10,
    "batch_size": 8,
    "capacity": 400,
    "warm_up": 48,
    "evaluation_episodes": 2,
    "card_episodes": 4,
    "keep_replay": 200,
}


def run_main(monkeypatch, output, *more: str) -> None:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    monkeypatch.setattr(sys, "argv", ["dqn.py", f"--output={output}", *flags, *more])
    dqn.main()


def test_a_teacher_is_saved_with_card_and_replay(monkeypatch, tmp_path, capsys):
    run_main(monkeypatch, tmp_path / "run")
    teacher = teachers.load(tmp_path / "run" / "teacher")
    card = teacher.card
    assert (card.environment, card.frames, card.evaluation_episodes, card.algorithm) == (
        "minatar/breakout",
        320,
        4,
        "DQN",
    )
    assert card.longer_run["frames"] == 480 and card.command.startswith("python dqn.py")
    data = datasets.load(tmp_path / "run" / "teacher_data", teacher)
    assert data.memory.capacity == 200
    observations = data.memory.observations(data.ring.observation).reshape(-1, *card.observation_shape)
    expected = teacher.apply(teacher.params, observations)
    np.testing.assert_allclose(data.ring.preferences.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)

    # Resumed where it is finished already, it trains nothing and says the same.
    run_main(monkeypatch, tmp_path / "run", "--resume")
    assert teachers.load(tmp_path / "run" / "teacher").card == card
    assert capsys.readouterr().out.count("480 frames  score") == 1


def test_learns_cartpole():
    """A gymnax environment passed in: twice the return of a random policy within 20,000 steps."""
    gymnax = pytest.importorskip("gymnax")
    environment, params = gymnax.make("CartPole-v1")
    config = dqn.Config(
        iteration_frames=20_000, frames=20_000, widths=(120, 84), batch_size=64, capacity=20_000, warm_up=1_000,
        epsilon_decay_steps=10_000, learning_rate=5e-4, evaluation_episodes=16,
    )  # fmt: skip
    program = dqn.make_train(config, environment, params)
    _, metrics = jax.jit(program.train)(jax.random.key(0))
    random = teachers.score(
        jax.random.key(1), lambda _, seen: jnp.zeros((seen.shape[0], 2)), None, environment, params, 1.0, 64
    )
    assert float(metrics.scores.mean()) > 2 * random


def test_a_transition_in_the_ring_is_what_the_environment_did(breakout):
    """Replaying the recorded actions from the recorded rows gives the same observations: row t + 1 follows row t."""
    config = dqn.Config(**SMALL | {"frames": 160, "longer_frames": 0, "epsilon_end": 0.5})
    program = dqn.make_train(config, breakout, SHORT_EPISODES)
    state, _ = jax.jit(program.train)(jax.random.key(0))
    memory: replay.ReplayMemory = program.memory
    rows = 160 // config.num_environments
    ball_moves = memory.observations(state.ring.observation)[:rows, :, :, :, 1].argmax(-1).sum(-1)  # column of the ball
    ended = np.asarray(state.ring.terminated | state.ring.truncated)[:rows]
    step = np.abs(np.diff(np.asarray(ball_moves), axis=0))
    assert (step[~ended[:-1]] <= 1).all()  # within an episode the ball moves by at most one column
    assert ended.any()
