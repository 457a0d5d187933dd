import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from toys import Corridor, CorridorParams

from purejaxrrl import networks, teachers
from purejaxrrl.files import checkpoints, documents, validation
from purejaxrrl.files.checkpoints import CheckpointError
from purejaxrrl.students import losses

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
    """Changes what is said of a checkpoint, as somebody who writes the checksum anew."""
    about = json.loads((folder / "about.json").read_text())
    del about["sha256"]
    change(about)
    (folder / "about.json").write_text(documents.text(about))


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


def test_functions_are_other_teachers_where_their_code_is():
    def first(params, observations):
        return observations[:, :1] * jnp.arange(3.0)

    def second(params, observations):
        return observations[:, 1:] * jnp.arange(3.0)

    second.__qualname__ = first.__qualname__
    made = [teachers.Teacher(function, None, CARD).fingerprint() for function in (first, second, first)]
    assert made[0] == made[2] != made[1]


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
    with pytest.raises(CheckpointError, match="is damaged in arrays/_CHECKPOINT_METADATA, .*arrays/manifest.ocdbt"):
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
    with pytest.raises(ValueError, match="output is 'advantages'; it must be 'q_values' or 'logits'"):
        dataclasses.replace(CARD, output="advantages")


def test_scores_are_of_episodes_up_to_a_limit_which_the_card_names(teacher):
    """Episodes of six steps, the longest; the first four return 1 + 2 + 3 + 4 and a quarter of each action, of which 2 is the greatest."""
    corridor, key = Corridor(longest=10**6), jax.random.key(0)
    idle = teachers.Teacher(lambda params, observations: jnp.zeros((len(observations), 3)), jnp.zeros(()), CARD)
    for limit, ideal in ((0, 21.0), (4, 10.0)):
        scored = teachers.scored_anew(key, idle, corridor, epsilon=0.0, episodes=8, limit=limit).card
        graduated = teachers.graduate(
            key, NETWORK, teacher.params, corridor, corridor.default_params, epsilon=0.0, episodes=8, limit=limit, frames=1
        ).card  # fmt: skip
        assert scored.evaluation_limit == graduated.evaluation_limit == limit and scored.score == ideal
        for found in (scored.random_score, graduated.random_score, graduated.score):
            assert ideal <= found <= ideal + 0.5 * (limit or 6)


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
    # The greedy policy's episodes are all alike; a random action's quarter has a variance of 1/24, and there are five an episode.
    assert card.score_error == 0.0
    assert card.random_score_error == pytest.approx(np.sqrt(5 / 24 / 400), rel=0.15)
    assert (card.environment, card.output, card.num_actions, card.observation_shape) == (
        "toy/corridor", "q_values", 3, (2,),
    )  # fmt: skip
    assert (card.evaluation_episodes, card.evaluation_epsilon, card.frames, card.seed) == (400, 0.0, 10, 4)
    again = teachers.scored_anew(jax.random.key(2), graduate, environment, epsilon=1.0, episodes=400)
    assert again.card.score == pytest.approx(21.0 + 6 * 0.25, abs=0.1), "of random actions, in six steps by default"
    assert again.card.evaluation_epsilon == 1.0


def test_a_card_is_written_without_touching_the_parameters(copy, teacher, tmp_path):
    files = {file: file.read_bytes() for file in (copy / "arrays").rglob("*") if file.is_file()}
    card = dataclasses.replace(teacher.card, score=13.0, score_error=0.25, evaluation_episodes=5000)
    teachers.save_card(copy, dataclasses.replace(teacher, card=card))
    loaded = teachers.load(copy)
    assert loaded.card == card and loaded.fingerprint() == teacher.fingerprint()
    assert files == {file: file.read_bytes() for file in (copy / "arrays").rglob("*") if file.is_file()}
    other = teachers.from_network(NETWORK, NETWORK.init(jax.random.key(1)), CARD)
    with pytest.raises(CheckpointError, match="holds another teacher than the card is of"):
        teachers.save_card(copy, other)
    with pytest.raises(CheckpointError, match="does not exist"):
        teachers.save_card(tmp_path / "none", teacher)
    assert teachers.load(copy).card == card


def _long(observation, state):
    return observation, state.replace(length=jnp.int32(1000))


def test_a_game_without_a_shipped_teacher_is_refused_with_the_command_that_trains_one():
    with pytest.raises(
        CheckpointError, match="no teacher is shipped for 'toy/corridor'.*experiments/dqn.py --environment toy"
    ):
        teachers.shipped("toy/corridor")
    with pytest.raises(
        CheckpointError, match="experiments/pqn.py --environment atari/tennis .*--teacher runs/tennis/teacher"
    ):
        teachers.shipped("atari/tennis")


SHIPPED = {
    "atari/breakout": "9f52ff29385225b329cb8f8ec9b8e0cc79b724710c0def3972bcfbde3e8d4d4e",
    "atari/pong": "48b445e834fae22eaf9a622cd8a5efdee292dd21f5ca5bfa77789d84a3dfb5a3",
    "minatar/asterix": "2cb276a1e3f410f6cc62e2e640fcd8ff40446558681bb076842072ca91de9424",
    "minatar/breakout": "84a47c5e661401f1777f0c35ff7ef7eabe29cf9980f7673088d95204800746ab",
    "minatar/freeway": "e5354181ab86a123247fbdab8bd9f16b39918dec3718686316ac1690c7446920",
    "minatar/seaquest": "59e231bcf964948bc01351c9cb1d71d292eafafd3c1d53ea7aab504c692450ff",  # of the mended game, since 0.2.0
    "minatar/space_invaders": "d62550067e66b92220feb21c39232d6827b5c7b2cf0a08c1325c791a12fe02ae",
}


@pytest.mark.parametrize("game", SHIPPED)
def test_the_shipped_teachers_are_what_they_were_and_have_checksums(game):
    path = teachers.shipped(game)
    assert teachers.load(path).fingerprint() == SHIPPED[game]
    assert checkpoints.read_about(path, teachers.KIND, "")["format"] == 2


def test_a_teacher_of_the_first_release_loads_with_its_fingerprint(teacher, copy):
    about = json.loads((copy / "about.json").read_text())
    for name in ("sha256", "arrays", "files"):
        del about[name]
    del about["card"]["environment_options"]
    (copy / "about.json").write_text(json.dumps(about | {"format": 1}))
    loaded = teachers.load(copy)
    assert loaded.card == CARD and loaded.fingerprint() == teacher.fingerprint()


def test_options_that_decide_what_is_seen_or_done_are_part_of_the_fingerprint(teacher):
    def fingerprint(options):
        card = dataclasses.replace(CARD, environment_options=options)
        return dataclasses.replace(teacher, card=card).fingerprint()

    assert fingerprint({}) == fingerprint({"mode": 1, "noop_max": 3}) == teacher.fingerprint()
    found = [fingerprint({"frame_skip": 2}), fingerprint({"frame_skip": 3}), fingerprint({"full_action_set": True})]
    assert len({teacher.fingerprint(), *found}) == 4
    assert fingerprint({"frame_skip": np.int32(2), "noop_max": 3}) == found[0]


def test_four_flipped_bytes_are_no_other_teacher(copy):
    data = max((copy / "arrays").rglob("d/*"), key=lambda file: file.stat().st_size)
    content = bytearray(data.read_bytes())
    for place in np.linspace(0, len(content) - 1, 4).astype(int):
        content[place] ^= 0xFF
    data.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"is damaged in {data.relative_to(copy)}; give a teacher's folder"):
        teachers.load(copy)


def test_a_changed_score_on_a_card_is_noticed(copy):
    text = (copy / "about.json").read_text()
    (copy / "about.json").write_text(text.replace("12.5", "13.5"))
    with pytest.raises(CheckpointError, match="about.json is damaged or was changed: its checksum does not hold"):
        teachers.load(copy)


def test_scalars_of_numpy_and_jax_are_a_cards_numbers(teacher, tmp_path):
    card = dataclasses.replace(
        CARD, score=np.float32(0.1), random_score=jnp.float32(0.0), frames=np.int64(5), evaluation_episodes=jnp.int32(2),
        longer_run={"frames": np.int32(7), "score": np.float64(1.5)}, observation_shape=[np.int64(2)],
    )  # fmt: skip
    assert [type(value) for value in (card.score, card.random_score, card.frames)] == [float, float, int]
    teachers.save(tmp_path / "teacher", dataclasses.replace(teacher, card=card))
    assert teachers.load(tmp_path / "teacher").card == card


RIGHT = {
    "environment": st.text(min_size=1),
    "output": st.sampled_from(teachers.OUTPUTS),
    "num_actions": st.integers(1, 2**40),
    "observation_shape": st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
    "score": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
    "random_score": st.floats(allow_nan=False, allow_infinity=False),
    "evaluation_episodes": st.integers(1),
    "frames": st.integers(0),
    "algorithm": st.text(),
    "seed": st.integers(),
    "version": st.text(),
    "command": st.text(),
    "longer_run": st.none() | st.dictionaries(st.text(), st.integers() | st.floats(-1e300, 1e300), max_size=2),
    "environment_options": st.dictionaries(st.text(), st.booleans() | st.integers() | st.text(), max_size=2),
}
WRONG = {
    "environment": [None, 1, "", b"minatar/breakout"],
    "output": [None, 0, "values", "Q_VALUES", ["q_values"]],
    "num_actions": [None, 0, -1, 2.0, True, "3", [3]],
    "observation_shape": [None, 3, "(2,)", [1.5], [-1], [[1]], {"0": 2}],
    "score": [None, "1", float("nan"), float("inf"), [1.0], 1j, {}],
    "random_score": [None, "1", float("nan"), -float("inf")],
    "evaluation_episodes": [None, 0, 0.5, "7", float("nan")],
    "frames": [None, -1, 1e6, "1e6"],
    "algorithm": [None, 3, ["DQN"]],
    "seed": [None, 0.0, "0", True],
    "version": [None, 0.1],
    "command": [None, ["python"]],
    "longer_run": [3, [1], {"score": "1"}, {"score": float("nan")}, {"score": None}],
    "environment_options": [None, 3, [1], {"mode": float("nan")}, {"mode": object()}],
}
CARDS = st.fixed_dictionaries(RIGHT)


def check_that_a_card_comes_back(fields):
    card = teachers.Card(**fields)
    content, _ = documents.parse(documents.text(documents.plain(card)).encode(), "it")
    assert validation.parse(teachers.Card, content) == card
    assert documents.plain(card) == content


def check_that_a_wrong_field_is_named(fields, name, value):
    for make in (
        lambda: teachers.Card(**fields | {name: value}),
        lambda: validation.parse(teachers.Card, fields | {name: value}),
    ):
        with pytest.raises(validation.InvalidError, match=f"^{name}") as error:
            make()
        assert "\n" not in str(error.value)


WRONG_FIELDS = st.sampled_from([(name, value) for name, values in WRONG.items() for value in values])


@settings(max_examples=60, deadline=None)
@given(CARDS)
def test_a_card_comes_back_from_json(fields):
    check_that_a_card_comes_back(fields)


@settings(max_examples=150, deadline=None)
@given(CARDS, WRONG_FIELDS)
def test_a_wrong_field_of_a_card_is_named_in_one_line(fields, wrong):
    check_that_a_wrong_field_is_named(fields, *wrong)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(CARDS, WRONG_FIELDS)
def test_cards_at_length(fields, wrong):
    check_that_a_card_comes_back(fields)
    check_that_a_wrong_field_is_named(fields, *wrong)


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(CARD) if field.default is dataclasses.MISSING][:8]
)
def test_a_card_without_a_field_is_refused(name):
    fields = {each: value for each, value in documents.plain(CARD).items() if each != name}
    with pytest.raises(validation.InvalidError, match=f"^{name} is missing$"):
        validation.parse(teachers.Card, fields)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_no_numbers_are_found_when_loaded(teacher, tmp_path, value):
    params = jax.tree.map(np.array, teacher.params)
    params["Dense_0"]["bias"][3] = value
    teachers.save(tmp_path / "teacher", dataclasses.replace(teacher, params=params))
    with pytest.raises(CheckpointError, match="Dense_0.bias are not all finite numbers"):
        teachers.load(tmp_path / "teacher")


@pytest.mark.parametrize(
    "options",
    [
        {"widths": ["a"]}, {"widths": [None]}, {"widths": "ab"}, {"widths": [[8]]}, {"widths": [-1]}, {"widths": [0.5]},
        {"widths": {"outputs": "q_values"}}, {"head": {"outputs": 1}}, {"head": {"x": 1}}, {"head": 3}, {"head": None}, {"width": 3},
        {"widths": [10**9]}, {"widths": [10**30]}, [], "x", None, 3,
    ],
)  # fmt: skip
def test_a_network_of_wrong_types_is_found_when_loaded(teacher, tmp_path, options):
    _rewritten(teacher, tmp_path, lambda about: about["network"].update(options=options))


@pytest.mark.parametrize("field", ["num_actions", "observation_shape", "name", "module", "options"])
@pytest.mark.parametrize("value", [None, "many", 10**400, -1, 0, [], [[]], {}, True, 1.5, "Infinity"])
def test_a_description_of_wrong_types_is_found_when_loaded(teacher, tmp_path, field, value):
    if (field, value) in (("options", {}), ("module", "many"), ("module", "Infinity")):
        pytest.skip("that is one")
    if field == "module":  # is only looked at where the network is none of ours
        _rewritten(teacher, tmp_path, lambda about: about["network"].update(name="theirs", module=value))
    else:
        _rewritten(teacher, tmp_path, lambda about: about["network"].update({field: value}))


def _rewritten(teacher, folder, change):
    """Loads a teacher whose description was changed by somebody who also wrote the checksum anew."""
    teachers.save(folder / "teacher", teacher)
    about, _ = documents.read(folder / "teacher" / "about.json")
    change(about)
    (folder / "teacher" / "about.json").write_text(documents.text(about))
    with pytest.raises(CheckpointError) as error:
        teachers.load(folder / "teacher")
    assert "\n" not in str(error.value)


def test_a_card_of_another_network_is_refused(teacher, tmp_path):
    _rewritten(teacher, tmp_path, lambda about: about["card"].update(num_actions=4))


def test_a_run_that_has_a_teacher_in_it_is_answered_with_its_place(teacher, tmp_path):
    teachers.save(tmp_path / "run" / "student", teacher)
    with pytest.raises(ValueError, match="run has no about.json.*give .*run/student, the teacher in it"):
        teachers.load(tmp_path / "run")
