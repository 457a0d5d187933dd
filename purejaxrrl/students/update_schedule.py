"""How environment steps, updates, target copies and evaluations nest, so that no step has to ask whether it is time.

An iteration is periods (between copies to the target network) of cycles; a cycle is rows (one step of all environments)
followed by updates. As nested scans this needs neither `lax.cond` nor a counter per run.

Copies are due after every `target_period` updates, counted across iterations. Where they fall between two cycles and an iteration
is made of whole periods, they end periods. Where they do not (the paper's iteration of 250,000 agent steps with a copy every 8,000,
or 128 environments, 32 updates after each row and a copy every 2,000 updates), an iteration is one period, and the copies are
made among its updates, by their number (`copy_is_due`).
"""

import math
from typing import NamedTuple

import chex

from purejaxrrl.errors import UserError


class UpdateSchedule(NamedTuple):
    """The nesting of an iteration, and whether copies to the target network end its periods."""

    rows_per_cycle: int
    updates_per_cycle: int
    cycles_per_period: int
    periods_per_iteration: int
    target_period: int
    copies_end_periods: bool

    @property
    def cycles_per_iteration(self) -> int:
        return self.cycles_per_period * self.periods_per_iteration

    @property
    def rows_per_iteration(self) -> int:
        return self.rows_per_cycle * self.cycles_per_iteration

    @property
    def updates_per_iteration(self) -> int:
        return self.updates_per_cycle * self.cycles_per_iteration

    def copy_is_due(self, updates: chex.Array) -> chex.Array:
        """Whether there is a copy after that many updates (int32, counted across iterations, as if none was left out)."""
        return updates % self.target_period == 0


def update_schedule(
    num_environments: int, steps_per_update: int, target_period: int, iteration_steps: int
) -> UpdateSchedule:
    """Works out the nesting.

    Args:
      num_environments: environments stepped together.
      steps_per_update: agent steps between updates.
      target_period: updates between copies to the target network.
      iteration_steps: agent steps between evaluations.

    Raises:
      ValueError: a number is not positive, environments and updates do not fit each other, or an iteration ends within a cycle;
        the message says what would fit.
    """
    for name, value in (
        ("num_environments", num_environments),
        ("steps_per_update", steps_per_update),
        ("target_period", target_period),
        ("iteration length", iteration_steps),
    ):
        if value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    asked = num_environments, steps_per_update, iteration_steps
    if num_environments % steps_per_update and steps_per_update % num_environments:
        raise UserError(
            f"one update every {steps_per_update} agent steps and {num_environments} environments do not fit; "
            f"one number must be a multiple of the other{_that_fit(*asked)}"
        )
    rows = max(1, steps_per_update // num_environments)
    updates = max(1, num_environments // steps_per_update)
    cycle_steps = rows * num_environments
    if iteration_steps % cycle_steps:
        raise UserError(
            f"an iteration of {iteration_steps} agent steps is not a multiple of the {cycle_steps} that {num_environments} "
            f"environments take between updates; take a multiple of {cycle_steps}{_that_fit(*asked)}"
        )
    cycles = iteration_steps // cycle_steps
    cycles_per_period = target_period // updates
    if target_period % updates or cycles % cycles_per_period:
        return UpdateSchedule(rows, updates, cycles, 1, target_period, copies_end_periods=False)
    return UpdateSchedule(
        rows, updates, cycles_per_period, cycles // cycles_per_period, target_period, copies_end_periods=True
    )


def _that_fit(num_environments: int, steps_per_update: int, iteration_steps: int) -> str:
    """What an error ends with: the numbers of environments nearest to the one asked for that fit the rest, at most six, in order."""
    divisors = {number for small in range(1, math.isqrt(iteration_steps) + 1) if iteration_steps % small == 0
                for number in (small, iteration_steps // small)}  # fmt: skip
    fit = [
        number
        for number in divisors
        if (number % steps_per_update == 0 or steps_per_update % number == 0)
        and iteration_steps % max(number, steps_per_update) == 0
    ]
    nearest = sorted(sorted(fit, key=lambda number: abs(number - num_environments))[:6])
    return f"; numbers of environments that fit: {', '.join(map(str, nearest))}" if nearest else ""
