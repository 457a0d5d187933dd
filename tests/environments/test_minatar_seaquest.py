"""Seaquest as MinAtar has it: against MinAtar itself where it is installed, against pgx's mended, and what pgx lacks by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pgx
import pgx_seaquest
import pytest

import purejaxrrl
from purejaxrrl.environments import minatar, minatar_seaquest

NOOP, LEFT, UP, RIGHT, DOWN, FIRE = range(6)


@functools.cache
def environment():
    return purejaxrrl.make("minatar/seaquest", sticky_action_probability=0.0)


@functools.cache
def stepper():
    return jax.jit(environment().step)


def under_water(**fields):
    """A first state, with the submarine in the middle of the water."""
    _, state = environment().reset(jax.random.key(0))
    fields = {"y": 4, "surfaced": False} | fields
    fields = {name: jnp.asarray(value, getattr(state.game, name).dtype) for name, value in fields.items()}
    return state.replace(game=state.game.replace(**fields))


def bar(observation):
    return np.asarray(observation[9, :, 7])


def test_the_oxygen_bar_has_a_cell_for_every_20():
    """What is seen after a step from one more, for every level."""
    levels = np.arange(-1, 200)
    states = jax.vmap(lambda oxygen: under_water(oxygen=oxygen))(levels + 1)
    keys = jax.random.split(jax.random.key(0), len(levels))
    info = jax.jit(jax.vmap(environment().step, in_axes=(0, 0, None)))(keys, states, NOOP)[5]
    expected = np.arange(10) < np.maximum(levels, 0)[:, None] // 20
    np.testing.assert_array_equal(info["final_observation"][:, 9, :, 7], expected)


@pytest.mark.parametrize(("oxygen", "ends"), [(2, False), (1, False), (0, True)])
def test_an_episode_ends_in_the_step_that_begins_without_oxygen(oxygen, ends):
    observation, state, _, terminated, truncated, info = stepper()(jax.random.key(0), under_water(oxygen=oxygen), NOOP)
    assert (bool(terminated), bool(truncated)) == (ends, False)
    assert not bar(info["final_observation"]).any()
    assert bar(observation).all() == ends  # the next episode's, which is full
    assert state.game.oxygen == (200 if ends else oxygen - 1)


def with_enemy_bullets(*places):
    """Of (x, y, right)."""
    rows = np.zeros((2, 10), np.int32)
    for x, y, right in places:
        rows[right, y] |= 1 << x
    return under_water(enemy_bullets=rows)


def test_bullets_that_leave_the_screen_are_gone_and_the_others_move_on():
    state = with_enemy_bullets((0, 5, 0), (5, 6, 0), (9, 7, 1), (2, 8, 1))
    for step in range(1, 3):
        state = stepper()(jax.random.key(step), state, NOOP)[1]
        expected = with_enemy_bullets((5 - step, 6, 0), (2 + step, 8, 1)).game.enemy_bullets
        np.testing.assert_array_equal(state.game.enemy_bullets, expected)


def test_a_bullet_beside_one_that_left_still_hits():
    state = with_enemy_bullets((0, 5, 0), (7, 4, 0))  # the submarine is at (5, 4)
    _, state, _, terminated, _, _ = stepper()(jax.random.key(0), state, NOOP)
    assert not terminated
    assert stepper()(jax.random.key(0), state, NOOP)[3]


def test_enemies_are_faster_after_every_second_surfacing():
    speeds = []
    state = under_water(y=1, carried=6)
    for surfacing in range(8):
        game = state.game.replace(y=jnp.int32(1), surfaced=jnp.bool_(False), carried=jnp.int32(6))
        _, state, _, terminated, _, _ = stepper()(jax.random.key(surfacing), state.replace(game=game), UP)
        assert not terminated and state.game.surfacings == surfacing + 1
        speeds.append(int(state.game.enemy_wait))
    assert speeds == [5, 4, 4, 3, 3, 2, 2, 2]


def _table(rng, places, most, *ranges):
    """Rows of pgx's, filled from the first on with numbers from the ranges."""
    table = np.full((places, len(ranges)), -1, np.int32)
    number = rng.integers(most + 1)
    table[:number] = np.stack([rng.integers(low, high, number) for low, high in ranges], -1)
    return table


def _near(middle, low, high):
    return max(middle - 2, low), min(middle + 3, high)


def _any_waters(seed):
    """A state of pgx's in which much is in one place, and what a step is taken with."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 10), rng.integers(0, 9)
    place = _near(x, 0, 10), _near(y, 1, 9), (0, 2)
    fields = {
        "_f_bullets": _table(rng, 5, 4, *place), "_e_bullets": _table(rng, 25, 8, *place), "_divers": _table(rng, 5, 4, *place, (0, 6)),
        "_e_fish": _table(rng, 25, 20, *place, (0, 6)), "_e_subs": _table(rng, 25, 15, *place, (0, 6), (0, 11)),
        "_sub_x": x, "_sub_y": y, "_sub_or": rng.random() < 0.5, "_oxygen": rng.integers(-1, 201), "_diver_count": rng.integers(-1, 7),
        "_e_spawn_timer": rng.integers(0, 3), "_d_spawn_timer": rng.integers(0, 3), "_e_spawn_speed": rng.integers(1, 21),
        "_ramp_index": rng.integers(0, 20), "_shot_timer": rng.integers(0, 3), "_surface": rng.random() < 0.5, "_last_action": rng.integers(6),
    }  # fmt: skip
    fields["_move_speed"] = max(5 - fields["_ramp_index"] // 2, 2)
    if (
        (fields["_e_subs"][:, 3:] == 0).all(1)
    ).any():  # what swims and shoots at once meets no bullet: pgx has that otherwise
        fields |= {"_f_bullets": np.full((5, 3), -1, np.int32), "_shot_timer": 2}
    return fields, rng.integers(6)


def test_a_step_in_any_waters_is_pgxs_mended():
    """Every field of the state after it: who is hit, in which order, where many are in one place and everything is due at once."""
    count = 3000
    drawn = [_any_waters(seed) for seed in range(count)]
    theirs, ours = pgx.make("minatar-seaquest"), minatar_seaquest.Seaquest(0.1)
    first = theirs.init(jax.random.key(0))
    stacked = {
        name: np.stack([fields[name] for fields, _ in drawn]).astype(getattr(first, name).dtype) for name in drawn[0][0]
    }

    @jax.jit
    @jax.vmap
    def step(fields, action, key):
        before = first.replace(**fields)
        after = pgx_seaquest.mended(before, theirs.step(before, action, key))
        return pgx_seaquest.as_ours(after), ours.step(pgx_seaquest.as_ours(before), action, key)

    actions = np.int32([action for _, action in drawn])
    expected, found = step(stacked, actions, jax.random.split(jax.random.key(1), count))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert (np.asarray(found.rewards) > 1).sum() > 50 and 0.2 < found.terminated.mean() < 0.9


def _meeting(x, y=6):
    """A submarine that swims to the left into a bullet at (x, y) as it is due to shoot, before the step; the agent is at (5, 4)."""
    empty = under_water().game
    submarines = empty.submarines.replace(
        x=empty.submarines.x.at[0].set(x + 1), y=empty.submarines.y.at[0].set(y)
    )  # wait, reload and right are 0
    bullets = empty.bullets.replace(
        x=empty.bullets.x.at[0].set(x - 1), y=empty.bullets.y.at[0].set(y), right=empty.bullets.right.at[0].set(1)
    )
    state = under_water()
    return state.replace(game=state.game.replace(submarines=submarines, bullets=bullets))


def test_a_submarine_that_swims_into_a_bullet_shoots_where_that_is_due():
    _, state, reward, terminated, _, info = stepper()(jax.random.key(0), _meeting(3), NOOP)
    assert reward == 1 and not terminated and not state.game.submarines.there.any()
    assert state.game.enemy_bullets[0, 6] == 1 << 2 and state.game.enemy_bullets.sum() == 1 << 2
    assert info["final_observation"][6, 2, 4]
    waits = _meeting(3)
    waits = waits.replace(
        game=waits.game.replace(submarines=waits.game.submarines.replace(reload=jnp.ones(25, jnp.int32)))
    )
    _, state, reward, _, _, _ = stepper()(jax.random.key(0), waits, NOOP)
    assert reward == 1 and not state.game.enemy_bullets.any()


def test_its_bullet_hits_and_minatars_does_so_too():
    reference = pytest.importorskip("minatar.environments.seaquest")
    for x in (6, 7):
        reward, terminated = stepper()(jax.random.key(0), _meeting(x, y=4), NOOP)[2:4]
        game = reference.Env()
        game.sub_x, game.sub_y, game.surface = 5, 4, False
        game.e_subs, game.f_bullets = [[x + 1, 4, False, 0, 0]], [[x - 1, 4, True]]
        assert game.act(NOOP) == (reward, terminated) == (1, x == 6)
        assert game.e_bullets == [[x - 1, 4, False]]


LANES, STEPS, FIRST_OXYGEN = 32, 600, 25


def _towards_divers(key, game):
    """Fetches divers and surfaces with one when oxygen is low; else at random. Sees the state, and no enemy."""
    chance_key, random_key = jax.random.split(key)
    divers = game.divers
    nearest = jnp.argmin(jnp.where(divers.there, abs(divers.x - game.x) + abs(divers.y - game.y), 99))
    across, down = divers.x[nearest] - game.x, divers.y[nearest] - game.y
    fetch = jnp.where(down != 0, jnp.where(down > 0, DOWN, UP), jnp.where(across > 0, RIGHT, LEFT))
    down_again = jnp.where(game.y < 2, DOWN, FIRE)
    action = jnp.where(divers.there.any(), fetch, down_again)
    surface = (game.carried > 0) & (game.oxygen < 140)
    action = jnp.where(surface, UP, jnp.where((action == UP) & (game.y <= 1), FIRE, action))
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
    first = first.replace(game=first.game.replace(oxygen=jnp.int32(FIRST_OXYGEN)))

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
