import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import networks

KEY = jax.random.key(0)
MINATAR_CNN = networks.describe("minatar_cnn", 3, (10, 10, 4))
IMAGES = np.random.default_rng(0).random((5, 10, 10, 4)) < 0.3


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


def test_mlp_is_matrix_products_and_relus():
    network = networks.describe("mlp", 3, (10, 10, 4), widths=(7, 5))
    params = jax.tree.map(lambda leaf: leaf + 0.1, network.init(KEY))
    hidden = IMAGES.reshape(5, 400).astype(np.float32)
    layers = [kernel_and_bias(params[f"Dense_{number}"]) for number in range(3)]
    for kernel, bias in layers[:2]:
        hidden = np.maximum(hidden @ kernel + bias, 0.0)
    expected = hidden @ layers[2][0] + layers[2][1]
    np.testing.assert_allclose(network.apply(params, IMAGES), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", [MINATAR_CNN, networks.describe("mlp", 3, (10, 10, 4))])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float32])
def test_q_values_are_float32_for_any_type_of_observation(network, dtype):
    params = network.init(KEY)
    q_values = network.apply(params, IMAGES.astype(dtype))
    assert q_values.shape == (5, 3) and q_values.dtype == jnp.float32
    np.testing.assert_allclose(q_values, network.apply(params, IMAGES.astype(np.float32)), rtol=1e-6)


@pytest.mark.parametrize("network", [MINATAR_CNN, networks.describe("mlp", 3, (10, 10, 4))])
def test_many_runs_networks_under_vmap_equal_each_alone(network):
    params = jax.vmap(network.init)(jax.random.split(KEY, 3))
    together = jax.jit(jax.vmap(network.apply, in_axes=(0, None)))(params, IMAGES)
    for run in range(3):
        alone = network.apply(jax.tree.map(lambda leaf, run=run: leaf[run], params), IMAGES)
        np.testing.assert_allclose(together[run], alone, rtol=1e-4, atol=1e-5)


def test_parameters_are_counted():
    # 3x3 kernels of 4 channels on an 8x8 map; MinAtar's DQN (Young and Tian, 2019).
    assert MINATAR_CNN.num_parameters() == (36 * 16 + 16) + (8 * 8 * 16 * 128 + 128) + (128 * 3 + 3)
    assert networks.describe("mlp", 2, (4,), widths=(120, 84)).num_parameters() == 5 * 120 + 121 * 84 + 85 * 2
    assert networks.describe("mlp", 2, (4,), widths=()).num_parameters() == 5 * 2


@pytest.mark.parametrize(
    "network",
    [
        MINATAR_CNN,
        networks.describe("minatar_cnn", 6, (10, 10, 7), width=32, channels=8),
        networks.describe("mlp", 2, (4,)),
        networks.describe("mlp", 2, (4,), widths=(9, 8, 7)),
        networks.describe("mlp", 2, (), widths=()),
    ],
)
def test_descriptions_survive_json(network):
    again = networks.Description.from_json(json.loads(json.dumps(network.to_json())))
    assert again == network and hash(again) == hash(network)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("mpl", 3, (4,)), {}, "unknown network 'mpl'; the nearest are mlp"),
        (("mlp", 3, (4,)), {"width": (3,)}, "'mlp' has no option 'width'; it has widths"),
        (("minatar_cnn", 3, (10, 10, 4)), {"widths": (3,)}, "no option 'widths'; it has channels, width"),
        (("minatar_cnn", 3, (4,)), {}, r"takes images .* not \(4,\); take 'mlp'"),
        (("minatar_cnn", 3, (10, 2, 4)), {}, r"not \(10, 2, 4\)"),
    ],
)
def test_a_network_that_there_is_not_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        networks.describe(*arguments, **options)
