import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from toys import Corridor, CorridorParams

from purejaxrrl import losses, networks, teachers
from purejaxrrl.checkpoints import CheckpointError

CARD = teachers.Card(
    environment="toy/corridor",
    output="q_values",
    num_actions=3,
    observation_shape=(2,),
    score=12.5,
    random_score=2.5,
    evaluation_episodes=7,
    frames=1000,
    algorithm="DQN",
    seed=3,
    version="0.1",
    command="python train.py",
    longer_run={"frames": 2000, "score": 20.0},
)
NETWORK = networks.describe("mlp", 3, (2,), widths=(4,))
OBSERVATIONS = np.array([[0, 1], [5, 2], [9, 9]], np.int32)


@pytest.fixture(scope="module")
def teacher():
    return teachers.from_network(NETWORK, NETWORK.init(jax.random.key(0)), CARD)


@pytest.fixture(scope="module")
def saved(teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("teachers") / "teacher"
    teachers.save(path, teacher)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def edit(folder, change):
    about = json.loads((folder / "about.json").read_text())
    change(about)
    (folder / "about.json").write_text(json.dumps(about))


def test_a_saved_teacher_comes_back_bit_for_bit(teacher, saved):
    loaded = teachers.load(saved)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, teacher.params)
    assert jax.tree.structure(loaded.params) == jax.tree.structure(teacher.params)
    assert loaded.card == CARD and loaded.network == NETWORK
    assert loaded.fingerprint() == teacher.fingerprint()
    np.testing.assert_array_equal(
        loaded.apply(loaded.params, OBSERVATIONS), teacher.apply(teacher.params, OBSERVATIONS)
    )


def test_the_fingerprint_changes_with_one_bit_of_one_weight(teacher):
    for number, leaf in enumerate(jax.tree.leaves(teacher.params)):
        changed = np.array(leaf)
        changed.flat[-1] = np.nextafter(changed.flat[-1], np.float32(9))
        leaves, structure = jax.tree.flatten(teacher.params)
        params = structure.unflatten([*leaves[:number], changed, *leaves[number + 1 :]])
        assert dataclasses.replace(teacher, params=params).fingerprint() != teacher.fingerprint()


def test_the_fingerprint_changes_with_what_the_output_means_and_not_with_the_score(teacher):
    def fingerprint(**changes):
        return dataclasses.replace(teacher, card=dataclasses.replace(CARD, **changes)).fingerprint()

    assert fingerprint(output="logits") != teacher.fingerprint()
    assert fingerprint(environment="toy/other") != teacher.fingerprint()
    assert fingerprint(score=99.0, command="") == teacher.fingerprint()


def test_a_folder_that_is_missing_empty_or_a_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="nothing does not exist; give a teacher's folder"):
        teachers.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is empty; give a teacher's folder"):
        teachers.load(tmp_path / "empty")
    (tmp_path / "file").write_bytes(b"weights")
    with pytest.raises(CheckpointError, match="is a file, not a checkpoint's folder"):
        teachers.load(tmp_path / "file")


def test_a_half_written_teacher_is_refused(copy):
    shutil.move(copy / "about.json", copy / "elsewhere")
    with pytest.raises(CheckpointError, match="no about.json: it is half-written or another project's"):
        teachers.load(copy)
    shutil.move(copy / "elsewhere", copy / "about.json")
    shutil.rmtree(copy / "arrays")
    with pytest.raises(CheckpointError, match="has no arrays: it is half-written"):
        teachers.load(copy)


def test_a_teacher_with_emptied_arrays_is_refused(copy):
    for file in (copy / "arrays").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be restored .* damaged"):
        teachers.load(copy)


@pytest.mark.parametrize("name", ["config.json", "checkpoint", "q_network.pt"])
def test_another_projects_folder_is_refused(tmp_path, name):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / name).write_text("{}")
    with pytest.raises(CheckpointError, match="another project's; give a teacher's folder"):
        teachers.load(tmp_path / "theirs")


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.update(kind="purejaxrrl run"),
        lambda about: about.pop("card"),
        lambda about: about.pop("network"),
        lambda about: about.update(card=[1]),
        lambda about: about.update(network="mlp"),
        lambda about: about["card"].pop("score"),
        lambda about: about["card"].update(unheard_of=1),
        lambda about: about["card"].update(output="values"),
        lambda about: about["card"].update(observation_shape=None),
        lambda about: about["network"].update(name="transformer"),
        lambda about: about["network"]["options"].update(heads=8),
        lambda about: about["network"]["options"].update(widths=[5]),
        lambda about: about["network"].update(num_actions=4),
        lambda about: about["network"].update(observation_shape=[3]),
    ],
)
def test_a_description_that_does_not_describe_the_arrays_is_refused(copy, change):
    edit(copy, change)
    with pytest.raises(CheckpointError, match="give a teacher's folder"):
        teachers.load(copy)


def test_an_output_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="'advantages'; it must be one of q_values, logits"):
        dataclasses.replace(CARD, output="advantages")


def test_a_teacher_that_fits_is_accepted(teacher):
    teachers.check_fits(teacher, Corridor())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": "minatar/breakout"}, "trained on 'minatar/breakout', not 'toy/corridor'"),
        ({"num_actions": 4}, "has 4 actions and toy/corridor 3"),
        ({"observation_shape": (10, 10, 4)}, r"observations \(10, 10, 4\) and toy/corridor makes \(2,\)"),
        ({"score": 2.5}, "score of 2.5 is not above the random policy's 2.5"),
        ({"score": 1.0}, "not above the random policy's"),
        ({"score": float("nan")}, "not above the random policy's"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(teacher, changes, message):
    with pytest.raises(ValueError, match=message):
        teachers.check_fits(dataclasses.replace(teacher, card=dataclasses.replace(CARD, **changes)), Corridor())


def test_a_function_of_ones_own_is_a_teacher_but_cannot_be_saved(tmp_path):
    own = teachers.Teacher(lambda params, observations: observations @ params, jnp.ones((2, 3)), CARD)
    teachers.check_fits(own, Corridor())
    assert len(own.fingerprint()) == 64
    with pytest.raises(ValueError, match="cannot be saved; describe it"):
        teachers.save(tmp_path / "own", own)
    assert not list(tmp_path.iterdir())


def test_log_policy_of_q_values_has_the_temperature():
    q_values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    found = teachers.log_policy(q_values, "q_values", 0.1)
    np.testing.assert_allclose(found, log_softmax(q_values.astype(np.float64) / 0.1, -1), rtol=1e-4, atol=1e-5)


def test_log_policy_of_logits_does_not_look_at_the_temperature():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for temperature in (0.1, 7.0):
        found = teachers.log_policy(logits, "logits", temperature)
        np.testing.assert_allclose(found, log_softmax(logits, -1), rtol=1e-5, atol=1e-6)


def test_a_teacher_of_logits_can_be_distilled():
    def apply(params, observations):
        return jnp.stack(
            [jnp.zeros(len(observations)), observations[:, 1] * params, -jnp.inf * jnp.ones(len(observations))], -1
        )

    own = teachers.Teacher(apply, jnp.float32(np.log(3.0)), dataclasses.replace(CARD, output="logits"))
    preferences = own.apply(own.params, jnp.array([[0, 1]]))
    log_policy = teachers.log_policy(preferences, own.card.output, 0.1)
    np.testing.assert_allclose(jnp.exp(log_policy), [[0.25, 0.75, 0.0]], rtol=1e-6)
    divergence = losses.distillation(log_policy, jnp.zeros((1, 3)), 0.1)
    np.testing.assert_allclose(divergence, [0.25 * np.log(0.75) + 0.75 * np.log(2.25)], rtol=1e-5)


def test_normalised_scores_are_0_for_random_and_1_for_the_teacher():
    np.testing.assert_allclose(teachers.normalised_score(np.array([2.5, 12.5, 7.5, 22.5]), CARD), [0.0, 1.0, 0.5, 2.0])


def test_a_graduate_has_its_own_and_the_random_policys_score_on_its_card():
    # All episodes last 5 steps; action a earns a / 4 more a step; the network always prefers action 2.
    params = jax.tree.map(jnp.zeros_like, NETWORK.init(jax.random.key(0)))
    params["Dense_1"]["bias"] = jnp.array([0.0, 1.0, 2.0])
    limit = CorridorParams(limit=5)
    environment = Corridor(longest=1)
    environment.reset = lambda key, params=None: _long(*Corridor.reset(environment, key, params))
    graduate = teachers.graduate(
        jax.random.key(1), NETWORK, params, environment, limit, epsilon=0.0, episodes=400, frames=10, seed=4
    )
    card = graduate.card
    assert card.score == 15.0 + 5 * 0.5
    assert card.random_score == pytest.approx(15.0 + 5 * 0.25, abs=0.1)
    assert card.random_score != card.score
    assert (card.environment, card.output, card.num_actions, card.observation_shape) == (
        "toy/corridor", "q_values", 3, (2,),
    )  # fmt: skip
    assert (card.evaluation_episodes, card.frames, card.seed) == (400, 10, 4)


def _long(observation, state):
    return observation, state.replace(length=jnp.int32(1000))


def test_a_game_without_a_shipped_teacher_is_refused():
    with pytest.raises(CheckpointError, match="no teacher is shipped for 'toy/corridor'.*experiments/dqn.py"):
        teachers.shipped("toy/corridor")
