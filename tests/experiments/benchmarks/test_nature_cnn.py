"""The forms of the Nature CNN's update that are timed are the same update."""

import jax
import nature_cnn
import numpy as np

from purejaxrrl import networks


def test_every_form_learns_the_same():
    network = networks.describe("nature_cnn", nature_cnn.ACTIONS, (84, 84, 4), padding="VALID")
    params = jax.jit(jax.vmap(network.init))(jax.random.split(jax.random.key(0)))
    teacher, params = (jax.tree.map(lambda leaf, run=run: leaf[run], params) for run in range(2))
    batches = jax.tree.map(lambda leaf: leaf[0], nature_cnn.random_batches(np.random.default_rng(0), 1, 2))
    batches["teacher_output"] = jax.jit(jax.vmap(network.apply, (None, 0)))(teacher, batches["observation"])
    losses = {
        form: float(jax.jit(nature_cnn.make_run(form, "VALID", 2, teacher))(params, batches))
        for form in nature_cnn.FORMS
    }
    np.testing.assert_allclose(list(losses.values()), losses["ours"], rtol=1e-3)
