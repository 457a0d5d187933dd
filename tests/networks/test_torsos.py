import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import networks, teachers

KEY = jax.random.key(0)
MINATAR_CNN = networks.describe("minatar_cnn", 3, (10, 10, 4))
IMAGES = np.random.default_rng(0).random((5, 10, 10, 4)) < 0.3


def kernel_and_bias(params):
    return np.asarray(params["kernel"]), np.asarray(params["bias"])


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


class FirstReleasesMLP(nn.Module):
    num_actions: int

    @nn.compact
    def __call__(self, observations):
        hidden = observations.reshape(observations.shape[0], -1)
        for width in (120, 84):
            hidden = nn.relu(nn.Dense(width)(hidden))
        return nn.Dense(self.num_actions)(hidden)


class FirstReleasesCNN(nn.Module):
    num_actions: int

    @nn.compact
    def __call__(self, observations):
        hidden = nn.relu(networks.PatchConvolution(16, 3)(observations))
        hidden = nn.relu(nn.Dense(128)(hidden.reshape(hidden.shape[0], -1)))
        return nn.Dense(self.num_actions)(hidden)


@pytest.mark.parametrize(("name", "module"), [("mlp", FirstReleasesMLP), ("minatar_cnn", FirstReleasesCNN)])
def test_a_plain_networks_parameters_are_the_first_releases(name, module):
    """Their names and, bit for bit, their initial values: a head's layers are in its torso's scope."""
    expected = module(3).init(KEY, jnp.zeros((1, 10, 10, 4)))["params"]
    params = networks.describe(name, 3, (10, 10, 4)).init(KEY)
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_a_shipped_teacher_has_the_first_releases_fingerprint():
    """Data sets name their teacher by it."""
    teacher = teachers.load(teachers.shipped("minatar/breakout"))
    assert teacher.fingerprint().startswith("84a47c5e661401f1")
