"""JAX in modes of its own, each in a process that begins in it: our games work as they do in the usual one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from purejaxrrl.environments import minatar

MODES = {
    "usual": {},
    "64 bits": {"JAX_ENABLE_X64": "1"},
    "all checks": {"JAX_NUMPY_RANK_PROMOTION": "raise", "JAX_CHECK_TRACER_LEAKS": "1", "JAX_DEBUG_NANS": "1"},
}
PLAY = """
import sys, zlib
import jax, jax.numpy as jnp, numpy as np
import purejaxrrl

for name in sys.argv[1:]:
    environment = purejaxrrl.make(name)
    jax.jit(lambda key: environment.action_space().sample(key))(jax.random.key(0))  # gymnax is imported while this is traced
    params = environment.default_params.replace(max_steps_in_episode=3)
    keys = jax.random.split(jax.random.key(0), 2)
    _, state = jax.jit(jax.vmap(environment.reset, (0, None)))(keys, params)
    step = jax.jit(jax.vmap(environment.step, (0, 0, 0, None)))
    found = 0
    for number in range(5):
        observation, state, reward, terminated, truncated, info = step(keys, state, jnp.arange(2) + number % 2, params)
        assert (str(reward.dtype), str(terminated.dtype), str(truncated.dtype)) == ("float32", "bool", "bool")
        assert str(observation.dtype) in ("bool", "uint8")
        found = zlib.crc32(np.asarray(observation).tobytes() + np.asarray(truncated).tobytes(), found)
    print(name, found)
"""
LEAK = """
import importlib.util
if importlib.util.find_spec("gymnax"):
    import gymnax
    environment, params = gymnax.make("CartPole-v1")
    jax.block_until_ready(environment.reset(jax.random.key(0), params))
    print("gymnax", environment.action_space(params).sample(jax.random.key(0)).dtype.kind)
"""


def played(script: str, *names: str, **mode: str) -> str:
    """What a process prints that plays those games in that mode."""
    root = Path(minatar.__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])} | mode
    done = subprocess.run([sys.executable, "-c", script, *names], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def usual():
    return played(PLAY, "minatar/freeway")


@pytest.mark.parametrize("mode", [name for name in MODES if name != "usual"])
def test_a_game_is_the_same_in_a_mode_of_jax(mode, usual):
    assert played(PLAY + LEAK * (mode == "all checks"), "minatar/freeway", **MODES[mode]).startswith(usual)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [name for name in MODES if name != "usual"])
def test_every_kind_of_game_is_the_same_in_a_mode_of_jax(mode):
    names = [*(f"minatar/{game}" for game in minatar.GAMES), "atari/pong"]
    assert played(PLAY, *names, **MODES[mode]) == played(PLAY, *names)


@pytest.mark.parametrize(("backend", "pyplots"), [("of_another_python", "agg"), ("pdf", "pdf")])
def test_a_notebooks_backend_breaks_no_script_and_is_its_own_figures(backend, pyplots, tmp_path):
    script = (
        "from purejaxrrl.runs import plotting\n"
        "rows = [{'phase': 'online', 'iteration': n, 'agent_steps': n, 'seed': 0, 'score': 0.5, 'lambda': 1.0} for n in (1, 2)]\n"
        f"plotting.learning_curve(rows, 'minatar/breakout').savefig({str(tmp_path / 'curve.png')!r})\n"
    )
    script += "import matplotlib.pyplot\nprint(matplotlib.get_backend())"
    assert played(script, MPLBACKEND=backend).split() == [pyplots]
    assert (tmp_path / "curve.png").stat().st_size > 1000
