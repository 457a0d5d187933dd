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
    assert plotting.animate(*shown, max_steps=30, note="lambda 0.50")
    with Image.open(tmp_path / "game.gif") as image:
        assert image.size == (320, 210 + 14) and image.n_frames > 20 and image.info["duration"] >= 60
        picture = np.asarray(image.convert("RGB"))
    assert (picture[:14] == 0xEC).all(-1).any(), "the caption is white"
    wall = picture[14 + 57 : 14 + 93].reshape(-1, 3)
    assert len(np.unique(wall, axis=0)) >= 6, "six rows of bricks"


class Lottery(NamedTuple):
    console: jax.Array
    step: jax.Array


def test_the_best_of_several_episodes_is_shown_until_it_ends():
    """Of a game of three steps, each of which pays what was drawn at the beginning."""

    def reset(key):
        return jnp.zeros(2), Lottery(jax.random.uniform(key), jnp.int32(0))

    def step(key, state, action):
        return jnp.zeros(2), state._replace(step=state.step + 1), state.console, state.step == 2, jnp.bool_(False), {}

    game = SimpleNamespace(reset=reset, step=step, console=SimpleNamespace(screen=lambda drawn: drawn))
    player = SimpleNamespace(params=None, apply=lambda params, seen: jnp.zeros((len(seen), 2)))
    shown, scores = pictures.best_episode(jax.random.key(0), game, player, episodes=8, max_steps=5)
    drawn = jax.vmap(jax.random.uniform)(jax.random.split(jax.random.split(jax.random.key(0))[0], 8))
    np.testing.assert_array_equal(shown, np.full(3, drawn.max()))
    np.testing.assert_allclose(scores, drawn.max() * np.arange(3), rtol=1e-6)


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
