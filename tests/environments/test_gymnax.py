"""Their environments in our code, and ours in theirs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

gymnax = pytest.importorskip("gymnax")
from gymnax import wrappers  # noqa: E402

import purejaxrrl  # noqa: E402
from purejaxrrl import environments, replay, teachers  # noqa: E402
from purejaxrrl.environments import base, minatar  # noqa: E402
from purejaxrrl.evaluation import playing  # noqa: E402
from purejaxrrl.replay import acting  # noqa: E402


@pytest.fixture(scope="module")
def cart_pole():
    return purejaxrrl.make("gymnax/CartPole-v1")


def test_gymnax_environments_have_our_protocol(cart_pole):
    assert isinstance(cart_pole, environments.Environment)
    assert (cart_pole.name, cart_pole.num_actions) == ("CartPole-v1", 2)


def test_an_unknown_gymnax_environment_gets_the_nearest_names():
    with pytest.raises(ValueError, match="unknown gymnax environment 'CartPol-v1'; the nearest are .*CartPole-v1"):
        purejaxrrl.make("gymnax/CartPol-v1")


def test_a_memory_for_cart_pole_keeps_its_observations(cart_pole):
    memory = replay.memory_for(cart_pole, cart_pole.default_params, 64, 4, 3)
    assert memory.codec == replay.Plain((4,), jnp.dtype(jnp.float32))


def test_a_teacher_can_be_checked_against_cart_pole(cart_pole):
    card = teachers.Card("CartPole-v1", "q_values", 2, (4,), 100.0, 20.0, 5, 100)
    teachers.check_fits(teachers.Teacher(lambda params, seen: seen[:, :2], None, card), cart_pole)
    with pytest.raises(ValueError, match="not 'CartPole-v1'"):
        teachers.check_fits(teachers.Teacher(lambda params, seen: seen, None, CARD_OF_BREAKOUT), cart_pole)


CARD_OF_BREAKOUT = teachers.Card("minatar/breakout", "q_values", 3, (10, 10, 4), 100.0, 20.0, 5, 100)


def test_cart_pole_episodes_are_played_to_their_end_or_limit(cart_pole):
    """The reward is 1 a step, so returns are lengths; leaning with the pole balances for long, one action does not."""
    params = cart_pole.default_params.replace(max_steps_in_episode=120)

    @jax.jit
    def play(key, gain):
        def policy(key, seen):
            return (seen @ jnp.array([0.1, 0.5, 1.0, 1.0]) * gain > 0).astype(jnp.int32)

        return playing.play(key, cart_pole, params, policy, 20)

    balanced, fallen = play(jax.random.key(0), 1.0), play(jax.random.key(0), 0.0)
    np.testing.assert_array_equal(balanced.returns, np.full(20, 120.0))
    np.testing.assert_array_equal(balanced.steps, np.full(20, 120))
    np.testing.assert_array_equal(fallen.returns, fallen.steps)
    assert ((fallen.steps >= 8) & (fallen.steps <= 11)).all()


def test_cart_poles_time_limit_bootstraps_from_its_last_observation(cart_pole):
    params = cart_pole.default_params.replace(max_steps_in_episode=5)  # too soon to fall

    @jax.jit
    def record(key):
        def play(actors, key):
            actions = (actors.observation[:, 2] > 0).astype(jnp.int32)
            actors, row, _ = acting.act(key, cart_pole, params, actors, actions, jnp.zeros((3, 2)))
            return actors, row

        return jax.lax.scan(play, acting.reset(key, cart_pole, params, 3), jax.random.split(key, 18))[1]

    rows = jax.tree.map(np.asarray, record(jax.random.key(0)))
    np.testing.assert_array_equal(rows.is_transition[:, 0], ([True] * 5 + [False]) * 3)
    np.testing.assert_array_equal(rows.truncated[:, 0], ([False] * 4 + [True, False]) * 3)
    assert not rows.terminated.any()
    # x' = x + tau * x_dot also into the last observation, and not into the first of the next episode.
    moves = rows.observation[1:, :, 0] - rows.observation[:-1, :, 0] - 0.02 * rows.observation[:-1, :, 1]
    np.testing.assert_allclose(moves[rows.is_transition[:-1]], 0.0, atol=1e-6)
    assert (abs(moves[~rows.is_transition[:-1]]) > 1e-6).all()


def test_gymnax_wrappers_step_our_environment():
    """LogWrapper over FlattenObservationWrapper, as gymnax's trainers have it, against our own statistics."""
    ours = purejaxrrl.make("minatar/breakout")
    theirs = wrappers.LogWrapper(wrappers.FlattenObservationWrapper(ours))
    counted = base.EpisodeStatistics(ours)
    params = minatar.EnvParams(max_steps_in_episode=12)
    assert theirs.observation_space(params).shape == (400,)

    @jax.jit
    @jax.vmap
    def play(key):
        def step(states, key):
            action_key, key = jax.random.split(key)
            action = jax.random.randint(action_key, (), 0, 3)
            found, expected = theirs.step(key, states[0], action, params), counted.step(key, states[1], action, params)
            return (found[1], expected[1]), (found[0], found[2:], expected[0], expected[2:])

        states = theirs.reset(key, params)[1], counted.reset(key, params)[1]
        return jax.lax.scan(step, states, jax.random.split(key, 60))[1]

    keys = jax.random.split(jax.random.key(0), 6)
    observation, (*found, info), our_observation, (*expected, our_info) = jax.tree.map(np.asarray, play(keys))
    np.testing.assert_array_equal(observation, our_observation.reshape(6, 60, 400))
    np.testing.assert_array_equal(info["final_observation"], our_info["final_observation"].reshape(6, 60, 400))
    for reward_or_end, value in zip(found, expected, strict=True):
        np.testing.assert_array_equal(reward_or_end, value)
    done = expected[1] | expected[2]
    assert done.sum() >= 6 * 5
    np.testing.assert_array_equal(info["returned_episode"], done)
    for name in ("return", "length"):
        np.testing.assert_array_equal(info[f"returned_episode_{name}s"][done], our_info[f"episode_{name}"][done])


SHORT = minatar.EnvParams(max_steps_in_episode=3)
ENDS = [False, False, True, False]


@pytest.fixture(scope="module")
def breakout():
    return purejaxrrl.make("minatar/breakout")


def first_steps(environment, actions):
    """What the environment itself returns for keys 0, 1, ... after a reset with key 9."""
    _, state = environment.reset(jax.random.key(9), SHORT)
    rows = []
    for number, action in enumerate(actions):
        row = jax.jit(environment.step)(jax.random.key(number), state, action, SHORT)
        state = row[1]
        rows.append((row[0], *row[2:]))
    return rows


def test_the_sticky_wrapper_repeats_actions():
    sticky = wrappers.StickyActionWrapper(purejaxrrl.make("minatar/breakout", sticky_action_probability=0.0), 1.0)
    observation, state = sticky.reset(jax.random.key(0))
    stepped = sticky.step(jax.random.key(1), state, 1)[0]
    np.testing.assert_array_equal(stepped[9, :, 0], observation[9, :, 0])


def test_the_legacy_wrapper_returns_five_values(breakout):
    legacy = wrappers.LegacyStepAPIWrapper(breakout)
    _, state = legacy.reset(jax.random.key(9), SHORT)
    expected, ends = first_steps(breakout, [1] * 4), []
    for number in range(4):
        observation, state, reward, done, _ = legacy.step(jax.random.key(number), state, 1, SHORT)
        np.testing.assert_array_equal(observation, expected[number][0])
        assert reward == expected[number][1]
        ends.append(bool(done))
    assert ends == ENDS


def test_the_dm_env_wrapper_discounts_only_what_is_terminated(breakout):
    wrapped = wrappers.GymnaxToDmEnvWrapper(breakout)
    timestep = wrapped.reset(jax.random.key(9), SHORT)
    for number, (observation, reward, terminated, _, info) in enumerate(first_steps(breakout, [1] * 4)):
        timestep = wrapped.step(jax.random.key(number), timestep, 1, SHORT)
        np.testing.assert_array_equal(timestep.observation, observation)
        np.testing.assert_array_equal(timestep.final_observation, info["final_observation"])
        assert (timestep.reward, timestep.discount) == (reward, 1.0 - terminated)


def test_the_gymnasium_wrapper_has_its_spaces_and_ends(breakout):
    wrapped = wrappers.GymnaxToGymWrapper(breakout, SHORT)
    observation, _ = wrapped.reset(seed=0)
    assert wrapped.observation_space.contains(np.asarray(observation)) and wrapped.action_space.n == 3
    assert [bool(np.any(wrapped.step(1)[2:4])) for _ in range(4)] == ENDS


def test_the_gymnasium_vector_wrapper_has_its_spaces_and_ends(breakout):
    wrapped = wrappers.GymnaxToVectorGymWrapper(breakout, 5, SHORT)
    observation, _ = wrapped.reset(seed=0)
    assert observation.shape == (5, 10, 10, 4) and wrapped.single_observation_space.shape == (10, 10, 4)
    ends = [np.logical_or(*wrapped.step(np.ones(5, np.int32))[2:4]).tolist() for _ in range(4)]
    assert ends == [[end] * 5 for end in ENDS]


def test_our_spaces_sample_and_contain_what_the_environment_makes():
    environment = purejaxrrl.make("minatar/asterix")
    observation, _ = jax.jit(environment.reset)(jax.random.key(0))
    assert environment.observation_space().contains(observation)
    actions = jax.vmap(environment.action_space().sample)(jax.random.split(jax.random.key(0), 50))
    assert set(actions.tolist()) == set(range(5))


def test_making_one_without_gymnax_says_what_to_install(monkeypatch):
    monkeypatch.setattr(environments.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="'gymnax/CartPole-v1' needs gymnax >= 1.0; install it with"):
        purejaxrrl.make("gymnax/CartPole-v1")


def test_an_old_gymnax_is_refused_before_its_five_values_are_taken_for_six(monkeypatch):
    monkeypatch.setattr(environments.metadata, "version", lambda name: "0.0.9")
    with pytest.raises(ValueError, match="'gymnax/CartPole-v1' needs gymnax >= 1.0; install it with"):
        purejaxrrl.make("gymnax/CartPole-v1")


def test_gymnax_options_are_kept_and_checked():
    options = environments.parse_options("gymnax/Catch-bsuite", "rows=5")
    environment = purejaxrrl.make("gymnax/Catch-bsuite", **options)
    assert environments.options_of(environment) == {"rows": 5} and environments.frames_per_step(environment) == 1
    assert environments.for_evaluation(environment) is environment
    with pytest.raises(ValueError, match="gymnax/Catch-bsuite cannot be made with {'row': 5}: .*'row'"):
        purejaxrrl.make("gymnax/Catch-bsuite", row=5)


@pytest.mark.parametrize("name", ["Pendulum-v1", "MountainCarContinuous-v0", "Reacher-misc"])
def test_continuous_actions_are_refused(name):
    environment = purejaxrrl.make(f"gymnax/{name}")
    with pytest.raises(ValueError, match=rf"{name}'s actions are a Box .*; students choose one of several actions"):
        purejaxrrl.qdagger.program(purejaxrrl.DQN(), environment)
