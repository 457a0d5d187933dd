"""The Nature CNN against the same network written with flax's own layers."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import networks

KEY = jax.random.key(0)
LAYERS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 84, 84, 4), np.uint8)


class Reference(nn.Module):
    """As Dopamine's (SAME, no norm, xavier-uniform throughout) or PQN's (VALID, norm, he-normal but for the last layer)."""

    padding: str
    norm: bool = False
    num_actions: int = 4

    @nn.compact
    def __call__(self, observations):
        init = nn.initializers.he_normal() if self.norm else nn.initializers.xavier_uniform()
        normalise = (lambda hidden: nn.LayerNorm()(hidden)) if self.norm else (lambda hidden: hidden)
        hidden = observations.astype(jnp.float32) / 255.0
        for features, size, stride in LAYERS:
            convolution = nn.Conv(features, (size, size), (stride, stride), padding=self.padding, kernel_init=init)
            hidden = nn.relu(normalise(convolution(hidden)))
        hidden = nn.relu(normalise(nn.Dense(512, kernel_init=init)(hidden.reshape(hidden.shape[0], -1))))
        last = nn.initializers.lecun_normal() if self.norm else init
        return nn.Dense(self.num_actions, kernel_init=last)(hidden)


def ours(padding, norm=False, **options):
    initialiser = {"initialiser": "he_normal", "layer_norm": True} if norm else {}
    return networks.describe("nature_cnn", 4, (84, 84, 4), padding=padding, **initialiser, **options)


@pytest.mark.parametrize(("padding", "norm"), [("SAME", False), ("VALID", False), ("VALID", True), ("SAME", True)])
def test_it_is_the_reference_with_the_same_parameters_both_ways(padding, norm):
    network, reference = ours(padding, norm), Reference(padding, norm)
    # Every bias and scale counts: fresh ones are 0 and 1.
    variables = jax.tree.map(
        lambda leaf: leaf + 0.1 * jnp.sin(jnp.arange(leaf.size, dtype=jnp.float32)) if leaf.ndim == 1 else leaf,
        reference.init(KEY, PIXELS),
    )
    params = networks.from_flax(network, jax.tree.map(np.asarray, variables))
    expected = reference.apply(variables, PIXELS)
    np.testing.assert_allclose(network.apply(params, PIXELS), expected, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(reference.apply(networks.to_flax(params), PIXELS), expected, rtol=0, atol=0)
    jax.tree.map(np.testing.assert_array_equal, networks.to_flax(params), variables)


@pytest.mark.parametrize(("padding", "norm"), [("SAME", False), ("VALID", True)])
def test_fresh_parameters_are_the_references(padding, norm):
    """To the bit: same names, same shapes, same fans."""
    params = ours(padding, norm).init(KEY)
    jax.tree.map(
        np.testing.assert_array_equal, params, Reference(padding, norm).init(KEY, jnp.zeros((1, 84, 84, 4)))["params"]
    )
    if not norm:  # sqrt(6 / (fan-in + fan-out)) with the kernel's 8 x 8 pixels in both
        limit = float(jnp.abs(params["Conv_0"]["kernel"]).max())
        assert limit == pytest.approx(math.sqrt(6 / (64 * (4 + 32))), rel=1e-3) == pytest.approx(0.051, abs=1e-3)


def test_gradients_are_the_references():
    network, reference = ours("SAME"), Reference("SAME")
    params = network.init(KEY)

    def gradients(apply):
        return jax.jit(jax.grad(lambda params: (apply(params) ** 2).sum()))(params)

    found = gradients(lambda params: network.apply(params, PIXELS))
    expected = gradients(lambda params: reference.apply({"params": params}, PIXELS))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max()), found, expected)


def test_sizes_are_the_references():
    """With 18 actions: 4.05M parameters padded SAME, 1.69M padded VALID (biases included)."""

    def counted(padding, **options):
        return networks.describe("nature_cnn", 18, (84, 84, 4), padding=padding, **options).num_parameters()

    convolutions = (256 * 32 + 32) + (512 * 64 + 64) + (576 * 64 + 64)
    assert counted("SAME") == convolutions + 7744 * 512 + 512 + 513 * 18
    assert counted("VALID") == convolutions + 3136 * 512 + 512 + 513 * 18
    halves = (256 * 16 + 16) + (256 * 32 + 32) + (288 * 32 + 32)
    assert counted("VALID", width=0.5) == halves + 1568 * 256 + 256 + 257 * 18


@pytest.mark.parametrize("padding", networks.PADDINGS)
@pytest.mark.parametrize(("size", "stride"), [(8, 4), (4, 2), (3, 1), (3, 2), (5, 3), (1, 1), (2, 3)])
def test_convolution_is_flaxs_also_where_strides_do_not_divide_kernels(padding, size, stride):
    inputs = np.random.default_rng(size).normal(size=(2, 17, 14, 3)).astype(np.float32)
    layer, reference = (
        networks.Convolution(5, size, stride, padding),
        nn.Conv(5, (size, size), (stride, stride), padding),
    )
    params = jax.tree.map(lambda leaf: leaf + 0.1, layer.init(KEY, inputs))
    np.testing.assert_allclose(layer.apply(params, inputs), reference.apply(params, inputs), rtol=1e-4, atol=1e-4)


def test_networks_of_several_runs_equal_each_alone():
    network = ours("VALID", width=0.25)
    params = jax.vmap(network.init)(jax.random.split(KEY, 2))
    together = jax.jit(jax.vmap(network.apply, in_axes=(0, None)))(params, PIXELS)
    for run in range(2):
        alone = network.apply(jax.tree.map(lambda leaf, run=run: leaf[run], params), PIXELS)
        np.testing.assert_allclose(together[run], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", [networks.c51(5), networks.quantile(4, dueling=True), networks.plain(noisy=True)])
def test_it_takes_any_head(head):
    network = ours("VALID", width=0.125, initialiser="fan_in_uniform", head=head)
    output = network.apply(network.init(KEY), PIXELS)
    assert output.shape == (2, *head.output_shape(4)) and np.isfinite(output).all()


def test_what_does_not_fit_is_named():
    variables = Reference("SAME").init(KEY, PIXELS)
    with pytest.raises(ValueError, match=r"Dense_0/kernel is \(7744, 512\); .*'VALID'.*\(3136, 512\)"):
        networks.from_flax(ours("VALID"), variables)
    with pytest.raises(ValueError, match=r"LayerNorm_0/bias is \(32,\); .* missing"):
        networks.from_flax(ours("VALID"), Reference("VALID", norm=True).init(KEY, PIXELS))
    for options, message in [
        ({"padding": "FULL"}, "padding is 'FULL'.*SAME, VALID"),
        ({"width": 0.01}, "width is 0.01"),
        ({"width": math.inf}, "width is inf; it must be finite"),
        ({"initialiser": "zeros"}, "initialiser is 'zeros'.*he_normal"),
    ]:
        with pytest.raises(ValueError, match=message):
            networks.describe("nature_cnn", 4, (84, 84, 4), **options)
    with pytest.raises(ValueError, match=r"at least 36 x 36 pixels, not \(10, 10, 4\)"):
        networks.describe("nature_cnn", 3, (10, 10, 4))


def test_minatars_network_can_be_pqns():
    """One convolution of 16 channels and 128 units, each normalised; he-normal but for the last layer."""

    class PQN(nn.Module):
        @nn.compact
        def __call__(self, observations):
            init = nn.initializers.he_normal()
            hidden = nn.Conv(16, (3, 3), padding="VALID", kernel_init=init)(observations.astype(jnp.float32))
            hidden = nn.relu(nn.LayerNorm()(hidden)).reshape(hidden.shape[0], -1)
            hidden = nn.relu(nn.LayerNorm()(nn.Dense(128, kernel_init=init)(hidden)))
            return nn.Dense(3)(hidden)

    images = PIXELS[:, :10, :10] > 128
    network = networks.describe("minatar_cnn", 3, (10, 10, 4), layer_norm=True, initialiser="he_normal")
    params = jax.tree.map(lambda leaf: leaf + 0.05, network.init(KEY))
    convolution = params["PatchConvolution_0"]["Dense_0"]
    renamed = {"Conv_0": convolution | {"kernel": convolution["kernel"].reshape(3, 3, 4, 16)}}
    variables = {
        "params": renamed | {name: layer for name, layer in params.items() if not name.startswith("PatchConvolution")}
    }
    np.testing.assert_allclose(network.apply(params, images), PQN().apply(variables, images), rtol=1e-4, atol=1e-4)
    fresh = network.init(KEY)["PatchConvolution_0"]["Dense_0"]["kernel"]
    assert float(fresh.std()) == pytest.approx(math.sqrt(2 / 36), rel=0.1)
