"""The random numbers that the reference drew: JAX 0.4's, with `jax_threefry_partitionable=False`, float32 and int32.

Today's `jax.random` derives other numbers from the same key, and follows global flags. These functions, of raw keys uint32 `[2]`,
do neither: threefry over a plain counter, `jax.random`'s transformations of its bits. So an evaluation's seed is the
same episode here as there.
"""

import jax
import jax.numpy as jnp
import numpy as np

_EXPONENT_OF_ONE = 0x3F800000
_ROUNDS = 20
_ROTATIONS = np.asarray([13, 15, 26, 6, 17, 29, 16, 24], np.uint32)
_PARITY = np.uint32(0x1BD11BDA)


def threefry(key: jax.Array, counters: jax.Array) -> jax.Array:
    """Threefry-2x32 with 20 rounds (Salmon et al., 2011) of an even number of counters, uint32 `[2 n]`: the first half are the
    pairs' first words, the second half their second.

    As a loop over rounds, which compiles in a quarter of the time of JAX's; an episode's beginning has two dozen of them.
    """
    words = jnp.stack([key[0], key[1], key[0] ^ key[1] ^ _PARITY])

    def round_(number, pair):
        first, second = pair
        rotation = jnp.asarray(_ROTATIONS)[number % 8]
        first = first + second
        second = (second << rotation | second >> (32 - rotation)) ^ first
        group = number // 4 + 1
        injects = (number % 4 == 3).astype(jnp.uint32)
        first = first + injects * words[group % 3]
        return first, second + injects * (words[(group + 1) % 3] + group.astype(jnp.uint32))

    first, second = jnp.split(counters, 2)
    return jnp.concatenate(jax.lax.fori_loop(0, _ROUNDS, round_, (first + words[0], second + words[1])))


def key_of_seed(seed: jax.Array) -> jax.Array:
    """`jax.random.PRNGKey(seed)` of a seed below 2^32."""
    seed = jnp.asarray(seed).astype(jnp.uint32)
    return jnp.stack([jnp.zeros_like(seed), seed])


def split(key: jax.Array, num: int = 2) -> jax.Array:
    """`num` keys, uint32 `[num, 2]`; consumes `key`."""
    return threefry(key, jnp.arange(2 * num, dtype=jnp.uint32)).reshape(num, 2)


def bits(key: jax.Array, size: int) -> jax.Array:
    """uint32 `[size]`; consumes `key`."""
    counters = np.append(np.arange(size), np.zeros(size % 2)).astype(np.uint32)  # an odd number has a 0 added
    return threefry(key, jnp.asarray(counters))[:size]


def uniform(key: jax.Array, size: int = 1) -> jax.Array:
    """float32 `[size]` in [0, 1); consumes `key`."""
    return jax.lax.bitcast_convert_type((bits(key, size) >> 9) | _EXPONENT_OF_ONE, jnp.float32) - 1.0


def between(share: jax.Array, low: jax.Array | float, high: jax.Array | float) -> jax.Array:
    """A `uniform` number as one in [low, high), float32."""
    low, high = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    return jnp.maximum(low, share * (high - low) + low)


def normal(key: jax.Array, size: int = 1) -> jax.Array:
    """Standard normal, float32 `[size]`; consumes `key`."""
    low = jnp.nextafter(jnp.float32(-1.0), jnp.float32(0.0))
    return jnp.float32(2**0.5) * jax.lax.erf_inv(between(uniform(key, size), low, 1.0))


def below(key: jax.Array, bound: int) -> jax.Array:
    """An integer of [0, bound), uint32; `jax.random.choice(key, bound)`. Consumes `key`."""
    high, low = jax.vmap(lambda each: bits(each, 1)[0])(split(key))
    span = jnp.uint32(bound)
    multiplier = jnp.uint32(2**16) % span
    multiplier = multiplier * multiplier % span  # wraps for spans above 2^16, there and here
    return (high % span * multiplier + low % span) % span


def beta(key: jax.Array, a: float, b: float) -> jax.Array:
    """Beta(a, b) for a and b of at least 1, float32; consumes `key`."""
    keys = jax.vmap(lambda each: split(each, 1)[0])(split(key))
    logarithms = jax.vmap(_log_gamma)(keys, jnp.asarray([a, b], jnp.float32))
    scaled = jnp.exp(logarithms - logarithms.max())
    return scaled[0] / (scaled[0] + scaled[1])


def _log_gamma(key: jax.Array, shape: jax.Array) -> jax.Array:
    """The logarithm of Gamma(shape, 1), shape at least 1 (Marsaglia and Tsang, 2000)."""
    d = shape - jnp.float32(1 / 3)
    c = jnp.float32(1 / 3) / jnp.sqrt(d)

    def rejected(carry):
        _, x, v, u = carry
        return (u >= 1.0 - 0.0331 * x * x) & (jnp.log(u) >= 0.5 * x + d * (1.0 - v + jnp.log(v)))

    def draw(carry):
        key, normal_key, uniform_key = split(carry[0], 3)
        start = (normal_key, jnp.float32(0.0), jnp.float32(-1.0))
        _, x, v = jax.lax.while_loop(lambda carry: carry[2] <= 0.0, cube_root, start)
        return key, x * x, v * v * v, uniform(uniform_key)[0]

    def cube_root(carry):
        key, normal_key = split(carry[0])
        x = normal(normal_key)[0]
        return key, x, 1.0 + x * c

    start = (split(key)[0], jnp.float32(0.0), jnp.float32(1.0), jnp.float32(2.0))
    return jnp.log(d) + jnp.log(jax.lax.while_loop(rejected, draw, start)[2])
