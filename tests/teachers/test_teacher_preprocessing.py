"""What a card says of an environment, which teachers fit it, and FIRE pressed for one that never learned to."""

import dataclasses
import warnings

import fake_console
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import environments, networks, teachers
from purejaxrrl.environments.atari import environment as environment_module
from purejaxrrl.evaluation import playing
from purejaxrrl.replay import acting
from purejaxrrl.runs import experiment
from purejaxrrl.students import jsrl, qdagger
from purejaxrrl.students.hyperparameters import as_arrays
from purejaxrrl.students.settings import DQN, QDagger
from purejaxrrl.teachers import datasets, preprocessing
from purejaxrrl.teachers import teacher as teacher_module

LANES = 2


@pytest.fixture(scope="module")
def make():
    """Atari's Breakout with a console that is quick to compile: the reward of a frame is the executed action."""
    with pytest.MonkeyPatch.context() as patch:
        fake_console.install(patch)
        yield lambda **options: environment_module.Atari("breakout", **options)


@pytest.fixture(scope="module")
def breakout(make):
    return make(sticky_action_probability=0.0, terminal_on_life_loss=True, clip_rewards=True, noop_max=3)


def idle_teacher(environment, **card):
    """It never does anything."""
    about = {
        "environment": environment.name, "output": "q_values", "num_actions": 4, "observation_shape": (84, 84, 4), "score": 2.0,
        "random_score": 1.0, "evaluation_episodes": 1, "frames": 0,
        "environment_options": {"sticky_action_probability": 0.0, "noop_max": 3},
    }  # fmt: skip
    return teachers.Teacher(idle, None, teachers.Card(**about | card))


def idle(params, observations):
    return jnp.zeros((observations.shape[0], 4)).at[:, 0].set(1.0)


def test_a_card_says_all_of_the_preprocessing(breakout):
    assert preprocessing.described(breakout, reward_clip=1.0) == {
        "frame_skip": 4, "sticky_action_probability": 0.0, "max_frames_in_episode": 108_000, "full_action_set": False,
        "noop_max": 3, "fire_on_reset": False, "clip_rewards": True, "terminal_on_life_loss": True, "mode": None,
        "difficulty": 0, "num_start_states": 8, "reward_clip": 1.0,
    }  # fmt: skip


def test_an_environment_of_other_people_says_what_it_says():
    class Theirs:
        options = {"gravity": 9.8}

    assert preprocessing.described(Theirs()) == {"gravity": 9.8}


def test_a_teacher_of_the_same_game_fits_whatever_is_for_training_only(breakout, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        teachers.check_fits(idle_teacher(breakout), breakout)
        teachers.check_fits(idle_teacher(breakout), make(sticky_action_probability=0.0, noop_max=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_skip": 5}, "frame_skip 5 there, default here"),
        ({"full_action_set": True}, "full_action_set True there, default here"),
    ],
)
def test_a_teacher_that_sees_or_does_something_else_is_refused(breakout, options, message):
    teacher = idle_teacher(breakout)
    card = dataclasses.replace(teacher.card, environment_options=teacher.card.environment_options | options)
    with pytest.raises(ValueError, match=f"{message}.*sees or does something else"):
        teachers.check_fits(dataclasses.replace(teacher, card=card), breakout)

    # It is what it was trained with that counts, wherever its scores were played.
    trained = idle_teacher(breakout, training=preprocessing.described(breakout, reward_clip=1.0) | options)
    (name, value), here = next(iter(options.items())), preprocessing.described(breakout)
    with pytest.raises(ValueError, match=f"{name} {value} there, {here[name]} here.*sees or does something else"):
        teachers.check_fits(trained, breakout)


def test_other_differences_are_a_warning(make):
    other = make(noop_max=3, max_frames_in_episode=40)
    with pytest.warns(
        UserWarning, match="max_frames_in_episode default there, 40 here, sticky_action_probability 0.0 there, default"
    ):
        teachers.check_fits(idle_teacher(other), other)


def test_what_a_teacher_was_trained_with_is_told_in_one_line(make, breakout):
    """Once, however often it is asked for; and not at all where it is the same, or the card does not say."""
    environment, training = make(), preprocessing.described(breakout, reward_clip=1.0)
    told = (
        "the teacher was trained with clip_rewards True (False here), noop_max 3 (0 here), "
        "sticky_action_probability 0.0 (0.25 here), terminal_on_life_loss True (False here); "
    )
    here = idle_teacher(environment, environment_options={}, training=training)
    elsewhere = idle_teacher(environment, training=training | {"of_another_release": 1})
    for teacher, scores in (
        (here, "the scores on its card were played in this environment"),
        (
            elsewhere,
            "the teacher's atari/breakout was made with other options (noop_max 3 there, default here, sticky_action_probability 0.0 "
            "there, default here): the scores on its card were played there",
        ),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            teachers.check_fits(teacher, environment)
            datasets.collect(jax.random.key(0), environment, teacher, 8 * LANES, num_environments=LANES)
        assert [str(each.message) for each in caught if each.category is UserWarning] == [told + scores]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        teachers.check_fits(idle_teacher(breakout, training=training), breakout)


def test_scores_are_played_anew_in_the_students_environment(make, tmp_path, monkeypatch):
    """Of the fake game: 30 frames of action 0; the random policy's mean action is 2 (of 0, 1, 3 and 4)."""
    environment = make(sticky_action_probability=0.0, clip_rewards=True, terminal_on_life_loss=True)
    teacher = dataclasses.replace(idle_teacher(environment), params=jnp.zeros(()))
    again = teachers.scored_anew(jax.random.key(0), teacher, environment, epsilon=0.0, episodes=32)
    assert (again.card.score, again.card.evaluation_episodes) == (0.0, 32)
    assert again.card.random_score == pytest.approx(32 * 2.0, rel=0.2)
    assert again.card.environment_options == {"sticky_action_probability": 0.0}

    # A program does it where the card's environment differs, and only there.
    loaded = dataclasses.replace(teacher, card=dataclasses.replace(teacher.card, score=99.0, random_score=98.0))
    monkeypatch.setattr(teachers, "load", lambda path: loaded)
    monkeypatch.setattr(teachers, "scored_anew", lambda key, teacher, *_, **given: dataclasses.replace(
        teacher, card=dataclasses.replace(teacher.card, score=7.0, random_score=0.0, environment_options={"noop_max": 3})
    ))  # fmt: skip
    options = experiment.Options(teacher="somewhere", scoring_episodes=5)
    with pytest.warns(UserWarning, match="sticky_action_probability"):
        assert experiment.fitted(options, loaded, make(noop_max=3), 0.0).card.score == 7.0
    assert experiment.fitted(options, loaded, make(sticky_action_probability=0.0, noop_max=3), 0.0).card.score == 99.0


def test_a_teacher_whose_game_may_never_end_is_refused_before_its_data_are_collected(make):
    environment = make(sticky_action_probability=0.0, noop_max=3, max_frames_in_episode=2147483644)
    with pytest.raises(ValueError, match="an episode of atari/breakout may have 536,870,911 agent steps"):
        experiment.fitted(experiment.Options(), idle_teacher(environment), environment, 0.0)


def test_a_student_graduates_where_students_are_scored(make, monkeypatch):
    """Not where a lost life ends an episode and rewards are clipped, whatever environment it was trained in."""
    played = []
    monkeypatch.setattr(teacher_module, "score", lambda key, apply, weights, environment, *_, **__: played.append(
        environments.options_of(environment)
    ) or teacher_module.Score(1.0, 0.5))  # fmt: skip
    environment = make(noop_max=3, clip_rewards=True, terminal_on_life_loss=True)
    network = networks.describe("nature_cnn", 4, (84, 84, 4), width=1 / 32)
    made = teachers.graduate(
        jax.random.key(0), network, network.init(jax.random.key(1)), environment, environment.default_params,
        epsilon=0.0, episodes=2, frames=0,
    )  # fmt: skip
    assert played == [{"noop_max": 3}] * 2 and made.card.environment_options == {"noop_max": 3}


def test_students_are_scored_without_what_is_for_training_only(make):
    environment = make(noop_max=3, clip_rewards=True, terminal_on_life_loss=True)
    settings = DQN(network="nature_cnn", width=1 / 32, capacity=400)
    program = qdagger.program(settings, environment)
    assert environments.options_of(program.evaluation_environment) == {"noop_max": 3}
    assert program.environment is environment


def test_a_teacher_that_is_to_press_fire_is_scored_so(make, monkeypatch):
    environment = make(sticky_action_probability=0.0, noop_max=3)
    monkeypatch.setattr(
        teachers,
        "scored_anew",
        lambda key, teacher, *_, **given: dataclasses.replace(
            teacher, card=dataclasses.replace(teacher.card, score=7.0)
        ),
    )
    for fires, score in ((False, 2.0), (True, 7.0)):
        options = experiment.Options(teacher="somewhere", teacher_fires=fires)
        teacher = idle_teacher(environment)
        assert experiment.fitted(options, teacher, environment, 0.0).card.score == score
    # A run that is resumed has the scores that it began with.
    before = {"sha256": teacher.fingerprint(), "score": 7.5, "random_score": 0.5, "evaluation_episodes": 100}
    options = experiment.Options(teacher="somewhere", teacher_fires=True, scoring_episodes=100)
    for change, score in (({}, 7.5), ({"sha256": "another"}, 7.0), ({"evaluation_episodes": 99}, 7.0)):
        assert experiment.fitted(options, teacher, environment, 0.0, before=before | change).card.score == score
    assert experiment.fitted(options, teacher, environment, 0.25, before=before).card.evaluation_epsilon == 0.25


def test_fire_is_pressed_while_a_teacher_is_scored(make):
    """Three lives of the fake game, in each of which FIRE is followed by four frames of reward 1."""
    environment = make(sticky_action_probability=0.0)
    teacher = dataclasses.replace(idle_teacher(environment, fire_after_life_loss=True), params=jnp.zeros(()))
    assert teachers.scored_anew(jax.random.key(0), teacher, environment, epsilon=0.0, episodes=4).card.score == 12.0
    options = experiment.Options(environment="atari/breakout", teacher_fires=True)
    assert experiment.load_teacher(options).card.fire_after_life_loss


def due(steps):
    """Where FIRE is due, bool `[rows, LANES]`: an episode's first rows, and rows after a lost life, as the game reports them."""
    after_a_loss = np.zeros_like(steps.is_first)
    after_a_loss[1:] = steps.terminated[:-1]
    return steps.is_first | (after_a_loss & steps.is_transition)


def test_fire_is_pressed_at_first_and_after_lost_lives_and_kept_as_what_was_done(breakout):
    teacher = idle_teacher(breakout, fire_after_life_loss=True)
    data = datasets.collect(jax.random.key(0), breakout, teacher, 40 * LANES, epsilon=0.0, num_environments=LANES)
    steps = jax.tree.map(np.asarray, data.ring)
    assert (steps.terminated & ~np.roll(steps.is_first, -1, axis=0))[:-1].any()
    np.testing.assert_array_equal(steps.action == breakout.actions.index(1), due(steps))
    assert (steps.action[~due(steps)] == 0).all()
    without = datasets.collect(
        jax.random.key(0), breakout, idle_teacher(breakout), 40 * LANES, epsilon=0.0, num_environments=LANES
    )
    assert (without.ring.action == 0).all()


def test_fire_counts_in_scores(make):
    """An episode of the fake game has three lives: FIRE three times, each for four frames of reward 1."""
    environment = make(sticky_action_probability=0.0)

    def returns(fire_action):
        policy = lambda key, observations: jnp.zeros(LANES, jnp.int32)  # noqa: E731
        return playing.play(
            jax.random.key(0), environment, environment.default_params, policy, LANES, fire_action=fire_action
        ).returns

    assert (returns(None) == 0).all() and (returns(1) == 12).all()


def test_fire_is_pressed_where_the_teacher_acts_for_a_student(breakout):
    teacher = idle_teacher(breakout, fire_after_life_loss=True)
    settings = QDagger(
        offline_iterations=0, num_environments=LANES, capacity=200, batch_size=2, network="nature_cnn", width=1 / 32, max_n_step=3,
        roll_in_steps=1, guide_probability=1.0, guide_decay_steps=10**9, target_period=1, iteration_steps=40,
    )  # fmt: skip
    program, settings = qdagger.program(settings, breakout, teacher), as_arrays(settings)
    state = qdagger.init(program, jax.random.key(0), program.settings)
    step = jax.jit(
        lambda state, row: qdagger.act(program, settings, state, jax.random.fold_in(jax.random.key(1), row), row)
    )
    for row in range(30):
        state = step(state, jnp.int32(row))
    steps = jax.tree.map(lambda leaf: np.asarray(leaf)[:30], state.ring)
    np.testing.assert_array_equal(steps.action, due(steps).astype(int))


def test_fire_stays_due_until_it_is_pressed():
    """Nobody presses it in the first step of both episodes, and in the second one in that after a lost life."""
    fires = jsrl.init(2, fires=True)
    yes, no = np.array([True, True]), np.array([False, False])
    after = lambda roll_in, pressed, first=no, lives=(3, 3): jsrl.after(roll_in, yes, first, jnp.array(lives), pressed)  # noqa: E731
    fires = after(fires, no)
    np.testing.assert_array_equal(fires.fire.due, yes)
    fires = after(fires, yes)
    np.testing.assert_array_equal(fires.fire.due, no)
    fires = after(fires, no, lives=(2, 3))
    fires = after(fires, no, lives=(2, 2))
    np.testing.assert_array_equal(fires.fire.due, yes)
    fires = after(fires, np.array([True, False]), lives=(2, 2))
    np.testing.assert_array_equal(fires.fire.due, [False, True])


def test_what_is_taught_where_fire_is_due_is_fire():
    """Its value is exchanged with the best one's, also where another action is as good; elsewhere the output stays."""
    output = jnp.array([[3.0, 1.0, 2.0], [3.0, 1.0, 3.0], [1.0, 3.0, 2.0], [0.0, 0.0, 0.0], [3.0, 1.0, 2.0]])
    due = acting.Fire(jnp.zeros(5, jnp.int32), jnp.array([True, True, True, True, False]))
    taught = acting.with_fire(output, due, 1)
    np.testing.assert_allclose(taught, [[1, 3, 2], [1, 3, 3], [1, 3, 2], [0, 0, 0], [3, 1, 2]], atol=1e-30)
    np.testing.assert_array_equal(taught.argmax(-1), [1, 1, 1, 1, 0])


def test_students_are_taught_to_press_fire(breakout):
    """In the data and in what the student plays itself: everywhere until it is pressed, which an idle student never does."""
    teacher = idle_teacher(breakout, fire_after_life_loss=True)
    data = datasets.collect(jax.random.key(0), breakout, teacher, 40 * LANES, epsilon=0.0, num_environments=LANES)
    np.testing.assert_array_equal(np.asarray(data.ring.teacher_output).argmax(-1), np.asarray(data.ring.action))
    settings = QDagger(
        offline_iterations=0, num_environments=LANES, capacity=200, batch_size=2, network="nature_cnn", width=1 / 32, max_n_step=3,
        target_period=1, iteration_steps=40, epsilon_start=0.0, epsilon_end=0.0,
    )  # fmt: skip
    program, settings = qdagger.program(settings, breakout, teacher), as_arrays(settings)
    state = qdagger.init(program, jax.random.key(0), program.settings)
    idle = jax.tree.map(jnp.zeros_like, state.learner.params)  # all actions are as good: the first, NOOP
    state = state._replace(learner=state.learner.replace(params=idle))
    step = jax.jit(lambda state, row: qdagger.act(program, settings, state, jax.random.key(1), row))
    for row in range(10):
        state = step(state, jnp.int32(row))
    steps = jax.tree.map(lambda leaf: np.asarray(leaf)[:10], state.ring)
    assert (steps.action == 0).all() and (steps.teacher_output.argmax(-1) == breakout.actions.index(1)).all()


def test_a_game_without_fire_refuses_such_a_teacher(make):
    environment = make(sticky_action_probability=0.0, noop_max=3)
    environment.actions = (0, 3, 4, 2)
    with pytest.raises(ValueError, match="atari/breakout has no action FIRE"):
        teachers.check_fits(idle_teacher(environment, fire_after_life_loss=True), environment)
