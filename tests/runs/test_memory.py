"""Whether runs fit the devices, before anything is made for them."""

import jax
import pytest
from toys import Corridor

from purejaxrrl.replay import space
from purejaxrrl.runs import memory
from purejaxrrl.students import student
from purejaxrrl.students.settings import DQN


@pytest.mark.parametrize("fit", [2, 5, 8])
def test_runs_fit_in_equal_shares_of_the_devices(fit, monkeypatch):
    """Of four devices each has as many places as the others: five runs take eight."""
    settings, environment = DQN(network="mlp", widths=(4,), capacity=400), Corridor()
    learner = student.described(settings, environment, environment.default_params)
    ring, beside = memory.of_run(settings, environment, learner)
    bytes_of_a_run = space.size(jax.eval_shape(ring.init)) + beside
    monkeypatch.setattr(space, "available_bytes", lambda devices=1: fit * bytes_of_a_run)
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    monkeypatch.setattr(jax, "local_devices", lambda: [None] * 4)
    most = memory.most_runs(settings, environment, learner)
    assert most == {2: 2, 5: 4, 8: 8}[fit]
    for runs in range(1, 10):
        if runs <= most:
            memory.check_runs(settings, environment, learner, runs)
        else:
            with pytest.raises(ValueError, match=f"or train at most {most} side by side"):
                memory.check_runs(settings, environment, learner, runs)
