import json
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import networks, teachers

KEY = jax.random.key(0)
MINATAR_CNN = networks.describe("minatar_cnn", 3, (10, 10, 4))


@pytest.mark.parametrize(
    "network",
    [
        MINATAR_CNN,
        networks.describe("minatar_cnn", 6, (10, 10, 7), width=32, channels=8),
        networks.describe("mlp", 2, (4,)),
        networks.describe("mlp", 2, (4,), widths=(9, 8, 7)),
        networks.describe("mlp", 2, (), widths=()),
        networks.describe("minatar_cnn", 6, (10, 10, 7), head=networks.c51(21, -1.0, 5.0, dueling=True, noisy=True)),
    ],
)
def test_descriptions_survive_json(network):
    again = networks.Description.from_json(json.loads(json.dumps(network.to_json())))
    assert again == network and hash(again) == hash(network)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("mpl", 3, (4,)), {}, "unknown network 'mpl'; the nearest are mlp"),
        (("mlp", 3, (4,)), {"width": (3,)}, "'mlp' has no option 'width'; it has head, initialiser, widths"),
        (
            ("minatar_cnn", 3, (10, 10, 4)),
            {"widths": (3,)},
            "no option 'widths'; it has channels, head, initialiser, layer_norm, width",
        ),
        (("minatar_cnn", 3, (4,)), {}, r"takes images .* not \(4,\); take 'mlp'"),
        (("minatar_cnn", 3, (10, 2, 4)), {}, r"not \(10, 2, 4\)"),
    ],
)
def test_a_network_that_there_is_not_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        networks.describe(*arguments, **options)


@pytest.fixture
def linear():
    """A user's own module, registered for one test."""

    @networks.register("linear")
    class Linear(nn.Module):
        num_actions: int
        scale: float = 1.0

        @nn.compact
        def __call__(self, observations):
            flat = observations.reshape(observations.shape[0], -1).astype(jnp.float32)
            return self.scale * nn.Dense(self.num_actions)(flat)

    yield Linear
    if "linear" in networks.names():
        networks.unregister("linear")


def test_a_users_own_module_is_a_network(linear):
    network = networks.describe("linear", 3, (2, 2), scale=2.0)
    params = network.init(KEY)
    observations = np.arange(8.0).reshape(2, 2, 2)
    expected = 2.0 * observations.reshape(2, 4) @ params["Dense_0"]["kernel"]
    np.testing.assert_allclose(network.apply(params, observations), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network.apply_q_values(params, observations, KEY), expected, rtol=1e-5, atol=1e-6)
    assert network.num_parameters() == 4 * 3 + 3
    assert networks.Description.from_json(json.loads(json.dumps(network.to_json()))) == network


def card(**fields):
    return teachers.Card("minatar/breakout", "q_values", 3, (2,), 100.0, 20.0, 5, 100, **fields)


def test_a_teacher_made_of_a_users_module_is_saved_and_loaded(linear, tmp_path):
    network = networks.describe("linear", 3, (2,))
    teacher = teachers.from_network(network, network.init(KEY), card())
    teachers.save(tmp_path / "teacher", teacher)
    loaded = teachers.load(tmp_path / "teacher")
    assert loaded.network == network and loaded.fingerprint() == teacher.fingerprint()
    np.testing.assert_array_equal(loaded.apply(loaded.params, np.eye(2)), teacher.apply(teacher.params, np.eye(2)))


def test_who_lacks_a_saved_network_is_told_which_and_where_it_is(linear, tmp_path):
    network = networks.describe("linear", 3, (2,))
    teachers.save(tmp_path / "teacher", teachers.from_network(network, network.init(KEY), card()))
    networks.unregister("linear")
    expected = "network 'linear' is missing: the Python module '.*test_registry' registers it; import that first"
    with pytest.raises(ValueError, match=expected):
        networks.Description.from_json(network_json(tmp_path / "teacher"))
    with pytest.raises(ValueError, match=expected):
        teachers.load(tmp_path / "teacher")


def network_json(folder):
    return json.loads((folder / "about.json").read_text())["network"]


def test_reading_a_description_imports_nothing(tmp_path):
    (tmp_path / "their_networks.py").write_text("raise SystemExit('imported')")
    data = {"name": "theirs", "module": "their_networks", "num_actions": 2, "observation_shape": [4], "options": {}}
    program = (
        "from purejaxrrl import networks\n"
        f"try: networks.Description.from_json({data!r})\n"
        "except ValueError as error: print(error)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "'their_networks' registers it" in done.stdout


def test_a_c51_teacher_gives_q_values():
    network = networks.describe("mlp", 3, (2,), widths=(4,), head=networks.c51(11, -1.0, 2.0))
    teacher = teachers.from_network(network, network.init(KEY), card())
    observations = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    probabilities = jax.nn.softmax(network.apply(teacher.params, observations))
    expected = (probabilities * np.linspace(-1.0, 2.0, 11)).sum(-1)
    np.testing.assert_allclose(teacher.apply(teacher.params, observations), expected, rtol=1e-5, atol=1e-6)


def test_a_users_module_may_have_a_head_of_its_own():
    @networks.register("quantiles")
    class Quantiles(nn.Module):
        num_actions: int
        head: networks.Head = networks.quantile(8)

        @nn.compact
        def __call__(self, observations):
            return self.head(observations, self.num_actions)

    try:
        network = networks.describe("quantiles", 3, (2,))
        assert network.head == networks.quantile(8)
        assert network.apply(network.init(KEY), np.eye(2)).shape == (2, 3, 8)
        other = networks.describe("quantiles", 3, (2,), head=networks.c51())
        assert other.apply_q_values(other.init(KEY), np.eye(2)).shape == (2, 3)
    finally:
        networks.unregister("quantiles")


def test_a_class_that_is_defined_anew_takes_its_own_place(linear):
    again = type("Linear", (linear,), {"__module__": linear.__module__, "__qualname__": linear.__qualname__})
    networks.register("linear")(again)
    assert type(networks.describe("linear", 3, (2,)).module()) is again


def test_a_name_that_is_taken_is_refused(linear):
    class Other(linear):
        pass

    with pytest.raises(ValueError, match="network 'linear' is .*Linear; register .*Other by another name"):
        networks.register("linear")(Other)
    with pytest.raises(ValueError, match=r"network 'mlp' is purejaxrrl.networks.torsos.MLP; register"):
        networks.register("mlp")(Other)


class Nameless(nn.Module):
    pass


@pytest.mark.parametrize("module", [nn.Dense, Nameless, lambda observations: observations, 3])
def test_what_is_no_network_is_not_registered(module):
    with pytest.raises(ValueError, match="network 'mine' must be a flax module with a field num_actions, not"):
        networks.register("mine")(module)
    assert "mine" not in networks.names()


def test_only_what_was_registered_is_forgotten(linear):
    with pytest.raises(ValueError, match="no network 'mlp' was registered, only: linear"):
        networks.unregister("mlp")
    networks.unregister("linear")
    with pytest.raises(ValueError, match="no network 'linear' was registered, only: none"):
        networks.unregister("linear")
    with pytest.raises(ValueError, match="unknown network 'linear'; the nearest are"):
        networks.describe("linear", 3, (2,))


class Sideways(nn.Module):
    num_actions: int
    normalise: bool = False

    @nn.compact
    def __call__(self, observations):
        hidden = nn.BatchNorm(use_running_average=True)(observations) if self.normalise else observations
        return nn.Dense(self.num_actions + (not self.normalise))(hidden)


def test_a_module_that_cannot_be_trained_is_refused_when_described():
    networks.register("sideways")(Sideways)
    try:
        expected = r"network 'sideways' makes \(2, 4\) of 2 observations; its head's q_values are \(2, 3\)"
        with pytest.raises(ValueError, match=expected):
            networks.describe("sideways", 3, (2,))
        with pytest.raises(ValueError, match="network 'sideways' has batch_stats; it may only have parameters"):
            networks.describe("sideways", 3, (2,), normalise=True)
    finally:
        networks.unregister("sideways")


def test_an_option_that_json_cannot_hold_is_refused_when_saved(linear):
    network = networks.describe("linear", 3, (2,), scale=np.float64(2.0))
    assert json.dumps(network.to_json()["options"]) == '{"scale": 2.0}'
    with pytest.raises(ValueError, match=r"network linear's scale is .*, which a file cannot hold; give numbers"):
        networks.describe("linear", 3, (2,), scale=2j).to_json()


def test_lists_are_tuples():
    assert networks.describe("mlp", 2, [4], widths=[9, 8]) == networks.describe("mlp", 2, (4,), widths=(9, 8))
