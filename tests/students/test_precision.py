"""Training where JAX has 64 bits: what is kept and carried round stays what it was."""

import functools

import jax
import pytest
from tiny import tiny

from purejaxrrl.students import qdagger
from purejaxrrl.students.settings import DQN, QDagger


@pytest.mark.parametrize("settings", [
    tiny(QDagger, offline_iterations=0, weaning="disagreement"), tiny(DQN, sampler="prioritised", noisy=True, head="c51", v_min=-5.0),
])  # fmt: skip
def test_a_state_has_the_same_types_with_64_bits(settings, breakout, teacher):
    program = qdagger.program(settings, breakout, teacher if isinstance(settings, QDagger) else None)

    def types():
        train = functools.partial(qdagger.train, program)
        return jax.tree.map(str, jax.eval_shape(train, jax.random.key(0), settings)[0])

    expected = types()
    with jax.enable_x64(True):
        assert types() == expected
