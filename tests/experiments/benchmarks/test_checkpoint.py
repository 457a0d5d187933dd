"""What the checkpoints' benchmark says of bytes is what was written, and what it wrote is a checkpoint."""

import checkpoint
import jax
import numpy as np
from tiny import tiny, untrained_teacher

import purejaxrrl
from purejaxrrl import qdagger
from purejaxrrl.runs import run_folder
from purejaxrrl.students.settings import QDagger


def test_the_bytes_are_those_of_the_rows(tmp_path):
    environment = purejaxrrl.make("minatar/breakout")
    settings = tiny(QDagger, offline_iterations=0)
    program = qdagger.program(settings, environment, untrained_teacher(environment))
    init = jax.vmap(lambda key: checkpoint.filled(qdagger.init(program, key, settings)))
    state = jax.jit(init)(jax.random.split(jax.random.key(0)))
    found = checkpoint.measure(tmp_path / "run", state, rows=50, more_rows=20)
    learners = sum(
        np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state._replace(ring=None)) if leaf.dtype.kind != "V"
    )
    row = sum(leaf.nbytes for leaf in jax.tree.leaves(state.ring)) // program.memory.rows
    beside = 20_000  # names, checksums, metrics
    whole, following, _ = (size for _, size in found.values())
    assert 0 < whole - learners - 50 * row < beside and 0 < following - learners - 20 * row < beside
    assert all(seconds > 0 for seconds, _ in found.values())
    like = jax.eval_shape(lambda: state)
    with run_folder.RunFolder(tmp_path / "run", {"program": "checkpoint"}, resume=True) as folder:
        restored = folder.restore(like._replace(ring=None), like.ring)
    jax.tree.map(np.testing.assert_array_equal, restored.ring, jax.device_get(state.ring))
