import re

import pytest

from purejaxrrl.students.update_schedule import update_schedule


def simulate(num_environments, steps_per_update, target_period, iteration_steps, iterations=1):
    """Iterations by counting: what happens, in order. An update is due for every `steps_per_update` agent steps."""
    events, steps, updates = [], 0, 0
    while steps < iterations * iteration_steps:
        events.append("row")
        steps += num_environments
        while (updates + 1) * steps_per_update <= steps:
            events.append("update")
            updates += 1
            if updates % target_period == 0:
                events.append("copy")
    return events


def unroll(nesting, iterations=1):
    """What the training step makes of the nesting."""
    events, updates = [], 0
    for _ in range(iterations * nesting.periods_per_iteration):
        for _ in range(nesting.cycles_per_period):
            events += ["row"] * nesting.rows_per_cycle
            for _ in range(nesting.updates_per_cycle):
                events.append("update")
                updates += 1
                events += ["copy"] * (not nesting.copies_end_periods and nesting.copy_is_due(updates))
        events += ["copy"] * nesting.copies_end_periods
    return events


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
    nesting = update_schedule(*settings)
    events = unroll(nesting)
    assert events == simulate(*settings)
    assert nesting.rows_per_iteration == events.count("row") == settings[3] // settings[0]
    assert nesting.updates_per_iteration == events.count("update") == settings[3] // settings[1]
    assert nesting.copies_end_periods and nesting.periods_per_iteration == events.count("copy")


@pytest.mark.parametrize(
    "settings",
    [
        (1, 4, 2_000, 250_000),  # the paper's: 31 copies and a quarter in an iteration
        (80, 4, 2_000, 250_000),
        (128, 4, 2_000, 249_984),  # a copy after half of a row's updates
        (8, 4, 9, 400),
        (8, 4, 10, 408),
        (16, 1, 5, 64),  # three copies among the updates of a row
        (4, 8, 3, 40),
    ],
)
def test_copies_are_counted_across_iterations_where_they_do_not_divide(settings):
    nesting = update_schedule(*settings)
    assert not nesting.copies_end_periods
    assert unroll(nesting, iterations=5) == simulate(*settings, iterations=5)
    assert nesting.rows_per_iteration * settings[0] == nesting.updates_per_iteration * settings[1] == settings[3]


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("value", [0, -4])
def test_numbers_below_one_are_refused(position, value):
    settings = [8, 4, 10, 400]
    settings[position] = value
    with pytest.raises(ValueError, match=f"is {value}; it must be at least 1"):
        update_schedule(*settings)


def test_updates_that_fall_between_rows_are_refused():
    with pytest.raises(ValueError, match="every 4 agent steps and 6 environments do not fit") as error:
        update_schedule(6, 4, 10, 240)
    assert str(error.value).endswith("environments that fit: 1, 2, 4, 8, 12, 16")


@pytest.mark.parametrize(
    "settings", [(128, 4, 2_000, 250_000), (32, 8, 2_000, 250_000), (4, 8, 10, 79), (8, 4, 10, 410), (7, 7, 2, 1)]
)
def test_an_iteration_that_ends_within_a_cycle_is_refused_with_remedies_that_work(settings):
    with pytest.raises(ValueError, match=f"an iteration of {settings[3]} .*take a multiple of") as error:
        update_schedule(*settings)
    multiple = int(re.search(r"take a multiple of (\d+)", str(error.value))[1])
    update_schedule(*settings[:3], 3 * multiple)
    environments = [int(number) for number in re.findall(r"\d+", str(error.value).partition("that fit: ")[2])]
    for number in environments:
        update_schedule(number, *settings[1:])
    assert bool(environments) == (settings[3] == 250_000)
    if settings[0] == 128:
        assert {100, 200} < set(environments)
