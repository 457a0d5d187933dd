"""Which function something is."""

import functools

import jax
import numpy as np

from purejaxrrl import functions


def add(a, b):
    return a + b


class Adder:
    def __init__(self, shift):
        self.shift = shift

    def add(self, a):
        return a + self.shift


def subtract():
    def add(a, b):
        return a - b

    add.__qualname__ = "add"
    return add


def test_a_function_is_its_name_and_what_it_says():
    assert functions.identity(add).startswith("test_functions:add ")
    assert functions.identity(subtract()).startswith("test_functions:add ")
    assert functions.identity(add) != functions.identity(subtract())
    assert functions.identity(add) != functions.identity(add, subtract())


def test_what_is_applied_in_part_or_of_an_object_is_the_function_itself():
    array = np.ones(2)  # which no text says
    assert functions.identity(functools.partial(add, array)) == functions.identity(add)
    found = {functions.identity(functools.partial(add, a, b=b)) for a, b in ((1, 2.0), (1, 3.0), (2, 2.0))}
    assert len(found) == 3 and all(each.startswith("test_functions:add ") for each in found)
    jitted = jax.jit(functools.partial(add, 1, b=2.0))
    assert functions.identity(functools.wraps(jitted)(lambda: None)) in found
    assert functions.identity(Adder(1).add) == functions.identity(Adder(2).add) == functions.identity(Adder.add)
    assert functions.identity(functools.wraps(add)(lambda a, b: add(a, b))) == functions.identity(add)


def test_what_python_cannot_read_has_a_name_alone():
    assert functions.identity(len).startswith("builtins:len ")
    assert functions.identity(len).split()[1] == functions.identity(max).split()[1]


def test_what_is_not_the_librarys_is_told():
    assert functions.of_ones_own(functions.identity, add, Adder) == [functions.identity(add), functions.identity(Adder)]
