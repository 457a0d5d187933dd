"""The Gaussian process by its textbook formulas, in float64 with numpy, and flights to compare with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

SCALES = np.asarray([357_000.0, 357_000.0, 326.0, 34_560.0])
VARIANCE, NOISE, HORIZON = 12.96, 0.05, 6 * 3600.0
PRESSURES = np.linspace(5700.0, 12_600.0, 139)


def predicted(locations, errors, query):
    """Mean `[levels, 2]` and relative variance `[levels]` after measurements younger than six hours."""
    fresh = np.abs(locations[:, 3] - query[0, 3]) < HORIZON
    locations, errors = locations[fresh] / SCALES, errors[fresh]

    def kernel(a, b):
        return VARIANCE * np.exp(-np.linalg.norm(a[:, None] - b[None], axis=-1))

    across = kernel(query / SCALES, locations)
    solved = np.linalg.solve(kernel(locations, locations) + NOISE * np.eye(len(locations)), across.T)
    return solved.T @ errors, 1.0 - (across * solved.T).sum(1) / VARIANCE


@functools.cache
def flight(steps):
    """Locations `[steps, 4]` and errors `[steps, 2]` of a wandering balloon."""
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(size=(steps, 3)) * [1500.0, 1500.0, 60.0], 0) + [20_000.0, -30_000.0, 9000.0]
    locations = np.column_stack([walk, 180.0 * np.arange(steps)])
    locations[:, 2] = np.clip(locations[:, 2], 6000.0, 12_000.0)
    return locations, np.cumsum(rng.normal(size=(steps, 2)) * 0.3, 0)


def largest_differences(wind_belief, method, steps=(1, 2, 50, 120, 121, 250)):
    """Of mean (m/s) and relative variance, after those numbers of measurements."""
    locations, errors = flight(max(steps))
    real = jnp.zeros(()).dtype

    @jax.jit
    def run(locations, errors):
        def observe(belief, measured):
            location = wind_belief.scaled(*measured[0])
            belief = wind_belief.observe(belief, location, measured[1], method)
            return belief, wind_belief.query(belief, location, jnp.asarray(PRESSURES, real), method)

        return jax.lax.scan(observe, wind_belief.empty(real), (locations, errors))[1]

    means, variances = run(jnp.asarray(locations, real), jnp.asarray(errors, real))
    worst = [0.0, 0.0]
    for number in steps:
        query = np.tile(locations[number - 1], (len(PRESSURES), 1))
        query[:, 2] = PRESSURES
        mean, variance = predicted(locations[:number], errors[:number], query)
        worst[0] = max(worst[0], float(np.abs(means[number - 1] - mean).max()))
        worst[1] = max(worst[1], float(np.abs(variances[number - 1] - variance).max()))
    return worst
