"""PQN: its returns by hand, what it learns, and a run that resumes to the bit and saves a teacher."""

import csv
import functools
import json
import sys
import types

import event_files
import fake_console
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pqn
import pytest
import toys

import purejaxrrl
from purejaxrrl import teachers
from purejaxrrl.streams import Purpose, stream

RNG = np.random.default_rng(0)
SMALL = {
    "num_environments": 4, "rollout_steps": 8, "iteration_steps": 64, "minibatches": 4, "network": "mlp", "widths": (8,),
}  # fmt: skip


def random_rollout(steps=12, lanes=3):
    """With ends of both kinds; after a truncation comes a row that is no transition."""
    terminated = RNG.random((steps, lanes)) < 0.15
    truncated = (RNG.random((steps, lanes)) < 0.2) & ~terminated
    is_transition = np.ones((steps, lanes), bool)
    for step in range(1, steps):
        waits = truncated[step - 1]
        is_transition[step], terminated[step], truncated[step] = (
            ~waits,
            terminated[step] & ~waits,
            truncated[step] & ~waits,
        )
    shape = (steps, lanes)
    rollout = pqn.Rollout(
        observation=RNG.normal(size=(*shape, 2)).astype(np.float32), action=RNG.integers(0, 3, shape),
        reward=np.where(is_transition, 2 * RNG.normal(size=shape), 0.0).astype(np.float32), terminated=terminated,
        truncated=truncated, is_transition=is_transition, value=RNG.normal(size=shape).astype(np.float32),
        last_value=RNG.normal(size=lanes).astype(np.float32), returns=jnp.float32(0), episodes=jnp.float32(0),
    )  # fmt: skip
    return jax.tree.map(jnp.asarray, rollout)


def returns_by_hand(rollout, lane, start, discount, trace):
    """From the definition: (1 - lambda) sum lambda^(n-1) G^(n), what is left of the weights on the longest n-step return."""
    values = np.append(rollout.value[:, lane], rollout.last_value[lane])
    n_steps, total, factor = [], 0.0, 1.0
    for step in range(start, len(rollout.reward)):
        total += factor * float(rollout.reward[step, lane])
        factor *= discount
        if rollout.terminated[step, lane]:
            n_steps.append(total)
            break
        n_steps.append(total + factor * values[step + 1])
        if rollout.truncated[step, lane]:
            break
    weights = [(1 - trace) * trace**n for n in range(len(n_steps) - 1)]
    return sum(w * g for w, g in zip(weights, n_steps, strict=False)) + (1 - sum(weights)) * n_steps[-1]


@pytest.mark.parametrize("trace", [0.0, 0.65, 1.0])
def test_lambda_returns_are_weighted_n_step_returns(trace):
    rollout = random_rollout()
    found = np.asarray(pqn.lambda_returns(rollout, rollout.reward, 0.9, trace))
    assert rollout.terminated.any() and rollout.truncated.any()
    for step, lane in zip(*np.nonzero(rollout.is_transition), strict=True):
        assert found[step, lane] == pytest.approx(returns_by_hand(rollout, lane, step, 0.9, trace), rel=1e-4, abs=1e-5)


def test_lambda_returns_are_the_published_codes():
    """Its recursion, on rollouts that nothing cuts off: delta = G - max Q, and nothing after an end."""
    rollout = random_rollout()
    rollout = rollout._replace(truncated=jnp.zeros_like(rollout.truncated))
    rollout = jax.tree.map(np.asarray, rollout)
    done, after = rollout.terminated[-1], rollout.last_value
    returns = [rollout.reward[-1] + 0.99 * (1 - done) * after]
    after = rollout.value[-1]
    for step in reversed(range(len(rollout.reward) - 1)):
        done, reward = rollout.terminated[step], rollout.reward[step]
        mixed = reward + 0.99 * (1 - done) * after + 0.99 * 0.65 * (returns[0] - after)
        returns.insert(0, (1 - done) * mixed + done * reward)
        after = rollout.value[step]
    np.testing.assert_allclose(
        pqn.lambda_returns(rollout, rollout.reward, 0.99, 0.65), np.stack(returns), rtol=1e-5, atol=1e-5
    )


def test_an_update_is_radams_on_half_the_squared_error_of_real_transitions():
    settings = pqn.PQN(**SMALL | {"num_environments": 3, "rollout_steps": 12, "minibatches": 1, "epochs": 1, "iteration_steps": 36, "max_gradient_norm": 0.5})  # fmt: skip
    program = pqn.make_program(settings, toys.Corridor(), 1)
    rollout = random_rollout()
    params = program.network.init(jax.random.key(0))
    state = pqn.State(params, pqn.optimiser(settings).init(params), None, None)
    state, report = pqn.learn(
        program, settings, state, jax.random.key(1), rollout, jnp.full(settings.epochs * settings.minibatches, 1e-2)
    )

    real = np.asarray(rollout.is_transition)
    clipped = np.clip(rollout.reward, -1, 1)
    targets = np.asarray(pqn.lambda_returns(rollout, clipped, 0.99, 0.65))[real]

    def loss(params):
        q_values = program.network.apply(params, rollout.observation[real])
        return 0.5 * jnp.square(q_values[np.arange(real.sum()), rollout.action[real]] - targets).mean()

    value, gradients = jax.value_and_grad(loss)(params)
    assert report["td_loss"] == pytest.approx(float(value), rel=1e-5)
    theirs = optax.chain(optax.clip_by_global_norm(0.5), optax.radam(1e-2))
    expected = optax.apply_updates(params, theirs.update(gradients, theirs.init(params))[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), state.params, expected)


def test_every_transition_is_learned_from_once_an_epoch(monkeypatch):
    """With a parameter for each, gradient descent goes a fixed part of the way to the target each time."""
    monkeypatch.setattr(pqn, "optimiser", lambda settings: optax.identity())
    settings = pqn.PQN(**SMALL | {"epochs": 3})
    table = types.SimpleNamespace(apply=lambda params, numbers: params[numbers][:, None] + jnp.zeros(3))
    program = pqn.make_program(settings, toys.Corridor(), 1)._replace(network=table)
    rollout = random_rollout(8, 4)._replace(
        observation=jnp.arange(32).reshape(8, 4), is_transition=jnp.ones((8, 4), bool)
    )
    rewards = np.clip(rollout.reward, -1, 1)
    targets = np.asarray(pqn.lambda_returns(rollout, rewards, 0.99, 0.65)).ravel()
    state = pqn.State(jnp.zeros(32), optax.EmptyState(), None, None)
    state, _ = pqn.learn(
        program, settings, state, jax.random.key(0), rollout, jnp.full(settings.epochs * settings.minibatches, 0.8)
    )
    np.testing.assert_allclose(state.params, targets * (1 - (1 - 0.8 / 8) ** 3), rtol=1e-4, atol=1e-6)


def test_episodes_returns_are_those_of_the_game_unclipped():
    """The corridor's return of an episode of length L is L(L+1)/2 + actions / 4; time limits count as ends."""
    settings = pqn.PQN(**SMALL)
    program = pqn.make_program(settings, toys.Corridor(), 1)
    state = pqn.init(program, jax.random.key(0), settings)
    total, episodes, times, rewards = 0.0, 0, [], []
    for number in range(4):
        state, rollout = pqn.play(program, state, jax.random.key(number), 1.0)
        total, episodes = total + float(rollout.returns), episodes + int(rollout.episodes)
        times, rewards = [*times, *rollout.observation[..., 1]], [*rewards, *rollout.reward]
    begins = np.array([*times, state.actors.observation[:, 1]])[1:] == 0
    ends = [np.flatnonzero(lane)[-1] + 1 if lane.any() else 0 for lane in begins.T]
    assert episodes == begins.sum() > 10
    assert total == pytest.approx(sum(np.array(rewards)[:end, lane].sum() for lane, end in enumerate(ends)), rel=1e-5)
    assert total + float(state.running_return.sum()) == pytest.approx(np.sum(rewards), rel=1e-5)


def test_a_rollout_has_the_greatest_value_of_what_was_seen_and_its_ends():
    """The corridor's observation has the time, and its limit of 6 truncates what is longer."""
    settings = pqn.PQN(**SMALL)
    program = pqn.make_program(settings, toys.Corridor(), 1)
    state = pqn.init(program, jax.random.key(0), settings)
    state, _ = pqn.play(program, state, jax.random.key(1), 0.5)
    state, rollout = pqn.play(program, state, jax.random.key(2), 0.5)
    values = (
        program.network.apply(state.params, rollout.observation.reshape(-1, 2)).max(-1).reshape(rollout.value.shape)
    )
    np.testing.assert_allclose(rollout.value, values, rtol=1e-5)
    last = program.network.apply(state.params, state.actors.observation).max(-1)
    np.testing.assert_allclose(rollout.last_value, last, rtol=1e-5)
    truncated, terminated, is_transition = (
        np.asarray(getattr(rollout, name)) for name in ("truncated", "terminated", "is_transition")
    )
    assert truncated.any() and terminated.any() and not is_transition.all()
    np.testing.assert_array_equal(is_transition[1:], ~truncated[:-1])
    time, action = np.asarray(rollout.observation[..., 1]), np.asarray(rollout.action)
    np.testing.assert_allclose(rollout.reward, np.where(is_transition, time + 1 + 0.25 * action, 0.0))
    np.testing.assert_array_equal(truncated, (time == 5) & ~terminated & is_transition)


def test_the_learning_rate_falls_where_it_is_to(monkeypatch):
    """Two rollouts an iteration, two iterations: evenly from update to update, as optax's linear schedule of them."""
    monkeypatch.setattr(
        pqn,
        "learn",
        lambda program, settings, state, key, played, rates: (
            state,
            {"td_loss": rates @ 2.0 ** jnp.arange(-len(rates), 0)},
        ),
    )
    updates = pqn.PQN(**SMALL).epochs * SMALL["minibatches"]
    schedule = optax.linear_schedule(1.0, 0.0, 4 * updates)(jnp.arange(4 * updates)).reshape(2, 2, updates)
    weighed = schedule @ 2.0 ** np.arange(-updates, 0)
    for decays, expected in ((False, [1.0 - 2.0**-updates] * 2), (True, weighed.mean(1).tolist())):
        settings = pqn.PQN(**SMALL, learning_rate=1.0, decay_learning_rate=decays)
        program = pqn.make_program(settings, toys.Corridor(), 128)
        state = pqn.init(program, jax.random.key(0), settings)
        rates = [
            pqn.iteration(program, state, jax.random.key(1), settings, jnp.int32(index))[1]["td_loss"]
            for index in (0, 1)
        ]
        assert [float(rate) for rate in rates] == pytest.approx(expected)


def test_the_first_of_several_runs_is_the_teacher(monkeypatch, tmp_path, capsys):
    """Scored up to the limit, before any ball of Breakout has come back."""
    for seeds in (1, 2):
        run_main(monkeypatch, tmp_path / str(seeds), seeds=seeds, frames=64, evaluation_limit=5)
    assert capsys.readouterr().out.count("scoring the teacher: 2 episodes of at most 5 agent steps\n") == 2
    alone, first = (teachers.load(tmp_path / str(seeds) / "teacher") for seeds in (1, 2))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), alone.params, first.params)
    assert (first.card.evaluation_limit, first.card.score) == (5, 0.0)
    rows = list(csv.DictReader((tmp_path / "2" / "metrics.csv").open()))
    assert [row["seed"] for row in rows] == ["0", "1"] and rows[0]["td_loss"] != rows[1]["td_loss"]


def test_it_learns_cartpole():
    """Several times a random policy's return within 60,000 steps."""
    gymnax = pytest.importorskip("gymnax")
    environment, params = gymnax.make("CartPole-v1")
    settings = pqn.PQN(
        iteration_steps=20_480, num_environments=16, rollout_steps=16, minibatches=4, epochs=4, network="mlp", widths=(64, 64),
        learning_rate=1e-3, epsilon_end=0.05, epsilon_fraction=0.5, decay_learning_rate=True,
    )  # fmt: skip
    program = pqn.make_program(settings, environment, 61_440)._replace(env_params=params)
    state = pqn.init(program, jax.random.key(0), settings)
    step = jax.jit(functools.partial(pqn.iteration, program))
    returns = []
    for index in range(program.iterations):
        state, metrics = step(state, jax.random.key(0), settings, jnp.int32(index))
        returns.append(float(metrics["mean_return"]))
    assert returns[-1] > 80 > 2 * 22 and returns[-1] > 2 * returns[0]  # a random policy's are 22


def run_main(monkeypatch, output, *more, **options):
    given = SMALL | {"frames": 192, "environment": "minatar/breakout", "card_episodes": 2, "widths": "8"} | options
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    monkeypatch.setattr(sys, "argv", ["pqn.py", f"--output={output}", *flags, *more])
    pqn.main()


def test_a_run_that_was_stopped_goes_on_to_the_same_teacher(monkeypatch, tmp_path):
    run_main(monkeypatch, tmp_path / "whole")
    made = functools.partial(pqn.devices.over_runs)
    calls = []

    def stops(function, *arguments, **options):
        compiled = made(function, *arguments, **options)

        def call(*values):
            calls.append(function)
            if len([one for one in calls if one is function]) == 3:
                raise KeyboardInterrupt
            return compiled(*values)

        call.lower = compiled.lower
        return call if options else compiled

    with monkeypatch.context() as patch:
        patch.setattr(pqn.devices, "over_runs", stops)
        with pytest.raises(SystemExit):
            run_main(monkeypatch, tmp_path / "run", "--tensorboard")
    assert not (tmp_path / "run" / "teacher").exists()
    assert event_files.assert_follow(tmp_path / "run")["seed=0"]["online/td_loss"][-1][0] < 192
    run_main(monkeypatch, tmp_path / "run", "--resume", "--tensorboard")
    assert event_files.assert_follow(tmp_path / "run")["seed=0"]["online/td_loss"][-1][0] == 192
    whole, resumed = (teachers.load(tmp_path / name / "teacher") for name in ("whole", "run"))
    jax.tree.map(np.testing.assert_array_equal, whole.params, resumed.params)
    assert whole.card.score == resumed.card.score and whole.fingerprint() == resumed.fingerprint()
    rows = [list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("whole", "run")]
    for one, other in zip(*rows, strict=True):
        assert {**one, "seconds": ""} == {**other, "seconds": ""}
    assert [row["frames"] for row in rows[0]] == ["64", "128", "192"]
    assert whole.card.algorithm == "PQN" and whole.card.frames == 192


def test_a_run_that_ended_goes_on_as_one_that_was_longer_from_the_beginning(monkeypatch, tmp_path, capsys):
    """Exploration falls throughout the first two of three iterations, in each case."""
    schedule = {"decay_frames": 128, "epsilon_fraction": 1}
    run_main(monkeypatch, tmp_path / "whole", frames=192, **schedule)
    run_main(monkeypatch, tmp_path / "run", frames=128, epsilon_fraction=1)
    run_main(monkeypatch, tmp_path / "run", "--resume", frames=192, epsilon_fraction=1)
    whole, longer = (teachers.load(tmp_path / name / "teacher") for name in ("whole", "run"))
    jax.tree.map(np.testing.assert_array_equal, whole.params, longer.params)
    assert longer.card.frames == 192 and whole.card.score == longer.card.score
    epsilon = [float(row["epsilon"]) for row in csv.DictReader((tmp_path / "run" / "metrics.csv").open())]
    np.testing.assert_allclose(epsilon, [1 - 0.999 * (0 + 1) / 8, 1 - 0.999 * (2 + 3) / 8, 0.001], rtol=1e-5)
    for frames, message in (
        ({"frames": 256, "decay_frames": 256}, "decay_frames 128 there, 256 now"),
        ({"frames": 128}, f"frames is 128, but the run in {tmp_path / 'run'} has done 192; give at least that"),
    ):
        with pytest.raises(SystemExit):
            run_main(monkeypatch, tmp_path / "run", "--resume", **{"epsilon_fraction": 1} | frames)
        assert message in capsys.readouterr().err
    assert teachers.load(tmp_path / "run" / "teacher").card.frames == 192


def test_runs_go_on_from_a_teacher(monkeypatch, tmp_path, capsys):
    """At a rate of 0 nothing but its parameters is left of them; its frames count, and it is in the identity."""
    run_main(monkeypatch, tmp_path / "first", frames=64)
    start = teachers.load(tmp_path / "first" / "teacher")
    more = {
        "teacher": tmp_path / "first" / "teacher",
        "frames": 128,
        "environment_options": "sticky_action_probability=0",
    }
    run_main(monkeypatch, tmp_path / "second", learning_rate=0, seeds=2, **more)
    found = teachers.load(tmp_path / "second" / "teacher")
    jax.tree.map(np.testing.assert_array_equal, found.params, start.params)
    assert found.card.frames == 64 + 128
    first, second = found.card.command.split(" && ")
    assert first == start.card.command and "--frames=128" in second
    identity = json.loads((tmp_path / "second" / "config.json").read_text())["identity"]
    assert identity["settings"]["begins_as"] == start.fingerprint()
    for wrong, message in (
        ({"widths": "9"}, "is another (widths (8,) there, (9,) here); give the flags that it has"),
        (
            {"environment": "minatar/asterix", "environment_options": ""},
            "the teacher was trained on 'minatar/breakout'",
        ),
    ):
        with pytest.raises(SystemExit):
            run_main(monkeypatch, tmp_path / "third", **more | wrong)
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_main(monkeypatch, tmp_path / "first", **more)
    assert "which would be moved aside with the earlier run" in capsys.readouterr().err


def test_a_teacher_that_saw_other_frames_is_none_to_go_on_from(monkeypatch):
    fake_console.install(monkeypatch)
    program = pqn.make_program(pqn.PQN(), purejaxrrl.make("atari/breakout", frame_skip=2), 1)
    options = pqn.Options(environment="atari/breakout", teacher=str(teachers.shipped("atari/breakout")))
    with pytest.raises(ValueError, match=r"was made with other options \(frame_skip .*2 here\)"):
        pqn.load_start(options, program)


def test_what_does_not_fit_the_memory_is_refused_with_what_fits(monkeypatch, tmp_path, capsys):
    """Before anything is compiled: by default 128 stacks of 28,224 bytes in each of 32 steps, and a 32nd of these once more."""
    fake_console.install(monkeypatch)
    program = pqn.make_program(pqn.PQN(), purejaxrrl.make("atari/breakout"), 1)
    state = jax.eval_shape(functools.partial(pqn.init, program), jax.random.key(0), program.settings)
    rollout = 32 * 128 * (28_224 + 4 + 4 + 3 + 4) + 128 * 4 + 8
    run = pqn.space.size(state) + rollout + rollout // 32
    # An iteration is whole with 128, 80, 64, 40, 32, 20, 16 or 10 environments.
    for runs, room, largest, too_many in (
        (1, run, 128, None),
        (1, run - 1, 80, 128),
        (3, 2 * run, 64, 80),
        (3, run, 20, 32),
    ):
        monkeypatch.setattr(pqn.space, "available_bytes", lambda devices=1, room=room: room)
        pqn.check_space(program._replace(settings=pqn.PQN(num_environments=largest)), runs)
        if too_many:
            with pytest.raises(ValueError, match="environments of at most"):
                pqn.check_space(program._replace(settings=pqn.PQN(num_environments=too_many)), runs)
            with pytest.raises(ValueError) as error:
                pqn.check_space(program, runs)
            assert str(error.value) == (
                f"{runs} run{'s' if runs > 1 else ''} of 128 environments and rollouts of 32 steps would take {runs * run:,} bytes "
                f"({runs * rollout:,} of it rollouts), and {room:,} are available; take --num-environments of at most {largest}"
            )
    monkeypatch.setattr(pqn.space, "available_bytes", lambda devices=1: 1_000_000)
    monkeypatch.setattr(sys, "argv", ["pqn.py", f"--output={tmp_path / 'run'}"])
    with pytest.raises(SystemExit):
        pqn.main()
    assert "1,000,000 are available; no number of environments fits" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_card_that_may_never_be_scored_is_refused_before_the_training(monkeypatch, tmp_path, capsys):
    environment = toys.Corridor()
    environment.default_params = types.SimpleNamespace(limit=6, max_steps_in_episode=2**31 - 1)
    monkeypatch.setattr(pqn.experiment, "make", lambda options: environment)
    with pytest.raises(SystemExit):
        run_main(monkeypatch, tmp_path / "run")
    assert "an episode of toy/corridor may have 2,147,483,647 agent steps" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("frames", "more"), [(10, "; 10 were asked for; an iteration is 64"), (64, "")])
def test_frames_that_are_rounded_up_are_told(frames, more, monkeypatch, tmp_path, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pqn.experiment, "open_folder", stop)
    with pytest.raises(SystemExit):
        run_main(monkeypatch, tmp_path / "run", frames=frames)
    assert f"1 run of 64 frames (64 agent steps{more})\n" in capsys.readouterr().out


@pytest.mark.slow
def test_minatars_network_with_its_norm_is_trained_and_saved(monkeypatch, tmp_path):
    run_main(monkeypatch, tmp_path / "run", network="minatar_cnn", seeds=2, frames=64)
    teacher = teachers.load(tmp_path / "run" / "teacher")
    assert dict(teacher.network.options) == {"layer_norm": True, "initialiser": "he_normal"}
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [row["seed"] for row in rows] == ["0", "1"]


def test_exploration_falls_over_its_fraction_of_training():
    settings = pqn.PQN(**SMALL | {"epsilon_fraction": 0.5})
    program = pqn.make_program(settings, toys.Corridor(), 256)
    assert program.iterations == 4
    state, key = pqn.init(program, jax.random.key(0), settings), stream(jax.random.key(0), Purpose.ONLINE)
    step = jax.jit(functools.partial(pqn.iteration, program))
    found = [float(step(state, key, settings, jnp.int32(index))[1]["epsilon"]) for index in range(4)]
    # Two rollouts of 32 steps an iteration; the first half of 256 steps.
    expected = [1 - 0.999 * np.mean([0, 0.25]), 1 - 0.999 * np.mean([0.5, 0.75]), 0.001, 0.001]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"minibatches": 5}, "minibatches is 5, which does not divide the 32 transitions"),
        ({"iteration_steps": 100}, "iteration_steps is 100; it must be a multiple of a rollout's 32"),
        ({"widths": (8, 0)}, r"widths is \(8, 0\); a layer has at least 1 unit"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        pqn.PQN(**SMALL | values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--environment=gymnax/Pendulum-v1"], "Pendulum-v1's actions are a Box"),
        (["--environment=gymnax/CartPole-v1", "--frames=2147483647"], "frames is 2147483647"),
        (["--environment=gymnax/CartPole-v1", "--decay-frames=2147483647"], "decay_frames is 2147483647"),
        (
            ["--environment=gymnax/CartPole-v1", "--frames=200000", "--decay-frames=100000", "--decay-learning-rate"],
            "frames is 200000 and decay_frames 100000, after which the learning rate is 0",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_moved(arguments, message, monkeypatch, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(sys, "argv", ["pqn.py", "--network=mlp", f"--output={tmp_path / 'run'}", *arguments])
    with pytest.raises(SystemExit) as end:
        pqn.main()
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
