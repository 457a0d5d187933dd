"""Reincarnating reinforcement learning (Agarwal et al., NeurIPS 2022) as pure JAX functions."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("purejaxrrl")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "unknown"

from purejaxrrl import networks, replay
from purejaxrrl.environments import make
from purejaxrrl.students import losses, qdagger, weaning
from purejaxrrl.students.hyperparameters import hyperparameter, stack
from purejaxrrl.students.losses import term, with_term
from purejaxrrl.students.settings import DQN, QDagger
from purejaxrrl.students.student import Output, Student, module_student, value_student
from purejaxrrl.teachers import Card, Teacher, datasets
from purejaxrrl.teachers import load as load_teacher
from purejaxrrl.teachers import save as save_teacher
from purejaxrrl.teachers import shipped as shipped_teacher

__all__ = [
    "DQN",
    "Card",
    "Output",
    "QDagger",
    "Student",
    "Teacher",
    "__version__",
    "datasets",
    "hyperparameter",
    "load_teacher",
    "losses",
    "make",
    "module_student",
    "networks",
    "qdagger",
    "replay",
    "save_teacher",
    "shipped_teacher",
    "stack",
    "term",
    "value_student",
    "weaning",
    "with_term",
]
