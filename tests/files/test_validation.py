"""What is wrong with a value is said in one line that names it."""

from typing import Literal

import numpy as np
import pytest

from purejaxrrl.files import validation


@validation.validated
class Inner:
    count: validation.Count
    kind: Literal["a", "b"] = "a"

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("13 brings no luck; take 12")


@validation.validated
class Outer:
    inner: validation.nested(Inner)
    others: validation.sequence_of(validation.nested(Inner)) = ()


def test_objects_and_lists_of_json_become_dataclasses_and_tuples():
    found = validation.parse(Outer, {"inner": {"count": np.int64(3)}, "others": [{"count": 1, "kind": "b"}]})
    assert found == Outer(Inner(3), (Inner(1, "b"),))
    assert type(found.inner.count) is int


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"inner": {"count": -1}}, "inner is {'count': -1}; count is -1; it must be greater than or equal to 0"),
        ({"inner": {}}, "inner is {}; count is missing"),
        ({"inner": {"count": 1}, "others": [3]}, "others.0 is 3; it must be an instance of Inner"),
        ({"inner": {"count": 1}, "others": {}}, "others is {}; it must be a valid tuple"),
        ({"inner": {"count": 1}, "more": 1}, "more is 1; Unexpected keyword argument"),
        (
            {"inner": {"count": 1, "kind": "c" * 500}, "others": 1},
            "inner is {'count': 1, 'kind': 'ccc.*... .*and 1 more",
        ),
        ({"inner": {"count": 13}}, "13 brings no luck; take 12"),
        ([], r"\[\] is not an object with the fields of a Outer"),
        ({}, "^inner is missing$"),
    ],
)
def test_one_line_names_the_field_the_value_and_what_is_right(value, message):
    with pytest.raises(validation.InvalidError, match=message) as error:
        validation.parse(Outer, value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


def test_a_rule_over_several_fields_is_said_as_it_is():
    with pytest.raises(validation.InvalidError, match="^13 brings no luck; take 12$"):
        Inner(13)
