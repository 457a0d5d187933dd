"""DQN as a teacher's school: it learns, saves what a student needs, and resumes."""

import dataclasses
import functools
import re
import sys

import dqn
import event_files
import fake_console
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import SHORT_EPISODES

from purejaxrrl import teachers
from purejaxrrl.replay import space
from purejaxrrl.students import qdagger
from purejaxrrl.students.settings import DQN
from purejaxrrl.teachers import datasets

SMALL = {
    "iteration_steps": 160,
    "target_period": 10,
    "batch_size": 8,
    "capacity": 400,
    "warm_up": 48,
    "evaluation_environments": 2,
    "evaluation_steps": 2,
}
OPTIONS = {"frames": 320, "longer_frames": 480, "card_episodes": 4, "keep_replay": 200}


def run_main(monkeypatch, output, *more: str) -> None:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in (SMALL | OPTIONS).items()]
    monkeypatch.setattr(sys, "argv", ["dqn.py", f"--output={output}", *flags, *more])
    dqn.main()


def observed(memory, ring, rows):
    """The observations of the first rows."""
    return memory.codec.gather(ring.observation, ring.is_first, *jnp.mgrid[:rows, : memory.num_environments])


def test_a_teacher_is_saved_with_card_and_replay(monkeypatch, tmp_path, capsys):
    rings, save = [], dqn.save_teacher
    monkeypatch.setattr(
        dqn, "save_teacher", lambda *given: rings.append(jax.tree.map(np.asarray, given[-1].ring)) or save(*given)
    )
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
    for name in ("action", "reward", "is_first", "observation"):  # of 40 rows of 8 the last 25
        np.testing.assert_array_equal(getattr(data.ring, name), getattr(rings[0], name)[0, 15:40])
    observations = observed(data.memory, data.ring, data.memory.rows).reshape(-1, *card.observation_shape)
    expected = teacher.apply(teacher.params, observations)
    np.testing.assert_allclose(data.ring.teacher_output.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)

    # Resumed where it is finished already, it trains nothing and says the same; asked for them now, it writes all events.
    run_main(monkeypatch, tmp_path / "run", "--resume", "--tensorboard")
    event_files.assert_follow(tmp_path / "run")
    assert teachers.load(tmp_path / "run" / "teacher").card == card
    assert capsys.readouterr().out.count("online  3  return") == 1

    # One that is no better than random is no teacher, which is said.
    for score, lines in ((0.5, 1), (0.75, 0)):
        card = dataclasses.replace(card, score=score, random_score=0.5)
        teachers.save_card(tmp_path / "run" / "teacher", dataclasses.replace(teacher, card=card))
        run_main(monkeypatch, tmp_path / "run", "--resume")
        expected = "it is no teacher for a student: its score of 0.5 is not above the random policy's 0.5"
        assert capsys.readouterr().out.count(expected) == lines


def test_atari_has_defaults_of_its_own(monkeypatch, tmp_path):
    """Those of docs/pixels.md, which fit a machine of 16 GB: its system takes two of them."""
    found = []

    def open_folder(options, identity):
        found.append(identity["settings"] | {"frames": options.frames})
        raise KeyboardInterrupt

    fake_console.install(monkeypatch)
    monkeypatch.setattr(space, "available_bytes", lambda devices=1: 14 * 10**9)
    monkeypatch.setattr(dqn.experiment, "open_folder", open_folder)
    for more in ([], ["--width=0.5", "--frames=2e5"], ["--environment=minatar/breakout"], ["--head=c51"]):
        monkeypatch.setattr(sys, "argv", ["dqn.py", f"--output={tmp_path / 'run'}", "--environment=atari/pong", *more])
        with pytest.raises(SystemExit, match="130"):
            dqn.main()
    expected = {
        "network": "nature_cnn", "padding": "SAME", "steps_per_update": 4, "target_period": 2_000, "batch_size": 32, "warm_up": 20_000,
        "epsilon_start": 1.0, "epsilon_end": 0.01, "epsilon_hold_steps": 20_000, "epsilon_decay_steps": 250_000, "n_step": 1,
        "td_error": "squared", "learning_rate": 6.25e-5, "adam_eps": 1.5e-4, "reward_clip": 1.0, "discount": 0.99,
        "frames": 10_000_000, "card_episodes": 100, "capacity": 500_000, "evaluation_epsilon": 0.001,
    }  # fmt: skip
    assert {name: found[0][name] for name in expected} == expected and found[0]["evaluation_limit"]
    assert (found[1]["width"], found[1]["frames"], found[1]["network"]) == (0.5, 200_000, "nature_cnn")
    assert {name for name in found[0] if found[3][name] != found[0][name]} == {"head", "td_error"}
    assert (found[2]["network"], found[2]["frames"], found[2]["reward_clip"]) == ("mlp", 1_000_000, 0.0)


def test_a_longer_run_leaves_the_teacher_what_it_was(monkeypatch, tmp_path, capsys):
    """Both are scored up to the limit of evaluations, before any ball of Breakout has come back."""
    found = []
    for longer in (0, 480):
        run_main(
            monkeypatch,
            tmp_path / str(longer),
            f"--longer-frames={longer}",
            "--keep-replay=0",
            "--head=c51",
            "--v-min=-5",
            "--evaluation-limit=5",
        )
        found.append(teachers.load(tmp_path / str(longer) / "teacher"))
    assert found[0].fingerprint() == found[1].fingerprint()
    assert [teacher.card.algorithm for teacher in found] == ["C51", "C51"]
    cards = [teacher.card for teacher in found]
    assert all((card.evaluation_limit, card.score, card.random_score) == (5, 0.0, 0.0) for card in cards)
    assert cards[1].longer_run == {"frames": 480, "score": 0.0}
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("scoring ")]
    of_teacher, of_longer_run = (
        f"scoring {who}: 4 episodes of at most 5 agent steps" for who in ("the teacher", "the longer run")
    )
    assert said == [of_teacher, of_teacher, of_longer_run]


def test_a_run_that_ended_goes_on_and_its_teacher_is_never_of_other_frames(monkeypatch, tmp_path, capsys):
    quick = "--card-episodes=2", "--evaluation-limit=5"

    def trained(name, frames, longer=0, *more):
        run_main(monkeypatch, tmp_path / name, *quick, f"--frames={frames}", f"--longer-frames={longer}", *more)
        teacher = teachers.load(tmp_path / name / "teacher")
        assert teacher.card.frames == frames and (teacher.card.longer_run or {"frames": 0})["frames"] == longer
        datasets.load(tmp_path / name / "teacher_data", teacher)
        return teacher

    whole, first = trained("whole", 480), trained("run", 320)
    further = trained("run", 480, 0, "--resume")
    assert further.fingerprint() == whole.fingerprint() != first.fingerprint()
    assert (further.card.score, further.card.random_score) == (whole.card.score, whole.card.random_score)
    run = tmp_path / "run"
    for given, message in (
        ((320, 0), f"--frames is 320 and --longer-frames 0, but the run in {run} has done 480; give at least that"),
        ((320, 640), f"--frames is 320, but the run in {run} has done 480; give at least that\n"),
    ):
        with pytest.raises(SystemExit):
            trained("run", *given, "--resume")
        assert message in capsys.readouterr().err
        assert teachers.load(run / "teacher").fingerprint() == whole.fingerprint()
    # What is trained on to leaves the teacher alone, and is one itself where that is asked for.
    assert trained("run", 480, 640, "--resume").fingerprint() == whole.fingerprint()
    with pytest.raises(SystemExit):
        trained("run", 320, 640, "--resume")
    assert "has done 640; give at least that, or 480, of which it has a teacher\n" in capsys.readouterr().err
    assert trained("run", 640, 0, "--resume").fingerprint() != whole.fingerprint()
    assert "online  " not in capsys.readouterr().out


@pytest.mark.slow
def test_learns_cartpole():
    """A gymnax environment passed in: twice the return of a random policy within 20,000 steps."""
    gymnax = pytest.importorskip("gymnax")
    environment, params = gymnax.make("CartPole-v1")
    settings = DQN(
        iteration_steps=20_000, online_iterations=1, widths=(120, 84), batch_size=64, capacity=20_000, warm_up=1_000,
        epsilon_decay_steps=10_000, learning_rate=5e-4, evaluation_environments=16, evaluation_steps=16,
    )  # fmt: skip
    program = qdagger.program(settings, environment, env_params=params)
    _, _, metrics = jax.jit(functools.partial(qdagger.train, program))(jax.random.key(0), settings)
    random = teachers.score(
        jax.random.key(1), lambda _, seen: jnp.zeros((seen.shape[0], 2)), None, environment, params, 1.0, 64
    )
    assert float(metrics["mean_return"][-1]) > 2 * random.mean


def test_a_transition_in_the_ring_is_what_the_environment_did(breakout):
    """Row t + 1 follows row t: in Breakout a reward is a brick, the ball moves by a column at most, and the paddle as the action says, but
    for the tenth of the steps that repeat the one before."""
    settings = DQN(**SMALL | {"online_iterations": 1, "epsilon_end": 0.5})
    program = qdagger.program(settings, breakout, env_params=SHORT_EPISODES)
    state, _, _ = jax.jit(functools.partial(qdagger.train, program))(jax.random.key(0), settings)
    rows = 160 // settings.num_environments
    paddle, ball, _, bricks = np.moveaxis(np.asarray(observed(program.memory, state.ring, rows)), -1, 0)
    ended = np.asarray(state.ring.terminated | state.ring.truncated)[:rows]
    goes_on = ~ended[:-1]
    assert ended.any() and goes_on.any()
    columns = ball.any(-2).argmax(-1)
    assert (np.abs(np.diff(columns, axis=0))[goes_on] <= 1).all()
    broken = -np.diff(bricks.sum((-2, -1)), axis=0)
    rewards = np.asarray(state.ring.reward)[: rows - 1]
    np.testing.assert_array_equal(broken[goes_on], rewards[goes_on])
    assert rewards.any()
    place = paddle.any(-2).argmax(-1)
    moved = np.clip(place + np.array([0, -1, 1])[np.asarray(state.ring.action)[:rows]], 0, 9)
    assert (moved[:-1] == place[1:])[goes_on].mean() > 0.85


def test_no_more_is_kept_than_the_replay_has(breakout):
    """Neither more than its capacity nor more than was ever written."""
    ring = qdagger.program(DQN(**SMALL), breakout).memory

    def kept(transitions, frames):
        return dqn.bytes_kept(dqn.Options(keep_replay=transitions, frames=frames), ring, breakout)

    of_one = kept(1, 10_000)
    assert of_one and kept(200, 10_000) == 200 * of_one
    assert kept(10**9, 10_000) == SMALL["capacity"] * of_one and kept(10**9, 160) == 160 * of_one


def test_what_does_not_fit_the_memory_is_refused_with_all_that_takes_it(monkeypatch, capsys, tmp_path):
    """Before one run's ring is looked at alone: the capacity that is named fits, with learners and what is kept."""
    monkeypatch.setattr(space, "available_bytes", lambda devices=1: 4 * 10**6)
    kept = ("--seeds=2", "--keep-replay=200", "--frames=640", "--longer-frames=0")
    with pytest.raises(SystemExit):
        run_main(monkeypatch, tmp_path / "run", *kept, "--capacity=800000")
    said = capsys.readouterr().err
    assert re.search(
        r"2 rings of 800,000 .* beside [1-9][0-9,]+ of learners and environments and [1-9][0-9,]+ of data,", said
    )
    (largest,) = re.findall(r"a capacity of at most (\d+)", said)
    monkeypatch.setattr(dqn.run_identity, "of_run", lambda *_: pytest.exit("it fits"))
    with pytest.raises(pytest.exit.Exception, match="it fits"):
        run_main(monkeypatch, tmp_path / "run", *kept, f"--capacity={largest}")


WRONG = {
    "frames that do not divide": (["--frames=1001"], "--frames is 1001, not a multiple of an iteration's 160 frames"),
    "longer frames that do not divide": (["--longer-frames=500"], "--longer-frames is 500, not a multiple of"),
    "a longer run that is shorter": (["--longer-frames=160"], "--longer-frames is 160; it must be more than --frames, 320"),
    "frames within the warm-up": (["--warm-up=320"], "--frames is 320, within the --warm-up of 320 agent steps"),
    "a replay of no row": (["--keep-replay=4"], "--keep-replay is 4; a replay capacity of 0 is 0 rows of 8 environments"),
    "a replay of too few rows": (["--keep-replay=24", "--max-n-step=3"], "3 rows of 8 environments, too few for 3-step returns"),
    "continuous actions": (["--environment=gymnax/Pendulum-v1"], "Pendulum-v1's actions are a Box"),
    "a head that is none": (["--head=c52"], "unknown head 'c52'; the nearest are c51"),
    "an option of the environment that is none": (["--environment-options=sticky=0"], "sticky"),
}  # fmt: skip


def test_a_warm_up_is_within_the_frames_that_are_asked_for(monkeypatch, breakout):
    """Of which the settings know nothing before the environment is made: ten iterations would be too few."""
    settings = DQN(iteration_steps=10_000, warm_up=100_000)
    assert dqn.with_iterations(dqn.Options(frames=10_000_000), settings, breakout).online_iterations == 1000
    with pytest.raises(ValueError, match="--frames is 100000, within the --warm-up of 100000"):
        dqn.with_iterations(dqn.Options(frames=100_000), settings, breakout)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_before_anything_is_written(case, monkeypatch, tmp_path, capsys):
    arguments, message = WRONG[case]
    with pytest.raises(SystemExit, match="2"):
        run_main(monkeypatch, tmp_path / "run", *arguments)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
