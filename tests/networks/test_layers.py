import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import networks
from purejaxrrl.networks.layers import NOISE

KEY = jax.random.key(0)


def kernel_and_bias(params):
    """Of a layer: its matrix and its vector, whatever they are called."""
    bias, kernel = sorted(jax.tree.leaves(params), key=jnp.ndim)
    return np.asarray(kernel), np.asarray(bias)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (4, 2), (1, 1), (8, 4)])
def test_patch_convolution_equals_flax(size, stride):
    inputs = np.random.default_rng(size).normal(size=(2, 13, 10, 3)).astype(np.float32)
    ours = networks.PatchConvolution(6, size, stride)
    params = ours.init(KEY, inputs)["params"]
    kernel, bias = kernel_and_bias(params)
    reference = nn.Conv(6, (size, size), (stride, stride), padding="VALID")
    bias = bias + np.arange(6, dtype=np.float32)  # fresh ones are 0
    params = jax.tree.map(lambda leaf: leaf + jnp.arange(6.0) if leaf.ndim == 1 else leaf, params)
    expected = reference.apply({"params": {"kernel": kernel.reshape(size, size, 3, 6), "bias": bias}}, inputs)
    np.testing.assert_allclose(ours.apply({"params": params}, inputs), expected, rtol=1e-5, atol=1e-5)


def test_patch_convolution_starts_as_flax_does():
    """Same scale of fresh weights: a fan-in of kernel height x width x channels."""
    inputs = jnp.zeros((1, 10, 10, 16))
    kernel, bias = kernel_and_bias(networks.PatchConvolution(128, 3).init(KEY, inputs)["params"])
    reference = nn.Conv(128, (3, 3)).init(KEY, inputs)["params"]["kernel"]
    np.testing.assert_allclose(kernel.std(), reference.std(), rtol=0.03)
    assert not bias.any()


INPUTS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
NOISY = networks.NoisyDense(5)
NOISY_PARAMS = NOISY.init(KEY, INPUTS)["params"]


def noisy(key, params=NOISY_PARAMS, inputs=INPUTS):
    return np.asarray(NOISY.apply({"params": params}, inputs, rngs=None if key is None else {NOISE: key}))


def test_a_noisy_layer_without_a_key_has_its_mean_weights():
    expected = INPUTS @ NOISY_PARAMS["kernel"] + NOISY_PARAMS["bias"]
    np.testing.assert_allclose(noisy(None), expected, rtol=1e-6, atol=1e-6)


def test_a_noisy_layers_noise_is_its_keys():
    np.testing.assert_array_equal(noisy(jax.random.key(1)), noisy(jax.random.key(1)))
    assert (noisy(jax.random.key(1)) != noisy(jax.random.key(2))).all()
    assert (noisy(jax.random.key(1)) != noisy(None)).all()


def test_one_sample_of_noise_serves_the_batch():
    together = noisy(jax.random.key(1))
    for row in range(4):
        alone = noisy(jax.random.key(1), inputs=INPUTS[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-5, atol=1e-6)


def test_the_noise_is_factorised_and_scaled_by_sigma():
    """Weights mean + sigma f(e_i) f(e_o), bias mean + sigma f(e_o), with f(x) = sign(x) sqrt|x| of normal numbers."""
    unit = {name: np.zeros_like(leaf) + name.endswith("sigma") for name, leaf in NOISY_PARAMS.items()}
    keys = jax.random.split(KEY, 4000)
    identity = np.concatenate([np.eye(6), np.zeros((1, 6))]).astype(np.float32)  # the last row shows the bias
    noise = jax.vmap(lambda key: NOISY.apply({"params": unit}, identity, rngs={NOISE: key}))(keys)
    of_features = np.asarray(noise[:, -1:])
    of_both = np.asarray(noise[:, :-1]) - of_features
    of_inputs = of_both / of_features
    np.testing.assert_allclose(of_inputs, np.broadcast_to(of_inputs[:, :, :1], of_inputs.shape), rtol=0.02, atol=1e-3)
    for factor in (of_features, of_inputs[:, :, 0]):
        normal = np.sign(factor) * factor**2
        assert abs(normal.mean()) < 0.05 and normal.std() == pytest.approx(1.0, abs=0.03)


def test_a_noisy_layer_starts_as_dopamines():
    bound = 1 / np.sqrt(6)
    assert np.abs(NOISY_PARAMS["kernel"]).max() <= bound and np.abs(NOISY_PARAMS["bias"]).max() <= bound
    assert NOISY_PARAMS["kernel"].std() == pytest.approx(bound / np.sqrt(3), rel=0.2)
    for name in ("kernel_sigma", "bias_sigma"):
        np.testing.assert_allclose(NOISY_PARAMS[name], 0.1 * bound, rtol=1e-6)
