import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import networks

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).random((5, 10, 10, 4)) < 0.3
TORSOS = {"mlp": {"widths": (7,)}, "minatar_cnn": {"channels": 2, "width": 7}}
MAKERS = {"q_values": networks.plain, "atom_logits": networks.c51, "quantiles": networks.quantile}


def describe(head, torso="mlp", num_actions=3):
    return networks.describe(torso, num_actions, (10, 10, 4), head=head, **TORSOS[torso])


@pytest.mark.parametrize("torso", TORSOS)
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(("outputs", "shape"), [("q_values", ()), ("atom_logits", (51,)), ("quantiles", (200,))])
def test_every_head_on_every_torso_has_its_shape(torso, outputs, shape, dueling, noisy):
    network = describe(MAKERS[outputs](dueling=dueling, noisy=noisy), torso)
    params = network.init(KEY)
    for key in (None, KEY):
        output = network.apply(params, IMAGES, key)
        q_values = network.q_values(output)
        assert output.shape == (5, 3, *shape) and output.shape[1:] == network.head.output_shape(3)
        assert q_values.shape == (5, 3) and output.dtype == q_values.dtype == jnp.float32
        assert (network.apply(params, IMAGES, key) == output).all()
        assert bool((output != network.apply(params, IMAGES)).any()) == (noisy and key is not None)
        np.testing.assert_allclose(network.apply_q_values(params, IMAGES, key), q_values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_atoms", [None, 4])
def test_dueling_is_value_plus_advantage_less_its_mean(num_atoms):
    head = networks.quantile(num_atoms, dueling=True) if num_atoms else networks.plain(dueling=True)
    network = describe(head)
    params = jax.tree.map(lambda leaf: leaf + 0.1, network.init(KEY))
    hidden = IMAGES.reshape(5, 400).astype(np.float32)
    hidden = np.maximum(hidden @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"], 0.0)
    value = (hidden @ params["value"]["kernel"] + params["value"]["bias"]).reshape(5, 1, -1)
    advantage = (hidden @ params["advantage"]["kernel"] + params["advantage"]["bias"]).reshape(5, 3, -1)
    expected = value + advantage - advantage.mean(1, keepdims=True)
    np.testing.assert_allclose(
        network.apply(params, IMAGES).reshape(5, 3, -1), expected.reshape(5, 3, -1), rtol=1e-4, atol=1e-4
    )


def test_q_values_of_c51_are_expectations_over_its_support():
    head = networks.c51(5, -2.0, 4.0)
    np.testing.assert_allclose(head.support, [-2.0, -0.5, 1.0, 2.5, 4.0])
    logits = np.random.default_rng(1).normal(size=(6, 3, 5)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = (probabilities * np.array([-2.0, -0.5, 1.0, 2.5, 4.0])).sum(-1)
    np.testing.assert_allclose(head.q_values(logits), expected, rtol=1e-5, atol=1e-6)


def test_q_values_of_quantiles_are_their_mean():
    quantiles = np.random.default_rng(1).normal(size=(6, 3, 8)).astype(np.float32)
    np.testing.assert_allclose(networks.quantile(8).q_values(quantiles), quantiles.mean(-1), rtol=1e-5, atol=1e-6)


def test_q_values_of_a_plain_head_are_its_output():
    values = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    np.testing.assert_array_equal(networks.plain().q_values(values), values)


@pytest.mark.parametrize("torso", TORSOS)
def test_every_linear_layer_of_a_noisy_network_is_noisy_and_learns_its_noise(torso):
    network = describe(networks.c51(dueling=True, noisy=True), torso)
    params = network.init(KEY)
    assert {name for name in params if "kernel_sigma" in params[name]} == {"NoisyDense_0", "advantage", "value"}
    gradient = jax.grad(lambda params: (network.apply(params, IMAGES, KEY) ** 2).sum())(params)
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(gradient))
    without = jax.grad(lambda params: (network.apply(params, IMAGES) ** 2).sum())(params)
    assert not without["value"]["kernel_sigma"].any() and without["value"]["kernel"].any()


def test_layers_of_one_network_draw_different_noise():
    network = networks.describe("mlp", 2, (6,), widths=(6, 6), head=networks.plain(noisy=True))
    params = network.init(KEY)
    params = jax.tree.map(jnp.zeros_like, params)
    for layer in ("NoisyDense_0", "NoisyDense_1"):
        biases = params | {layer: params[layer] | {"bias_sigma": jnp.ones(6)}}
        _, state = network.module().apply(
            {"params": biases}, jnp.zeros((1, 6)), rngs={"noise": KEY}, capture_intermediates=True
        )
        params[layer]["seen"] = state["intermediates"][layer]["__call__"][0]
    assert (params["NoisyDense_0"]["seen"] != params["NoisyDense_1"]["seen"]).all()


@pytest.mark.parametrize("noisy", [False, True])
def test_heads_of_many_runs_under_vmap_equal_each_alone_without_a_convolution(noisy):
    network = describe(networks.c51(dueling=True, noisy=noisy), "minatar_cnn")
    keys = jax.random.split(KEY, 3)
    params = jax.vmap(network.init)(keys)
    apply = jax.jit(jax.vmap(network.apply, in_axes=(0, None, 0)))
    together = apply(params, IMAGES, keys)
    for run in range(3):
        alone = network.apply(jax.tree.map(lambda leaf, run=run: leaf[run], params), IMAGES, keys[run])
        np.testing.assert_allclose(together[run], alone, rtol=1e-4, atol=1e-5)
    assert "convolution" not in apply.lower(params, IMAGES, keys).as_text()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: networks.Head("atoms"), "outputs are 'atoms'; they must be one of q_values, atom_logits, quantiles"),
        (lambda: networks.Head("q_values", 51), "num_atoms is 51; for q_values it must be 1"),
        (lambda: networks.c51(1), "num_atoms is 1; for atom_logits it must be at least 2"),
        (lambda: networks.quantile(0), "num_atoms is 0; for quantiles it must be at least 1"),
        (lambda: networks.c51(51, 10.0, 10.0), r"v_min is 10.0 and v_max 10.0; v_min must be below v_max"),
        (lambda: networks.c51(51, float("nan"), 10.0), "v_min is nan"),
    ],
)
def test_a_head_that_there_is_not_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
