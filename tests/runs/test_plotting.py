"""What the figures of results have on their axes."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import purejaxrrl
from purejaxrrl.environments.atari import pictures
from purejaxrrl.runs import plotting


def rows(scores, **label):
    """Metrics of two seeds, one of which has the scores and the other twice them; lambda falls from 1 to 0."""
    phases = [("offline", 1, 0), *(("online", number, 1_000 * number) for number in range(1, len(scores)))]
    return [
        {"phase": phase, "iteration": iteration, "agent_steps": steps, "seed": seed, "score": score * seed}
        | {"lambda": float(phase == "offline")}
        | label
        for (phase, iteration, steps), score in zip(phases, scores, strict=True)
        for seed in (1, 2)
    ]


def test_a_picture_is_drawn_as_its_run_goes_on_but_not_all_the_time(tmp_path, monkeypatch):
    """Drawing takes 1 s, iterations 30 s, and then 60 s."""
    now, drawn = [0.0], []
    monkeypatch.setattr(plotting.time, "perf_counter", lambda: now[0])

    def draw(rows):
        now[0] += 1.0
        drawn.append(len(rows))
        return plotting.learning_curve(rows, "minatar/breakout")

    picture, every = plotting.Drawn(tmp_path / "curve.png", draw), rows((0.2, 0.3, 0.4, 0.5, 0.6))
    picture([])
    for iterations, seconds in ((1, 30.0), (2, 30.0), (3, 30.0), (4, 60.0), (5, 60.0)):
        now[0] += seconds
        picture(every[: 2 * iterations])
        with Image.open(tmp_path / "curve.png") as image:
            image.verify()
    assert drawn == [2, 6, 8, 10] and [path.name for path in tmp_path.iterdir()] == ["curve.png"]
    picture.draw(every)
    assert drawn[-1] == 10 and len(drawn) == 5


@pytest.mark.parametrize("scores", [(0.2, 0.3, 0.4), (-0.7, 0.1, 1.4), (0.5, 0.6, 3.0)])
def test_a_learning_curve_has_one_zero_and_one_unit_line_across_both_axes(scores):
    figure = plotting.learning_curve(rows(scores), "minatar/breakout")
    figure.draw_without_rendering()
    (axes,), (right,) = figure.axes, figure.axes[0].child_axes
    level = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert sorted(level) == [0, 1]
    np.testing.assert_allclose(right.get_ylim(), axes.get_ylim())
    low, high = axes.get_ylim()
    assert low < min(0, 2 * min(scores), min(scores)) and high > max(1, 2 * max(scores))
    assert "λ" in right.get_ylabel() and "weaning" in right.get_ylabel()


def test_other_students_have_a_curve_of_their_own():
    figure = plotting.learning_curve(rows((0.2, 0.9)), "minatar/breakout", others={"from nothing": rows((-0.9, 1.2))})
    axes, (low, high) = figure.axes[0], figure.axes[0].get_ylim()
    curve = next(line for line in axes.get_lines() if line.get_label().startswith("from nothing, IQM of 2 seeds"))
    np.testing.assert_allclose(curve.get_ydata(), [1.5 * -0.9, 1.5 * 1.2])
    assert low < 2 * -0.9 and high > 2 * 1.2


def test_a_run_of_an_offline_phase_alone_has_a_time_for_every_iteration():
    offline = [
        row | {"phase": "offline", "iteration": number, "agent_steps": 0}
        for number in (1, 2, 3)
        for row in rows((0.2,))
    ]
    times, _ = plotting._by_iteration(offline, "score")
    assert list(np.diff(times) > 0) == [True, True] and times[-1] == 0


def test_a_sweep_says_what_lambda_is():
    runs = [
        row for name in ("linear", "step") for row in rows((0.2, 0.9), schedule=name, coefficient=1.0, temperature=0.1)
    ]
    curves, weanings, *_ = plotting.sweep(runs, "minatar/breakout").axes
    assert weanings.get_ylabel() == "weaning coefficient λ"
    assert {text.get_text() for text in curves.get_legend().get_texts()} >= {
        "teacher",
        "random policy",
        "linear",
        "step",
    }


def test_an_atari_game_is_shown_as_the_television_has_it(tmp_path):
    environment = purejaxrrl.make("atari/breakout", num_start_states=1)
    teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher("atari/breakout"))
    shown = tmp_path / "game.gif", jax.random.key(0), environment, environment.default_params, teacher
    assert plotting.animate(*shown, max_pictures=30, max_steps=60, note="lambda 0.50")
    with Image.open(tmp_path / "game.gif") as image:
        assert image.size == (320, 210 + 14) and image.n_frames == 30 and image.info["duration"] >= 60
        picture = np.asarray(image.convert("RGB"))
    assert (picture[:14] == 0xEC).all(-1).any(), "the caption is white"
    wall = picture[14 + 57 : 14 + 93].reshape(-1, 3)
    assert len(np.unique(wall, axis=0)) >= 6, "six rows of bricks"


class Lottery(NamedTuple):
    console: jax.Array
    step: jax.Array


def lottery(key_pays: float = 0.0) -> SimpleNamespace:
    """A game of seven steps, each of which pays what was drawn at the beginning, and something of its own key."""

    def reset(key):
        return jnp.zeros(2), Lottery(jax.random.uniform(key), jnp.int32(0))

    def step(key, state, action):
        reward = state.console + key_pays * jax.random.uniform(key) + action
        return jnp.zeros(2), state._replace(step=state.step + 1), reward, state.step == 6, jnp.bool_(False), {}

    return SimpleNamespace(reset=reset, step=step, console=SimpleNamespace(screen=lambda drawn: drawn))


PLAYER = SimpleNamespace(params=None, apply=lambda params, seen: jnp.zeros((len(seen), 2)))


@pytest.mark.parametrize(("most", "steps", "every"), [(400, range(7), 1), (3, (0, 3, 6), 3), (1, (0,), 7)])
def test_the_best_of_several_episodes_is_shown_until_it_ends(most, steps, every):
    take = pictures.best_episode(jax.random.key(0), lottery(), PLAYER, episodes=8, max_steps=9, most_pictures=most)
    drawn = jax.vmap(jax.random.uniform)(jax.random.split(jax.random.split(jax.random.key(0))[0], 8))
    np.testing.assert_array_equal(take.pictures, np.full(len(steps), drawn.max()))
    np.testing.assert_allclose(take.scores, drawn.max() * np.array(steps), rtol=1e-5, atol=1e-6)
    assert take.every == every


def test_the_episode_that_is_shown_is_the_one_that_was_played():
    """Its scores at the end are the best: of the same actions, random ones here, and the same keys."""
    game = lottery(key_pays=3.0)
    starts, keys = jax.random.split(jax.random.key(1), 8), jax.random.split(jax.random.key(2), 6)
    played, lengths, actions = pictures._play(game, PLAYER, 0.5, starts, keys)
    assert lengths.tolist() == [6] * 8 and 0 < actions.mean() < 1
    for lane in range(8):
        its_keys = jax.vmap(lambda key, lane=lane: jax.random.split(jax.random.split(key)[1], 8)[lane])(keys)
        _, scores = pictures._pictures(game, starts[lane], its_keys[:, None], actions[:, lane, None])
        last = scores[-1] + game.step(its_keys[-1], game.reset(starts[lane])[1], actions[-1, lane])[2]
        np.testing.assert_allclose(last, played[lane], rtol=1e-5)


@pytest.mark.parametrize(("frames", "milliseconds"), [(4, 70), (1, 20)])
def test_a_picture_is_shown_for_as_long_as_its_frames_take(frames, milliseconds, tmp_path):
    """GIFs count hundredths of a second."""
    shown = np.stack([np.full((20, 160), number, np.uint8) for number in range(3)])
    palette = np.arange(768, dtype=np.uint8).reshape(256, 3)
    pictures.write_gif(tmp_path / "game.gif", shown, palette, 1, frames_per_step=frames)
    with Image.open(tmp_path / "game.gif") as gif:
        assert gif.info["duration"] == milliseconds


def test_a_sweep_of_schedules_alone_is_drawn():
    runs = [
        row for name in ("linear", "step") for row in rows((0.2, 0.9), schedule=name, coefficient=3.0, temperature=0.1)
    ]
    figure = plotting.sweep(runs, "atari/breakout")
    figure.draw_without_rendering()
    heat = figure.axes[2]
    assert [text.get_text() for text in heat.texts] == ["1.35", "1.35"]
    assert [text.get_text() for text in heat.get_xticklabels()] == ["3, T = 0.1"]
