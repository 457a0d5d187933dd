import json

import jax
import numpy as np
import pytest

import purejaxrrl
from purejaxrrl import environments
from purejaxrrl.environments import base

BATCH = ("atari/pong", "atari/breakout")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("minatar/breakout", "", {}),
        ("minatar/breakout", "sticky_action_probability=0", {"sticky_action_probability": 0.0}),
        ("atari/pong", " clip_rewards=true, frame_skip = 2,", {"clip_rewards": True, "frame_skip": 2}),
        ("atari/pong", "mode=1,difficulty=0", {"mode": 1, "difficulty": 0}),
        ("atari/pong", "max_frames_in_episode=1e5", {"max_frames_in_episode": 100_000}),
        ("atari/pong", "sticky_action_probability=1e+0", {"sticky_action_probability": 1.0}),
        (BATCH, "mode=0+4,noop_max=30", {"mode": (0, 4), "noop_max": 30}),
        ("gymnax/Catch-bsuite", "rows=5,on=true,p=0.5,what=it", {"rows": 5, "on": True, "p": 0.5, "what": "it"}),
    ],
)
def test_options_of_a_command_line_have_their_types(name, text, expected):
    found = environments.parse_options(name, text)
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("minatar/breakout", "sticky=0.1", "minatar/breakout has no option 'sticky'; .* sticky_action_probability"),
        ("atari/pong", "clip=1", "atari/pong has no option 'clip'; the nearest are .*clip_rewards"),
        (BATCH, "clip=1", r"atari/pong\+atari/breakout has no option 'clip'"),
        (
            "minatar/breakout",
            "sticky_action_probability=often",
            "sticky_action_probability is 'often'; .* of type float",
        ),
        (
            "minatar/breakout",
            "sticky_action_probability=1.5",
            r"sticky_action_probability is 1.5; it must lie in \[0, 1\]",
        ),
        ("atari/pong", "clip_rewards=maybe", "clip_rewards is 'maybe'; it must be of type bool"),
        ("atari/pong", "frame_skip=1e999", "frame_skip is '1e999'; it must be of type int"),
        ("atari/pong", "frame_skip=2+4", "frame_skip is '2\\+4'; it must be of type int"),
        ("atari/pong", "frame_skip=4.5", "frame_skip is '4.5'; it must be of type int"),
        ("atari/pong", "frame_skip=7", "max_frames_in_episode is 108000; .* multiple of frame_skip, 7"),
        ("atari/pong", "frame_skip=0", "frame_skip is 0; it must be at least 1"),
        ("atari/pong", "mode=first", "mode is 'first'; it must be of type int"),
        ("atari/pong", "frame_skip", "'frame_skip' is not of the form name=value"),
        ("atari/pong", "frame_skip=2,frame_skip=4", "'frame_skip' is given twice: 2 and 4"),
        ("atari/pog", "frame_skip=2", "unknown environment 'atari/pog'; the nearest are .*atari/pong"),
    ],
)
def test_wrong_options_are_refused_with_the_value_and_the_remedy(name, text, message):
    with pytest.raises(ValueError, match=message):
        environments.parse_options(name, text)


def test_make_knows_its_options():
    with pytest.raises(
        ValueError, match="minatar/breakout has no option 'stickiness'; the nearest are sticky_action_prob"
    ):
        purejaxrrl.make("minatar/breakout", stickiness=0.2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("minatar/breakout", {"sticky_action_probability": "1e-1"}, "is '1e-1'; it must be of type float"),
        ("atari/breakout", {"frame_skip": "4"}, "frame_skip is '4'; it must be of type int"),
    ],
)
def test_text_for_a_number_is_refused_in_words(name, options, message):
    with pytest.raises(ValueError, match=message):
        purejaxrrl.make(name, **options)


def test_an_environments_options_make_it_again():
    environment = purejaxrrl.make("minatar/breakout", sticky_action_probability=0)
    options = json.loads(json.dumps(environments.options_of(environment)))
    assert options == {"sticky_action_probability": 0.0}
    assert environments.options_of(purejaxrrl.make("minatar/breakout", **options)) == options
    assert environments.options_of(purejaxrrl.make("minatar/breakout", sticky_action_probability=0.1)) == {}


def test_a_minatar_step_is_one_frame_and_training_is_evaluation():
    environment = purejaxrrl.make("minatar/breakout")
    assert environments.frames_per_step(environment) == 1
    assert environments.for_evaluation(environment) is environment


class Clipped:
    """An environment of which clipping is for training."""

    name, frames_per_step, num_actions, default_params = "clipped", 4, 2, None

    def __init__(self, **options):
        self.options = options

    def for_evaluation(self):
        return Clipped() if self.options else self

    def reset(self, key, params=None):
        return np.zeros(2), 0


def test_the_statistics_wrapper_is_around_the_evaluations_environment():
    wrapped = base.EpisodeStatistics(Clipped(clip_rewards=True))
    assert environments.options_of(wrapped) == {"clip_rewards": True} and environments.frames_per_step(wrapped) == 4
    played = environments.for_evaluation(wrapped)
    assert isinstance(played, base.EpisodeStatistics) and environments.options_of(played) == {}
    assert environments.for_evaluation(played) is played


class Foreign:
    """Somebody else's wrapper, which forwards what it does not have, as gymnax's do."""

    def __init__(self, environment):
        self._env = environment

    def __getattr__(self, name):
        return getattr(self._env, name)


def test_a_foreign_wrapper_is_not_taken_off_without_a_word():
    around = Foreign(Clipped())
    assert environments.for_evaluation(around) is around
    with pytest.raises(ValueError, match="Foreign wraps clipped with {'clip_rewards': True}.* a method for_evaluation"):
        environments.for_evaluation(Foreign(Clipped(clip_rewards=True)))


def test_an_environment_that_says_nothing_has_no_options_and_frames_of_one_step():
    class Silent:
        name = "silent"

    silent = Silent()
    assert environments.for_evaluation(silent) is silent
    assert (environments.frames_per_step(silent), environments.options_of(silent)) == (1, {})


def test_the_sticky_probability_of_an_option_acts():
    """With probability 1 the last action, at first none, is repeated for ever."""
    options = environments.parse_options("minatar/breakout", "sticky_action_probability=1")
    environment = purejaxrrl.make("minatar/breakout", **options)
    observation, state = environment.reset(jax.random.key(0))
    stepped = jax.jit(environment.step)(jax.random.key(1), state, 1)[0]
    np.testing.assert_array_equal(stepped[9, :, 0], observation[9, :, 0])
