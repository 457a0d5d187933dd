"""The environment against ale-py's own vector environment, and what it adds: sticky actions, limits, resets, several games."""

import functools
import json

import fake_console
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode

from purejaxrrl import environments
from purejaxrrl.environments import base
from purejaxrrl.environments.atari import capacity, palettes
from purejaxrrl.environments.atari.environment import Atari, Settings
from purejaxrrl.errors import UserError

GAMES = ("breakout", "pong", "space_invaders", "beam_rider", "air_raid", "pooyan")
"""NTSC and PAL, paddles and joysticks, three heights, and (Beam Rider) starts that differ from reset to reset."""

DETERMINISTIC = {"sticky_action_probability": 0.0, "num_start_states": 1}


@functools.cache
def make(games: tuple[str, ...], **settings) -> Atari:
    return Atari(games if len(games) > 1 else games[0], **settings)


def play(environment: Atari, actions: np.ndarray, params, seed: int = 0) -> dict[str, np.ndarray]:
    """Steps lanes through `actions` [T, lanes]. Everything that `step` returned, [T, lanes, ...], and the first observation."""
    lanes = actions.shape[1]
    first, state = jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(seed), lanes), params)

    @jax.jit
    def rollout(state, actions):
        def step(carry, action):
            state, key = carry
            key, step_key = jax.random.split(key)
            observation, state, reward, terminated, truncated, info = jax.vmap(environment.step)(
                jax.random.split(step_key, lanes), state, action
            )
            return (state, key), {
                "observation": observation,
                "reward": reward,
                "terminated": terminated,
                "truncated": truncated,
                "executed": state.executed,
                **info,
            }

        return jax.lax.scan(step, (state, jax.random.key(seed + 1)), actions)[1]

    return {"first": np.asarray(first), **jax.tree.map(np.asarray, rollout(state, jnp.asarray(actions)))}


def reference(game: str, actions: np.ndarray) -> dict[str, list]:
    """ale-py's vector environment through `actions` [T], until its episode ends."""
    vector = AtariVectorEnv(
        game,
        1,
        autoreset_mode=AutoresetMode.SAME_STEP,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
        full_action_space=True,
        repeat_action_probability=0.0,
    )
    observation, _ = vector.reset()
    result = {"observation": [observation[0]], "reward": [], "terminated": [], "lives": []}
    for action in actions:
        observation, reward, terminated, truncated, info = vector.step(np.array([action]))
        result["reward"].append(reward[0])
        result["terminated"].append(terminated[0])
        result["lives"].append(info["lives"][0])
        result["observation"].append(observation[0])
        if terminated[0] or truncated[0]:
            break
    return result


def assert_equal_observations(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Ours [84, 84, 4] and theirs [4, 84, 84], many of each: within one level everywhere, exactly on 99.9%."""
    difference = np.abs(np.moveaxis(ours, -1, 1).astype(int) - theirs.astype(int))
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


def compare(games: tuple[str, ...], steps: int, seed: int) -> int:
    """Plays all games in one batch against ale-py; returns how many episodes ended."""
    environment = make(games, **DETERMINISTIC)
    actions = np.random.default_rng(seed).integers(0, 18, (steps, len(games)))
    ours = play(environment, actions, environment.all_params, seed)
    ended = 0
    for lane, game in enumerate(games):
        theirs = reference(game, actions[:, lane])
        taken = len(theirs["reward"])
        same = taken - int(theirs["terminated"][-1])
        np.testing.assert_array_equal(ours["reward"][:taken, lane], theirs["reward"], err_msg=game)
        np.testing.assert_array_equal(ours["terminated"][:taken, lane], theirs["terminated"], err_msg=game)
        np.testing.assert_array_equal(ours["lives"][:same, lane], theirs["lives"][:same], err_msg=game)
        seen = np.concatenate([ours["first"][lane][None], ours["final_observation"][:same, lane]])
        assert_equal_observations(seen, np.stack(theirs["observation"][: same + 1]))
        assert not ours["fault"][:, lane].any()
        ended += int(theirs["terminated"][-1])
    return ended


def test_games_of_both_televisions_equal_ale_pys_vector_environment_for_some_steps():
    compare(("breakout", "air_raid"), steps=8, seed=0)


@pytest.mark.slow
def test_a_mixed_batch_equals_ale_pys_vector_environment():
    compare(GAMES, steps=60, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_mixed_batch_equals_ale_pys_vector_environment_through_whole_episodes(seed):
    assert compare(GAMES, steps=1_500, seed=seed) > 0


@pytest.fixture
def fake(monkeypatch):
    """Makes environments of a console that needs no emulation."""
    fake_console.install(monkeypatch)
    return lambda games="pong", **settings: Atari(games, **settings)


def lanes_of(environment: Atari, lanes: int):
    return jax.tree.map(lambda leaf: jnp.full(lanes, leaf), environment.default_params)


def play_one(environment: Atari, actions: list[int]) -> dict[str, np.ndarray]:
    """`play` with one lane; everything [T, ...]."""
    out = play(environment, np.asarray(actions)[:, None], lanes_of(environment, 1))
    return {name: leaf[0] if name == "first" else leaf[:, 0] for name, leaf in out.items()}


def grey(resets: int, frame: int) -> int:
    return int(palettes.NTSC_GRAY[fake_console.level(resets, frame)])


def test_without_sticky_actions_every_frame_executes_the_chosen_one(fake):
    out = play_one(fake(**DETERMINISTIC), [3, 5, 0])
    np.testing.assert_array_equal(out["reward"], [4 * 4, 4 * 12, 0])


def test_sticky_actions_repeat_the_executed_action_anew_for_every_frame(fake):
    environment = fake(sticky_action_probability=0.25, num_start_states=1)
    lanes = 400
    out = play(environment, np.full((2, lanes), 5), lanes_of(environment, lanes))
    # From NOOP (worth 0) to action 12: the first k frames are worth nothing with probability 0.25 ** k.
    worthless = 4 - out["reward"][0] / 12
    for k in range(1, 5):
        assert np.mean(worthless >= k) == pytest.approx(0.25**k, abs=4 * np.sqrt(0.25**k / lanes))
    assert (out["reward"][1][out["executed"][0] == 12] == 4 * 12).all()


def test_an_observation_is_the_brighter_of_the_last_two_frames_and_the_stack_is_oldest_first(fake):
    out = play_one(fake(**DETERMINISTIC), [0, 0])
    np.testing.assert_array_equal(out["first"][0, 0], [0, 0, 0, grey(0, 0)])
    newest = [max(grey(0, frame), grey(0, frame - 1)) for frame in (4, 8)]
    np.testing.assert_array_equal(out["observation"][1, 40, 40], [0, grey(0, 0), *newest])
    assert (out["observation"][1] == out["observation"][1][40, 40]).all()


def test_with_a_frame_skip_of_1_an_observation_is_the_one_frame(fake):
    out = play_one(fake(frame_skip=1, **DETERMINISTIC), [0] * 9)
    assert grey(0, 8) < grey(0, 7)  # where a maximum would show
    np.testing.assert_array_equal(out["observation"][8, 40, 40], [grey(0, frame) for frame in range(6, 10)])


@pytest.mark.slow
@pytest.mark.parametrize("frame_skip", [1, 2, 3])
def test_other_frame_skips_equal_ale_pys_vector_environment(frame_skip):
    """With 1, ale-py takes no maximum: the frames of a step are one."""
    environment = make(("pong",), frame_skip=frame_skip, full_action_set=True, **DETERMINISTIC)
    actions = np.random.default_rng(0).integers(0, 18, 200)
    ours = play(environment, actions[:, None], lanes_of(environment, 1))
    vector = AtariVectorEnv(
        "pong", 1, frameskip=frame_skip, autoreset_mode=AutoresetMode.SAME_STEP, noop_max=0, use_fire_reset=False,
        reward_clipping=False, full_action_space=True, repeat_action_probability=0.0,
    )  # fmt: skip
    vector.reset()
    theirs = [vector.step(np.array([action]))[0][0] for action in actions]
    assert_equal_observations(ours["final_observation"][:, 0], np.stack(theirs))


def test_the_last_step_of_an_episode_has_the_last_frames_played_and_the_next_begins_afresh(fake):
    out = play_one(fake(**DETERMINISTIC), [2] * 9)
    np.testing.assert_array_equal(out["terminated"], [False] * 7 + [True, False])
    assert not out["truncated"].any()
    assert out["reward"][7] == 2 * 3, "frames 29 and 30 are the last; the skip ends with the game"
    assert out["final_observation"][7][0, 0, 3] == max(grey(0, 30), grey(0, 29))
    np.testing.assert_array_equal(out["observation"][7], out["first"])
    np.testing.assert_array_equal(out["episode_length"], [*range(1, 9), 1])
    np.testing.assert_array_equal(out["episode_return"], [*(12 * step for step in range(1, 8)), 90, 12])
    np.testing.assert_array_equal(out["lives"], [3, 3, 2, 2, 1, 1, 1, 0, 3])


def test_the_time_limit_truncates(fake):
    out = play_one(fake(max_frames_in_episode=12, **DETERMINISTIC), [0] * 7)
    np.testing.assert_array_equal(out["truncated"], [False, False, True, False, False, True, False])
    assert not out["terminated"].any() and not out["game_over"].any()
    np.testing.assert_array_equal(out["observation"][2], out["first"])
    np.testing.assert_array_equal(out["final_observation"][2][..., :3], out["final_observation"][1][..., 1:])


def test_a_lost_life_terminates_but_plays_on_where_asked_for(fake):
    out = play_one(fake(terminal_on_life_loss=True, **DETERMINISTIC), [0] * 8)
    np.testing.assert_array_equal(out["terminated"], [False, False, True, False, True, False, False, True])
    np.testing.assert_array_equal(out["game_over"], [False] * 7 + [True])
    np.testing.assert_array_equal(out["observation"][2], out["final_observation"][2])
    np.testing.assert_array_equal(out["episode_length"], range(1, 9))


def test_a_life_lost_in_the_step_of_the_time_limit_ends_the_episode_visibly(fake):
    """The tenth frame, in the third step, takes a life; so does the time limit: `terminated`, and a new episode."""
    environment = fake(terminal_on_life_loss=True, max_frames_in_episode=12, **DETERMINISTIC)
    out = play_one(environment, [0] * 6)
    np.testing.assert_array_equal(out["terminated"], [False, False, True] * 2)
    np.testing.assert_array_equal(out["restarted"], [False, False, True] * 2)
    assert not out["truncated"].any() and not out["game_over"].any()
    np.testing.assert_array_equal(out["observation"][2], out["first"])
    np.testing.assert_array_equal(out["episode_length"], [1, 2, 3] * 2)


def test_the_limit_of_params_is_the_limit(fake):
    environment = fake(**DETERMINISTIC)
    assert environment.default_params.max_steps_in_episode == 108_000 // 4
    assert fake(frame_skip=2, **DETERMINISTIC).default_params.max_steps_in_episode == 54_000
    params = environment.default_params.replace(max_steps_in_episode=2)
    _, state = environment.reset(jax.random.key(0), params)
    ends = []
    for _ in range(4):
        _, state, _, terminated, truncated, _ = environment.step(jax.random.key(0), state, 0, params)
        ends.append((bool(terminated), bool(truncated)))
    assert ends == [(False, False), (False, True)] * 2


def test_a_return_is_the_games_own_also_in_episode_statistics(fake):
    environment = base.EpisodeStatistics(fake(clip_rewards=True, terminal_on_life_loss=True, **DETERMINISTIC))
    _, state = environment.reset(jax.random.key(0))
    returns, ends = [], []
    for _ in range(5):
        _, state, reward, terminated, _, info = environment.step(jax.random.key(0), state, 1)
        returns.append(float(info["episode_return"]))
        ends.append(bool(terminated))
        assert reward == 1
    assert returns == [4.0 * step for step in range(1, 6)] and ends == [False, False, True, False, True]


def test_rewards_are_clipped_where_asked_for_but_not_the_return(fake):
    out = play_one(fake(clip_rewards=True, **DETERMINISTIC), [1, 0])
    np.testing.assert_array_equal(out["reward"], [1, 0])
    np.testing.assert_array_equal(out["episode_return"], [4, 4])


def test_scores_are_played_without_clipping_and_life_loss_ends(fake):
    training = fake(
        clip_rewards=True, terminal_on_life_loss=True, frame_skip=5, max_frames_in_episode=100, **DETERMINISTIC
    )
    played = environments.for_evaluation(training)
    expected = fake(frame_skip=5, max_frames_in_episode=100, **DETERMINISTIC)
    assert played.options == expected.options and played.name == expected.name
    actions = [1, 0] * 3
    found = play_one(played, actions)
    jax.tree.map(np.testing.assert_array_equal, found, play_one(expected, actions))
    assert found["reward"].max() > 1 and found["terminated"].sum() == 1
    out = play_one(training, actions)  # itself it has not changed
    assert out["reward"].max() == 1 and out["terminated"].sum() == 3
    assert environments.for_evaluation(played) is played


def test_options_are_the_settings_other_than_defaults(fake):
    options = {"clip_rewards": True, "frame_skip": 2, "mode": [0, 1]}
    environment = fake(("pong", "breakout"), **options | {"mode": (0, 1)})
    assert environments.options_of(environment) == json.loads(json.dumps(environment.options)) == options
    assert environments.frames_per_step(environment) == 2
    assert environments.options_of(fake(sticky_action_probability=0)) == {"sticky_action_probability": 0.0}
    assert environments.options_of(fake()) == {}


def test_start_states_are_successive_resets_after_every_number_of_no_ops(fake):
    environment = fake(sticky_action_probability=0.0, num_start_states=2, noop_max=2)
    firsts = jax.vmap(environment.reset)(jax.random.split(jax.random.key(0), 200), lanes_of(environment, 200))[0]
    assert set(np.asarray(firsts)[:, 0, 0, 3]) == {grey(resets, frame) for resets in (0, 1) for frame in (0, 1, 2)}
    fired = fake(fire_on_reset=True, **DETERMINISTIC)
    observation, state = fired.reset(jax.random.key(0))
    assert observation[0, 0, 3] == grey(0, 1) and state.executed == 1


def test_lanes_that_play_different_games_start_what_their_params_say(fake):
    environment = fake(("breakout", "pong", "seaquest"), **DETERMINISTIC)
    assert environment.name == "atari/breakout+pong+seaquest" and environment.num_actions == 18
    _, state = jax.vmap(environment.reset)(jax.random.split(jax.random.key(0), 3), environment.all_params)
    np.testing.assert_array_equal(state.console.game, [0, 1, 2])
    assert environment.params_of("seaquest").game == 2
    with pytest.raises(ValueError, match="tennis"):
        environment.params_of("tennis")


def test_nested_vmap_gives_what_one_vmap_gives(fake):
    environment = fake(sticky_action_probability=0.25, num_start_states=2, max_frames_in_episode=8)
    keys = jax.random.split(jax.random.key(0), 6)
    _, state = jax.vmap(environment.reset)(keys, lanes_of(environment, 6))
    flat = jax.jit(jax.vmap(environment.step))(keys, state, jnp.arange(6))

    def fold(tree):
        return jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), tree)

    nested = jax.jit(jax.vmap(jax.vmap(environment.step)))(*fold((keys, state, jnp.arange(6))))
    jax.tree.map(np.testing.assert_array_equal, fold(flat), nested)


def test_more_lanes_than_memory_are_an_error_that_says_how_many_fit(fake, monkeypatch):
    environment = Atari("breakout")
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), (50, 20)))
    reset = jax.vmap(jax.vmap(environment.reset))
    jax.eval_shape(reset, keys)
    _, state = jax.eval_shape(environment.reset, jax.random.key(0))
    lane_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) + 2 * 84 * 84 * 4
    monkeypatch.setattr(capacity, "device_bytes", lambda: 999 * lane_bytes + 1)
    with pytest.raises(
        capacity.TooManyLanesError, match="1,000 lanes of atari/breakout .* at most 999 lanes fit"
    ) as error:
        jax.eval_shape(jax.vmap(jax.vmap(Atari("breakout").reset)), keys)
    assert isinstance(error.value, MemoryError) and isinstance(error.value, UserError)


def test_settings_out_of_range_are_errors():
    for settings, named in (
        ({"sticky_action_probability": 1.5}, "1.5"),
        ({"frame_skip": 0}, "frame_skip"),
        ({"noop_max": -1}, "noop_max"),
        ({"max_frames_in_episode": 10}, "multiple"),
        ({"num_start_states": 0}, "num_start_states"),
    ):
        with pytest.raises(ValueError, match=named):
            Settings(**settings)
    with pytest.raises(ValueError, match="breakout"):
        Atari("breakot")
    with pytest.raises(ValueError, match="name at least one"):
        Atari(())


def test_actions_out_of_range_are_errors_where_static_and_no_ops_where_traced(fake):
    environment = fake(**DETERMINISTIC)
    _, state = environment.reset(jax.random.key(0))
    with pytest.raises(ValueError, match="action 6"):
        environment.step(jax.random.key(0), state, 6)
    assert play_one(environment, [6])["reward"] == 0 and play_one(environment, [-1])["reward"] == 0
