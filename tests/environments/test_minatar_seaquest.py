"""Seaquest as MinAtar has it: against MinAtar itself where it is installed, and what pgx lacks by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pgx
import pytest

import purejaxrrl
from purejaxrrl.environments import minatar

FREE, EMPTY = -1, np.full((25, 3), -1, np.int32)
NOOP, LEFT, UP, RIGHT, DOWN, FIRE = range(6)


@functools.cache
def environment():
    return purejaxrrl.make("minatar/seaquest", sticky_action_probability=0.0)


@functools.cache
def stepper():
    return jax.jit(environment().step)


@functools.cache
def pgxs_stepper():
    return jax.jit(pgx.make("minatar-seaquest").step)


def under_water(**fields):
    """A first state, with the submarine in the middle of the water."""
    _, state = environment().reset(jax.random.key(0))
    fields = {"_sub_y": 4, "_surface": False} | fields
    fields = {name: jnp.asarray(value, getattr(state.game, name).dtype) for name, value in fields.items()}
    return state.replace(game=state.game.replace(**fields))


def bar(observation):
    return np.asarray(observation[9, :, 7])


def test_the_oxygen_bar_has_a_cell_for_every_20():
    """What is seen after a step from one more, for every level."""
    levels = np.arange(-1, 200)
    states = jax.vmap(lambda oxygen: under_water(_oxygen=oxygen))(levels + 1)
    keys = jax.random.split(jax.random.key(0), len(levels))
    info = jax.jit(jax.vmap(environment().step, in_axes=(0, 0, None)))(keys, states, NOOP)[5]
    expected = np.arange(10) < np.maximum(levels, 0)[:, None] // 20
    np.testing.assert_array_equal(info["final_observation"][:, 9, :, 7], expected)


@pytest.mark.parametrize(("oxygen", "ends"), [(2, False), (1, False), (0, True)])
def test_an_episode_ends_in_the_step_that_begins_without_oxygen(oxygen, ends):
    observation, state, _, terminated, truncated, info = stepper()(jax.random.key(0), under_water(_oxygen=oxygen), NOOP)
    assert (bool(terminated), bool(truncated)) == (ends, False)
    assert not bar(info["final_observation"]).any()
    assert bar(observation).all() == ends  # the next episode's, which is full
    assert state.game._oxygen == (200 if ends else oxygen - 1)


def test_pgx_shows_nine_cells_and_goes_on():
    """Why the above is needed; where this fails, pgx has been mended and `minatar_seaquest` can go."""
    state = pgxs_stepper()(under_water(_oxygen=0).game, NOOP, jax.random.key(0))
    assert bar(state.observation).sum() == 9 and not state.terminated


def with_bullets(*rows):
    return under_water(_e_bullets=np.concatenate([np.int32(rows), EMPTY])[:25])


def bullets(state):
    rows = np.asarray(state.game._e_bullets)
    return rows[(rows != FREE).any(1)].tolist()


def test_bullets_that_leave_the_screen_are_gone_and_the_others_move_on():
    state = with_bullets((0, 5, 0), (5, 6, 0), (9, 7, 1), (2, 8, 1))
    for step in range(1, 3):
        state = stepper()(jax.random.key(step), state, NOOP)[1]
        assert bullets(state) == [[5 - step, 6, 0], [2 + step, 8, 1]]
        assert (np.asarray(state.game._e_bullets[2:]) == FREE).all()


def test_a_bullet_behind_one_that_left_still_hits():
    state = with_bullets((0, 5, 0), (7, 4, 0))  # the submarine is at (5, 4)
    _, state, _, terminated, _, _ = stepper()(jax.random.key(0), state, NOOP)
    assert not terminated
    assert stepper()(jax.random.key(0), state, NOOP)[3]


def test_enemies_are_faster_after_every_second_surfacing():
    speeds = []
    state = under_water(_sub_y=1, _diver_count=6)
    for surfacing in range(8):
        game = state.game.replace(_sub_y=jnp.int32(1), _surface=jnp.bool_(False), _diver_count=jnp.int32(6))
        _, state, _, terminated, _, _ = stepper()(jax.random.key(surfacing), state.replace(game=game), UP)
        assert not terminated and state.game._ramp_index == surfacing + 1
        speeds.append(int(state.game._move_speed))
    assert speeds == [5, 4, 4, 3, 3, 2, 2, 2]


LANES, STEPS, FIRST_OXYGEN = 32, 600, 25


def _towards_divers(key, game):
    """Fetches divers and surfaces with one when oxygen is low; else at random. Sees the state, and no enemy."""
    chance_key, random_key = jax.random.split(key)
    there = game._divers[:, 0] >= 0
    nearest = jnp.argmin(
        jnp.where(there, abs(game._divers[:, 0] - game._sub_x) + abs(game._divers[:, 1] - game._sub_y), 99)
    )
    across, down = game._divers[nearest, 0] - game._sub_x, game._divers[nearest, 1] - game._sub_y
    fetch = jnp.where(down != 0, jnp.where(down > 0, DOWN, UP), jnp.where(across > 0, RIGHT, LEFT))
    down_again = jnp.where(game._sub_y < 2, DOWN, FIRE)
    action = jnp.where(there.any(), fetch, down_again)
    surface = (game._diver_count > 0) & (game._oxygen < 140)
    action = jnp.where(surface, UP, jnp.where((action == UP) & (game._sub_y <= 1), FIRE, action))
    return jnp.where(
        jax.random.uniform(chance_key) < 0.2,
        jax.random.choice(random_key, jnp.int32([FIRE, FIRE, LEFT, RIGHT])),
        action,
    )


def _spawns(key):
    """What pgx draws in a step with this key: of enemies the direction, the kind and the row, of divers direction and row."""
    keys = jax.random.split(jax.random.split(key)[0], 6)[1:]
    coin, third = jnp.array([True, False]), jnp.array([1 / 3, 2 / 3])
    return (
        jax.random.choice(keys[0], coin),
        jax.random.choice(keys[1], coin, p=third),
        jax.random.choice(keys[2], jnp.arange(1, 9)),
        jax.random.choice(keys[3], coin),
        jax.random.choice(keys[4], jnp.arange(1, 9)),
    )


def _record():
    """Steps of many lanes, at first with little oxygen: actions, what was drawn, and what an agent sees, all `[LANES, STEPS, ...]`."""

    _, first = environment().reset(jax.random.key(0))
    first = first.replace(game=first.game.replace(_oxygen=jnp.int32(FIRST_OXYGEN)))

    @jax.jit
    @jax.vmap
    def play(key):
        def step(state, key):
            action_key, key = jax.random.split(key)
            action = _towards_divers(action_key, state.game)
            _, state, reward, terminated, truncated, info = environment().step(
                key, state, action, minatar.EnvParams(max_steps_in_episode=10_000)
            )
            return state, (action, _spawns(key), (reward, terminated, info["final_observation"]))

        return jax.lax.scan(step, first, jax.random.split(key, STEPS))[1]

    return jax.tree.map(np.asarray, play(jax.random.split(jax.random.key(0), LANES)))


class Drawn:
    """numpy's generator as MinAtar's Seaquest uses it, with pgx's numbers."""

    def __init__(self, game, enemy_right, is_submarine, enemy_row, diver_right, diver_row):
        enemy, diver = game.e_spawn_timer == 0, game.d_spawn_timer == 0
        chances = [enemy_right, is_submarine] * enemy + [diver_right] * diver
        self._chances, self._rows = iter(chances), iter([enemy_row] * enemy + [diver_row] * diver)

    def rand(self):
        return 0.0 if next(self._chances) else 0.9

    def randint(self, low, high):
        return int(next(self._rows))


def test_whole_episodes_are_minatars():
    """Every reward, end and observation, with MinAtar given pgx's actions and random numbers; surfacings included."""
    reference = pytest.importorskip("minatar.environments.seaquest")
    actions, spawns, seen = _record()
    ends, out_of_oxygen, most_surfacings, two_bullets = 0, 0, 0, 0
    for lane in range(LANES):
        game = reference.Env()
        game.oxygen = FIRST_OXYGEN
        for step in range(STEPS):
            game.random = Drawn(game, *(drawn[lane, step] for drawn in spawns))
            out_of_oxygen += game.oxygen <= 0
            reward, terminal = game.act(actions[lane, step])
            our_reward, our_terminated, our_observation = (leaf[lane, step] for leaf in seen)
            assert (reward, terminal) == (our_reward, our_terminated), (lane, step)
            np.testing.assert_array_equal(game.state(), our_observation, f"lane {lane}, step {step}")
            most_surfacings, two_bullets = (
                max(most_surfacings, game.ramp_index),
                two_bullets + (len(game.e_bullets) > 1),
            )
            if terminal:
                ends, game = ends + 1, reference.Env()
    assert ends > LANES and out_of_oxygen >= 5 and most_surfacings >= 3 and two_bullets > 100
