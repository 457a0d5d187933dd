"""Whether the runs that are asked for fit into memory, before data are collected for them and a machine is brought to a standstill."""

import functools
from collections.abc import Sequence

import jax

from purejaxrrl import replay
from purejaxrrl.environments.base import Environment
from purejaxrrl.replay import acting, space
from purejaxrrl.runs import devices
from purejaxrrl.runs.progress import counted
from purejaxrrl.students.settings import ValueBased
from purejaxrrl.students.student import Student, init_learner


def of_run(settings: ValueBased, environment: Environment, student: Student) -> tuple[replay.ReplayMemory, int]:
    """The ring of a run, and the bytes of what it keeps beside it: its learner, and the environments that it plays and is scored in."""
    params = environment.default_params
    ring = replay.memory_for(
        environment,
        params,
        settings.capacity,
        settings.num_environments,
        settings.max_n_step,
        teacher_outputs=environment.num_actions if settings.learns_from_teacher else 0,
    )
    made = [functools.partial(init_learner, jax.random.key(0), student, settings)]
    for number in (settings.num_environments, settings.evaluation_environments):
        made.append(functools.partial(acting.reset, jax.random.key(0), environment, params, number))
    return ring, sum(space.size(jax.eval_shape(function)) for function in made)


def most_runs(settings: ValueBased, environment: Environment, student: Student, shared: int = 0) -> int | None:
    """How many runs fit the local devices side by side; None where that cannot be known.

    shared: bytes of what they share, the teacher's data, which every device has; CPU devices have it once.
    """
    local = jax.local_devices()
    available = space.available_bytes(len(local))
    if available is None:
        return None
    ring, beside = of_run(settings, environment, student)
    return space.fitting(ring, beside, max(available - _copied(local, shared), 0), len(local))


def check_runs(
    settings: ValueBased,
    environment: Environment,
    student: Student,
    num_runs: int,
    shared: int = 0,
    shared_by: str = "data_transitions",
) -> None:
    """Raises UserError where that many runs, divided equally among the local devices and filled up with copies, do not fit.

    shared: as above. shared_by: the option that says how many these data are.
    """
    ring, beside = of_run(settings, environment, student)
    places = len(devices.equal_shares(num_runs))
    used = devices.devices_for(places)
    available, copied = space.available_bytes(len(used)), _copied(used, shared)
    replay.check_space(ring, places, places * beside, available, len(used), copied, shared_by)


def described(settings: ValueBased, environment: Environment, student: Student, num_runs: int, shared: int = 0) -> str:
    """What the runs take of the local devices' memory, in a line, and how many would fit.

    shared: as above.
    """
    ring, beside = of_run(settings, environment, student)
    of_ring = space.size(jax.eval_shape(ring.init))
    text = f"memory: {counted(num_runs, 'run')} of {_mib(of_ring + beside)} ({_mib(of_ring)} of it replay memory)"
    if shared:
        text += f", and {_mib(shared)} of the teacher's data"
    most = most_runs(settings, environment, student, shared)
    return text + (f"; {counted(most, 'run')} would fit" if most else "")


def _copied(used: Sequence[jax.Device], shared: int) -> int:
    """Bytes of what runs share, on all of those devices together."""
    return shared * (1 + devices.copies(used))


def _mib(number: int) -> str:
    return f"{number / 2**20:,.0f} MiB"
