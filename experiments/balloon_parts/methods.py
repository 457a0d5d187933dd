"""The methods that a balloon's student learns by, as changes of one student's settings."""

import dataclasses
from typing import Any, NamedTuple

from purejaxrrl import teachers
from purejaxrrl.environments.base import Environment
from purejaxrrl.errors import UserError, nearest
from purejaxrrl.students import balloon
from purejaxrrl.students import student as students
from purejaxrrl.students.hyperparameters import names, replace
from purejaxrrl.students.settings import DQN, QDagger, ValueBased
from purejaxrrl.students.student import Student


class Method(NamedTuple):
    """title: for figures. changes: of the settings. has_teacher: else it learns from the game alone. is_teachers_network: it goes on from
    the teacher's parameters."""

    title: str
    changes: dict[str, Any]
    has_teacher: bool = True
    is_teachers_network: bool = False


METHODS = {
    "qdagger": Method("QDagger", {}),
    "from_nothing": Method("from nothing", {}, has_teacher=False),
    "behaviour_cloning": Method("behaviour cloning", {"td_coefficient": 0.0, "online_iterations": 0}),
    "kickstarting": Method("kickstarting", {"offline_iterations": 0}),
    "fine_tuning": Method(
        "fine-tuning",
        {"learning_rate": balloon.OPTIMISER["learning_rate"]},
        has_teacher=False,
        is_teachers_network=True,
    ),
}
DEFAULT = "qdagger", "from_nothing"


def check(wanted: tuple[str, ...]) -> None:
    """Raises ValueError where there is no method of a name, none at all, or one twice."""
    for name in wanted:
        if name not in METHODS:
            raise UserError(f"unknown method {name!r}; the nearest are {nearest(name, METHODS)}")
    if not wanted or len(set(wanted)) < len(wanted):
        raise UserError(f"methods is {','.join(wanted)!r}; give each of those wanted once")


def settings_of(name: str, settings: QDagger, teacher: teachers.Teacher) -> ValueBased:
    """A method's settings: DQN's with the same values where it has no teacher.

    Raises ValueError where it learns by playing alone and nothing is played, or the teacher's network is to go on learning
    and is no MLP.
    """
    method = METHODS[name]
    if not (method.has_teacher or settings.online_iterations):
        raise UserError(
            f"--online-iterations is 0, and method {name} learns by playing alone; give at least 1, or leave it out of "
            f"--methods"
        )
    if not method.has_teacher:
        shared = {field: getattr(settings, field) for field in names(ValueBased)} | method.changes
        if method.is_teachers_network:
            shared |= _network_of(teacher)
        return DQN(**shared)
    changed = replace(settings, **method.changes)
    if not changed.online_iterations:  # its ring stays empty
        changed = replace(changed, capacity=_least_capacity(changed))
    return changed


def _least_capacity(settings: ValueBased) -> int:
    rows = max(settings.max_n_step + 1, -(-settings.batch_size // settings.num_environments))
    return rows * settings.num_environments


def _network_of(teacher: teachers.Teacher) -> dict[str, Any]:
    network = teacher.network
    if network is None or network.name != "mlp" or network.head.outputs != "quantiles":
        raise UserError(
            "fine_tuning goes on with the teacher's network, which must be an MLP of quantiles; leave the method out"
        )
    head = network.head
    return {
        "widths": dict(network.options)["widths"], "num_atoms": head.num_atoms, "dueling": head.dueling, "noisy": head.noisy,
    }  # fmt: skip


def student_of(name: str, settings: ValueBased, environment: Environment, teacher: teachers.Teacher) -> Student:
    """The student that the settings describe, from the teacher's parameters where the method goes on from them."""
    student = students.described(settings, environment, environment.default_params)
    if not METHODS[name].is_teachers_network:
        return student
    return dataclasses.replace(student, init=lambda key: teacher.params)
