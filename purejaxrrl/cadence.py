"""How environment steps, updates, target copies and evaluations nest, so that no step has to ask whether it is time.

An iteration is periods (between copies to the target network) of cycles; a cycle is rows (one step of all environments)
followed by updates. As nested scans this needs neither `lax.cond` nor a counter per run.
"""

from typing import NamedTuple


class Cadence(NamedTuple):
    """The nesting of an iteration."""

    rows_per_cycle: int
    updates_per_cycle: int
    cycles_per_period: int
    periods_per_iteration: int

    @property
    def cycles_per_iteration(self) -> int:
        return self.cycles_per_period * self.periods_per_iteration

    @property
    def rows_per_iteration(self) -> int:
        return self.rows_per_cycle * self.cycles_per_iteration

    @property
    def updates_per_iteration(self) -> int:
        return self.updates_per_cycle * self.cycles_per_iteration


def cadence(num_environments: int, steps_per_update: int, target_period: int, iteration_steps: int) -> Cadence:
    """Works out the nesting.

    Args:
      num_environments: environments stepped together.
      steps_per_update: agent steps between updates.
      target_period: updates between copies to the target network.
      iteration_steps: agent steps between evaluations.

    Raises:
      ValueError: a number is not positive, or one does not divide into the other; the message says which and what would.
    """
    for name, value in (
        ("num_environments", num_environments),
        ("steps_per_update", steps_per_update),
        ("target_period", target_period),
        ("iteration length", iteration_steps),
    ):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if num_environments % steps_per_update and steps_per_update % num_environments:
        raise ValueError(
            f"one update every {steps_per_update} agent steps and {num_environments} environments do not fit; "
            f"one number must be a multiple of the other"
        )
    rows = max(1, steps_per_update // num_environments)
    updates = max(1, num_environments // steps_per_update)
    if target_period % updates:
        raise ValueError(
            f"a target_period of {target_period} updates is not a multiple of the {updates} updates that follow each step "
            f"of {num_environments} environments; take a multiple of {updates}"
        )
    period_steps = target_period * steps_per_update
    if iteration_steps % period_steps:
        raise ValueError(
            f"an iteration of {iteration_steps} agent steps is not a multiple of the {period_steps} between copies to the "
            f"target network ({target_period} updates of {steps_per_update} steps); take a multiple of {period_steps}"
        )
    return Cadence(rows, updates, target_period // updates, iteration_steps // period_steps)
