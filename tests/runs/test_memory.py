"""Whether runs fit the devices, before anything is made for them."""

from types import SimpleNamespace

import jax
import pytest
from toys import Corridor

from purejaxrrl.replay import space
from purejaxrrl.runs import memory
from purejaxrrl.students import student
from purejaxrrl.students.settings import DQN


@pytest.mark.parametrize(
    ("platform", "shared", "fit"),
    [("cpu", 0, 2), ("cpu", 0, 5), ("cpu", 0, 8), ("cpu", 3, 5), ("gpu", 0, 8), ("gpu", 1, 8)],
)
def test_runs_fit_in_equal_shares_of_the_devices(platform, shared, fit, monkeypatch):
    """Of four devices each has as many places as the others: five runs take eight. What runs share is there once, or on every GPU."""
    settings, environment = DQN(network="mlp", widths=(4,), capacity=400), Corridor()
    learner = student.described(settings, environment, environment.default_params)
    ring, beside = memory.of_run(settings, environment, learner)
    bytes_of_a_run = space.size(jax.eval_shape(ring.init)) + beside
    monkeypatch.setattr(space, "available_bytes", lambda devices=1: (fit + shared) * bytes_of_a_run)
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(platform=platform)] * 4)
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    of_data = shared * bytes_of_a_run
    most = memory.most_runs(settings, environment, learner, of_data)
    assert most == ({2: 2, 5: 4, 8: 8}[fit] if platform == "cpu" else 8 if not shared else 4)
    for runs in range(1, 10):
        if runs <= most:
            memory.check_runs(settings, environment, learner, runs, of_data)
        else:
            with pytest.raises(ValueError, match=f"train at most {most} side by side"):
                memory.check_runs(settings, environment, learner, runs, of_data)
    text = memory.described(settings, environment, learner, 1, of_data)
    assert text.endswith(f"; {most} runs would fit") and (" of the teacher's data" in text) == bool(shared)
