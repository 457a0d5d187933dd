"""Hyperparameters declared once: checks, what is static and what is traced, phases, and settings as a pytree."""

import math
import re
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl.students import hyperparameters, settings
from purejaxrrl.students.hyperparameters import (
    as_arrays,
    as_dict,
    check_same_program,
    declaration,
    declare,
    derive,
    extended,
    hyperparameter,
    names,
    offline_part,
    option,
    replace,
    stack,
    static_part,
    with_defaults,
)

COLOURS = {"red": 1, "green": 2}


@declare
class Toy:
    depth: int = hyperparameter(2, "layers", static=True, minimum=1)
    rate: float = hyperparameter(0.5, "step size", above=0)
    share: float = hyperparameter(0.25, "of the whole", minimum=0, maximum=1, phase="online")
    steps: int = hyperparameter(3, "of the course", minimum=0, maximum=9, phase="offline")
    flag: bool = hyperparameter(True, "a switch")
    colour: str = hyperparameter("red", "of the paint", choices=COLOURS)
    widths: tuple[int, ...] = hyperparameter((4, 4), "of the layers", static=True)
    doubled: int = hyperparameter(0, "twice the depth", static=True, derived=True)

    def __post_init__(self):
        if self.steps == 7:
            raise ValueError("steps is 7; any other will do")
        derive(self, doubled=2 * self.depth)


WRONG = {
    "below its range": ({"depth": 0}, "depth is 0; it must be greater than or equal to 1"),
    "at an excluded end": ({"rate": 0.0}, "rate is 0.0; it must be greater than 0"),
    "above its range": ({"share": 1.5}, "share is 1.5; it must be less than or equal to 1"),
    "not a number": ({"rate": math.nan}, "rate is nan; it must be a finite number"),
    "infinite": ({"rate": math.inf}, "rate is inf; it must be a finite number"),
    "text for a number": ({"rate": "0.5"}, "rate is '0.5'; it must be a valid number"),
    "a fraction for an integer": ({"steps": 2.5}, "steps is 2.5; it must be a valid integer"),
    "a number for a switch": ({"flag": 1}, "flag is 1; it must be a valid boolean"),
    "no choice": ({"colour": "gren"}, "unknown colour 'gren'; the nearest are green"),
    "a name that is none": ({"ratee": 0.5}, "Toy has no setting 'ratee'; the nearest are rate"),
    "a derived one": ({"doubled": 4}, "Toy has no setting 'doubled'"),
    "its own check": ({"steps": 7}, "steps is 7; any other will do"),
    "in a list": ({"widths": (4, 2.5)}, "widths.1 is 2.5; it must be a valid integer"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(case):
    values, message = WRONG[case]
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        Toy(**values)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="doubled" if case == "a derived one" else re.escape(message)):
        replace(Toy(), **values)  # changes are checked like what is made


def test_how_much_more_is_wrong_is_said():
    with pytest.raises(ValueError, match="depth is 0; it must be greater than or equal to 1 .and 1 more."):
        Toy(depth=0, rate=-1.0)


def test_an_integer_is_a_number():
    assert Toy(rate=1).rate == 1.0 and type(Toy(rate=1).rate) is float


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        Toy().rate = 0.1


def test_what_is_traced_is_a_leaf_and_what_is_static_is_structure():
    leaves, structure = jax.tree.flatten(as_arrays(Toy(colour="green")))
    assert [(leaf.dtype, leaf.shape) for leaf in leaves] == [
        (jnp.float32, ()), (jnp.float32, ()), (jnp.int32, ()), (jnp.bool_, ()), (jnp.int32, ()),
    ]  # fmt: skip
    assert leaves[-1] == 1  # a choice is its place
    assert jax.tree.structure(as_arrays(Toy(rate=0.1, colour="red"))) == structure
    assert jax.tree.structure(as_arrays(Toy(depth=3))) != structure
    again = jax.tree.unflatten(structure, leaves)
    assert (again.depth, again.widths, again.doubled) == (2, (4, 4), 4) and again.rate == 0.5


def test_jit_compiles_once_for_values_and_again_for_what_is_static():
    traces = []

    @jax.jit
    def scaled(settings, x):
        traces.append(settings.depth)
        return settings.rate * settings.depth * x

    assert scaled(as_arrays(Toy(rate=0.5)), 3.0) == 3.0 and scaled(as_arrays(Toy(rate=2.0)), 3.0) == 12.0
    assert traces == [2]
    assert scaled(as_arrays(Toy(rate=2.0, depth=1)), 3.0) == 6.0
    assert traces == [2, 1]
    # Settings as they are made, without `as_arrays`, are traced as well.
    assert scaled(Toy(rate=3.0, depth=1), 1.0) == 3.0 and traces == [2, 1]


def test_vmap_over_stacked_settings():
    rates = [0.5, 1.0, 2.0]
    stacked = stack(
        [Toy(rate=rate, colour=colour) for rate, colour in zip(rates, ["red", "green", "red"], strict=True)]
    )
    assert stacked.depth == 2 and stacked.rate.shape == (3,)
    found = jax.vmap(lambda settings: settings.rate * settings.depth + 10 * settings.colour)(stacked)
    np.testing.assert_allclose(found, [1.0, 12.0, 4.0])


def test_settings_that_differ_in_something_static_do_not_stack():
    with pytest.raises(ValueError, match="depth is 2 in one and 3 in another run of one program"):
        stack([Toy(), Toy(rate=0.1), Toy(depth=3)])

    @declare
    class Other(Toy):
        pass

    with pytest.raises(ValueError, match="Toy and Other are trained by programs of their own"):
        check_same_program(Toy(), Other())
    check_same_program(Toy(rate=0.1), Toy(rate=0.2))
    with pytest.raises(ValueError, match="steps is 7"):
        Other(steps=7)  # a base's check holds where a class has none of its own
    assert Other(depth=3).doubled == 6


def test_the_static_part_is_what_decides_the_program():
    assert static_part(Toy(rate=0.1, share=1.0, flag=False, colour="green")) == static_part(Toy())
    assert {static_part(Toy()), static_part(Toy(depth=3)), static_part(Toy(widths=(4,)))}.__len__() == 3
    assert dict(static_part(Toy(depth=3))[1]) == {"depth": 3, "widths": (4, 4), "doubled": 6}


def test_the_offline_part_is_what_the_offline_phase_looks_at():
    assert dict(offline_part(Toy(colour="green"))) == {"rate": 0.5, "steps": 3.0, "flag": 1.0, "colour": 1.0}
    assert offline_part(Toy(share=1.0)) == offline_part(Toy())
    assert offline_part(Toy(steps=4)) != offline_part(Toy())


def test_what_is_derived_follows_from_the_others_and_is_nobodys_to_give():
    assert Toy().doubled == 4 and replace(Toy(), depth=5).doubled == 10
    assert "doubled" not in names(Toy) and "doubled" not in as_dict(Toy())
    assert Toy(**as_dict(Toy(depth=3))) == Toy(depth=3)


def test_a_class_is_extended_by_more_hyperparameters():
    cls = extended(Toy, "More", {"weight": hyperparameter(1.0, "of it", minimum=0)}, kind="own")
    assert names(cls) == [*names(Toy), "weight"] and cls.kind == "own"
    assert cls(weight=2.0, depth=3).doubled == 6 and len(jax.tree.leaves(cls())) == len(jax.tree.leaves(Toy())) + 1
    with pytest.raises(ValueError, match="weight is -1.0; it must be greater than or equal to 0"):
        cls(weight=-1.0)
    with pytest.raises(ValueError, match="unknown colour"):
        cls(colour="blue")
    with pytest.raises(ValueError, match="steps is 7"):
        cls(steps=7)
    with pytest.raises(ValueError, match="Toy has a hyperparameter 'rate' already; take another name"):
        extended(Toy, "Again", {"rate": hyperparameter(1.0, "mine")})
    assert "weight" not in names(Toy)


@declare
@with_defaults(rate=0.1, colour="green")
class Slow(Toy):
    def __post_init__(self):
        Toy.__post_init__(self)


def test_another_default_keeps_range_help_and_phase():
    assert (Slow().rate, Slow().colour, Slow().depth, Toy().rate) == (0.1, "green", 2, 0.5)
    assert names(Slow) == names(Toy)
    for name in names(Toy):
        ours, theirs = declaration(Slow, name), declaration(Toy, name)
        assert (ours.description, ours.metadata, ours.annotation) == (
            theirs.description,
            theirs.metadata,
            theirs.annotation,
        )
        assert ours.json_schema_extra == theirs.json_schema_extra
    with pytest.raises(ValueError, match="rate is 0.0; it must be greater than 0"):
        Slow(rate=0.0)
    with pytest.raises(ValueError, match="unknown colour"):
        Slow(colour="blue")
    with pytest.raises(ValueError, match="steps is 7"):
        Slow(steps=7)
    assert Slow().doubled == 4
    assert jax.tree.structure(as_arrays(Slow())).num_leaves == 5


def test_choices_that_are_registered_later_count():
    COLOURS["blue"] = 3
    try:
        assert as_arrays(Toy(colour="blue")).colour == 2
    finally:
        del COLOURS["blue"]
    with pytest.raises(ValueError, match="unknown colour 'blue'"):
        Toy(colour="blue")


def test_a_phase_that_is_none_is_refused():
    with pytest.raises(ValueError, match="phase 'onlin' is not one of both, offline, online"):
        hyperparameter(1.0, "it", phase="onlin")


def test_an_option_is_static_and_has_a_range():
    @declare
    class Options:
        seeds: int = option(4, "runs", minimum=1)

    assert jax.tree.leaves(Options()) == []
    with pytest.raises(ValueError, match="seeds is 0"):
        Options(seeds=0)


ALL = settings.ValueBased, settings.DQN, settings.QDagger
UNBOUNDED = "v_min", "v_max"  # returns may be anything, as long as one is less than the other


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_setting_has_a_help_text_and_every_number_a_range(cls):
    assert cls() == cls(**as_dict(cls()))  # the defaults are allowed
    for name in names(cls):
        declared = declaration(cls, name)
        assert declared.description and len(declared.description) > 3, name
        assert declared.json_schema_extra["phase"] in hyperparameters.PHASES
        kind = declared.annotation
        assert kind in (int, float, bool, str) or typing.get_origin(kind) is tuple, name
        if kind in (int, float) and name not in UNBOUNDED:
            assert any(hasattr(bound, "ge") or hasattr(bound, "gt") for bound in declared.metadata), (
                f"{name} has no range"
            )
            with pytest.raises(ValueError, match=name):
                cls(**{name: kind(-1)})
        if kind is float:
            for value in (math.nan, math.inf):
                with pytest.raises(ValueError, match=f"{name} is {value}; it must be a finite number"):
                    cls(**{name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_step": 6}, "n_step is 6; it must lie between 1 and max_n_step, 5"),
        ({"widths": (4, 0)}, r"widths is \(4, 0\); a layer has at least 1 unit"),
        ({"capacity": 24}, "a batch of 32 is larger than the replay memory's capacity of 24"),
        ({"capacity": 1001}, "1001 does not divide into rows of 8"),
        ({"steps_per_update": 3}, "every 3 agent steps and 8 environments do not fit"),
        ({"iteration_steps": 1234}, "1234 agent steps is not a multiple of the 8 "),
        ({"offline_updates": 300}, "offline_updates is 300, not a multiple of target_period, 250; take 250"),
        ({"head": "c52"}, "unknown head 'c52'; the nearest are c51"),
        ({"weaning": "cosin"}, "unknown weaning 'cosin'; the nearest are cosine"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        settings.QDagger(**values)


def test_an_offline_phase_that_is_left_out_may_be_of_any_length():
    assert settings.QDagger(offline_iterations=0, offline_updates=300).offline_updates == 300


def test_rehearsal_decides_the_program():
    """A second ring to draw from is another program; how much is drawn is not."""
    without, with_some = settings.QDagger(), settings.QDagger(rehearsal_fraction=0.25)
    assert not without.rehearses and with_some.rehearses
    assert static_part(without) != static_part(with_some) == static_part(settings.QDagger(rehearsal_fraction=0.5))
    assert settings.QDagger(offline_iterations=0).needs_data is False
    assert settings.QDagger(offline_iterations=0, rehearsal_fraction=0.1).needs_data and without.needs_data


def test_what_acts_online_alone_is_no_part_of_the_offline_phase():
    online = {"weaning", "weaning_steps", "epsilon_start", "rehearsal_fraction", "roll_in_steps", "online_cql_coefficient", "fresh_optimiser"}  # fmt: skip
    looked_at = set(dict(offline_part(settings.QDagger())))
    assert not online & looked_at
    assert {"n_step", "discount", "cql_coefficient", "offline_learning_rate", "learning_rate", "adam_eps"} <= looked_at
