import re

import pytest

from purejaxrrl.cadence import cadence


def simulate(num_environments, steps_per_update, target_period, iteration_steps):
    """An iteration by counting: what happens, in order. An update is due for every `steps_per_update` agent steps."""
    events, steps, updates = [], 0, 0
    while steps < iteration_steps:
        events.append("row")
        steps += num_environments
        while (updates + 1) * steps_per_update <= steps:
            events.append("update")
            updates += 1
            if updates % target_period == 0:
                events.append("copy")
    return events


def unroll(nesting):
    cycle = ["row"] * nesting.rows_per_cycle + ["update"] * nesting.updates_per_cycle
    return (cycle * nesting.cycles_per_period + ["copy"]) * nesting.periods_per_iteration


@pytest.mark.parametrize(
    "settings",
    [
        (8, 4, 10, 400),
        (4, 8, 10, 400),
        (1, 4, 25, 1000),
        (10, 10, 7, 210),
        (16, 1, 32, 64),
        (1, 1, 1, 5),
        (6, 3, 2, 12),
    ],
)
def test_the_nesting_does_what_counting_steps_does(settings):
    nesting = cadence(*settings)
    events = unroll(nesting)
    assert events == simulate(*settings)
    assert nesting.rows_per_iteration == events.count("row") == settings[3] // settings[0]
    assert nesting.updates_per_iteration == events.count("update") == settings[3] // settings[1]


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("value", [0, -4])
def test_numbers_below_one_are_refused(position, value):
    settings = [8, 4, 10, 400]
    settings[position] = value
    with pytest.raises(ValueError, match=f"is {value}; it must be at least 1"):
        cadence(*settings)


def test_updates_that_fall_between_rows_are_refused():
    with pytest.raises(ValueError, match="every 4 agent steps and 6 environments do not fit"):
        cadence(6, 4, 10, 240)


@pytest.mark.parametrize(("position", "settings"), [(2, (8, 4, 9, 400)), (3, (8, 4, 10, 410)), (3, (4, 8, 10, 79))])
def test_what_does_not_divide_is_refused_with_a_remedy_that_works(position, settings):
    with pytest.raises(ValueError, match=f"of {settings[position]} .*take a multiple of") as error:
        cadence(*settings)
    remedied = list(settings)
    remedied[position] = 3 * int(re.search(r"take a multiple of (\d+)", str(error.value))[1])
    if position == 2:
        remedied[3] = remedied[1] * remedied[2]
    cadence(*remedied)
