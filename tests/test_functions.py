"""Which function something is."""

import functools

from purejaxrrl import functions


def add(a, b):
    return a + b


class Adder:
    def __init__(self, shift):
        self.shift = shift

    def add(self, a):
        return a + self.shift


def test_a_function_is_its_name_and_what_it_says():
    def other(a, b):
        return a + b

    assert functions.identity(add).startswith("test_functions:add ")
    assert functions.identity(add) != functions.identity(other)
    assert functions.identity(add) != functions.identity(add, other)


def test_what_is_applied_in_part_or_of_an_object_is_the_function_itself():
    assert functions.identity(functools.partial(functools.partial(add, 1), 2)) == functions.identity(add)
    assert functions.identity(Adder(1).add) == functions.identity(Adder(2).add) == functions.identity(Adder.add)
    assert functions.identity(functools.wraps(add)(lambda a, b: add(a, b))) == functions.identity(add)


def test_what_python_cannot_read_has_a_name_alone():
    assert functions.identity(len).startswith("builtins:len ")
    assert functions.identity(len).split()[1] == functions.identity(max).split()[1]


def test_what_is_not_the_librarys_is_told():
    assert functions.of_ones_own(functions.identity, add, Adder) == [functions.identity(add), functions.identity(Adder)]
