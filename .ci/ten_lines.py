"""What a user of the wheel alone can do: load the teacher that comes with it, let it play, train two students from it."""

import functools

import jax

import purejaxrrl
from purejaxrrl import qdagger

env = purejaxrrl.make("minatar/breakout")
teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher(env.name))
settings = purejaxrrl.QDagger(offline_iterations=1, offline_updates=500, online_iterations=2, iteration_steps=2_000)
data = purejaxrrl.datasets.collect(jax.random.key(0), env, teacher, transitions=8_000)
program = qdagger.program(settings, env, teacher, data)
train = jax.jit(jax.vmap(functools.partial(qdagger.train, program), in_axes=(0, 0, None)))
keys = jax.vmap(jax.random.key)(jax.numpy.arange(2))
state, offline_metrics, online_metrics = train(keys, purejaxrrl.stack([settings] * 2), data.ring)
print("teacher-normalised scores", online_metrics["score"])
assert online_metrics["score"].shape == (2, 2)
