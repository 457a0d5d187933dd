"""Hyperparameters, each declared once: type, default, range, help, static or traced, and the phase in which it acts.

    @declare
    class QDagger(ValueBased):
        teacher_temperature: float = hyperparameter(0.1, "temperature of the teacher's softmax", above=0)

Command lines, checks and the grouping of runs into programs follow from the declaration. Settings are a pytree: traced
hyperparameters are its leaves, static ones belong to its structure. So `jax.vmap` over stacked settings trains a sweep in one
program, and settings that need programs of their own do not stack.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from pydantic.fields import FieldInfo

from purejaxrrl.errors import UserError, nearest
from purejaxrrl.files import validation

PHASES = "both", "offline", "online"
_TINIEST, _GREATEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_STRICT = pydantic.ConfigDict(strict=True, allow_inf_nan=False)
_TYPES = {float: np.float32, int: np.int32, bool: np.bool_}
Class = TypeVar("Class", bound=type)
LARGEST = 2**31 - 1
"""int32's, in which programs count."""


def hyperparameter(
    default: Any,
    help: str,
    *,
    static: bool = False,
    phase: str = "both",
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: Collection[str] = (),
    derived: bool = False,
) -> Any:
    """A field of a class of settings.

    Args:
      static: it decides shapes or the program's structure, so that runs which differ in it are programs apart. Otherwise it is
        traced: a scalar that may differ from run to run of one program.
      phase: the one in which it acts, of `PHASES`. Runs that differ online only share their offline phase.
      minimum, above, maximum: the range; `above` excludes its end. Numbers also have to be ones that a program can hold: int32,
        or float32.
      choices: of a traced string, which goes into the program as its place among them. They are looked at when settings are
        made, so that choices which are registered later count.
      derived: it follows from the others (`__post_init__`) and is nobody's to give.
    """
    if phase not in PHASES:
        raise UserError(f"phase {phase!r} is not one of {', '.join(PHASES)}")
    declared = {"static": static, "phase": phase, "choices": choices}
    if type(default) is int and maximum is None:
        maximum = LARGEST
    return pydantic.Field(
        default, ge=minimum, gt=above, le=maximum, description=help, init=not derived, json_schema_extra=declared
    )  # fmt: skip


def option(default: Any, help: str, **range: Any) -> Any:
    """A field of a program's options, which no compiled program sees: `seeds: int = option(4, "runs", minimum=1)`."""
    return hyperparameter(default, help, static=True, **range)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(hyperparameter, option))
def declare(cls: Class) -> Class:
    """Makes a frozen, checked dataclass of a class whose fields are `hyperparameter`s, and registers it as a pytree.

    It raises ValueError, in one line, where a value is not of its type or out of its range; a default, too.
    """
    wanted = getattr(cls, "__post_init__", None)  # a base's where the class has none of its own

    def post_init(self) -> None:
        _check_choices(self)
        _check_single_precision(self)
        if wanted:
            wanted(self)

    cls.__post_init__ = post_init
    made = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=validation.CONFIG)(cls)
    checked = made.__init__
    _check_defaults(made)

    def init(self, **values: Any) -> None:
        try:
            checked(self, **values)
        except pydantic.ValidationError as error:
            raise UserError(_in_one_line(error, made)) from None

    made.__init__ = init
    traced, static = _names(made, static=False), _names(made, static=True)

    def flatten(self) -> tuple[Iterator[tuple[Any, Any]], tuple]:
        leaves = ((jax.tree_util.GetAttrKey(name), _leaf(self, name)) for name in traced)
        return leaves, tuple(getattr(self, name) for name in static)

    def unflatten(values: tuple, leaves: Sequence[Any]) -> Any:
        self = object.__new__(made)  # leaves may be tracers, which no check could read
        for name, value in zip((*static, *traced), (*values, *leaves), strict=True):
            object.__setattr__(self, name, value)
        return self

    jax.tree_util.register_pytree_with_keys(made, flatten, unflatten)
    return made


def derive(self: Any, **values: Any) -> None:
    """Sets derived hyperparameters, from a class's `__post_init__`."""
    for name, value in values.items():
        object.__setattr__(self, name, value)


def extended(base: type, name: str, fields: Mapping[str, FieldInfo], **attributes: Any) -> type:
    """A class of settings that has more hyperparameters than `base`, and other class attributes.

    Raises ValueError where `base` has a hyperparameter of that name.
    """
    if taken := sorted(fields.keys() & base.__pydantic_fields__.keys()):
        raise UserError(f"{base.__name__} has a hyperparameter {taken[0]!r} already; take another name")
    types = {field: type(info.default) for field, info in fields.items()}
    return declare(type(name, (base,), {"__annotations__": types, **fields, **attributes}))


def with_defaults(**defaults: Any) -> Callable[[Class], Class]:
    """Gives a subclass other defaults than those that its bases declare; stands below `declare`."""

    def change(cls: Class) -> Class:
        declared = cls.__mro__[1].__pydantic_fields__
        annotations = cls.__dict__.get("__annotations__", {})
        for name, default in defaults.items():
            info = declared[name]
            extra = info.json_schema_extra
            again = pydantic.Field(default, description=info.description, json_schema_extra=extra)
            again.metadata = info.metadata
            setattr(cls, name, again)
            annotations = {name: info.annotation} | annotations
        cls.__annotations__ = annotations
        return cls

    return change


def declaration(cls: type, name: str) -> FieldInfo:
    """What is said of a hyperparameter: `annotation`, `default`, `description`, `metadata` (its range)."""
    return cls.__pydantic_fields__[name]


def names(cls: type) -> list[str]:
    """The hyperparameters that may be given, in the order in which they are declared."""
    return [name for name, info in cls.__pydantic_fields__.items() if info.init is not False]


def as_dict(settings: Any) -> dict[str, Any]:
    """Every hyperparameter's value by name, derived ones left out."""
    return {name: getattr(settings, name) for name in names(type(settings))}


def static_part(settings: Any) -> tuple[type, tuple[tuple[str, Any], ...]]:
    """What decides the program: the class and the static hyperparameters. Runs of equal parts can be stacked."""
    cls = type(settings)
    return cls, tuple((name, getattr(settings, name)) for name in _names(cls, static=True))


def offline_part(settings: Any) -> tuple[tuple[str, float], ...]:
    """The traced hyperparameters that the offline phase looks at, with their values."""
    phases = {name: info.json_schema_extra["phase"] for name, info in type(settings).__pydantic_fields__.items()}
    return tuple(
        (name, float(_leaf(settings, name)))
        for name in _names(type(settings), static=False)
        if phases[name] != "online"
    )


def as_arrays(settings: Any) -> Any:
    """The same settings with traced hyperparameters as JAX scalars: float32, int32 (also for choices) or bool."""
    return jax.tree.map(jnp.asarray, settings)


def stack(trees: Sequence[Any]) -> Any:
    """Stacks pytrees of equal structure along a new leading axis, for `jax.vmap`.

    Raises ValueError where settings differ in something static, naming it.
    """
    if not trees:
        raise UserError("nothing to stack; give at least one")
    first = trees[0]
    for other in trees[1:]:
        if hasattr(first, "__pydantic_fields__"):
            check_same_program(first, other)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def check_same_program(first: Any, other: Any) -> None:
    """Raises ValueError where two settings cannot be runs of one program, naming what differs."""
    if type(first) is not type(other):
        raise UserError(
            f"{type(first).__name__} and {type(other).__name__} are trained by programs of their own, not side by side"
        )
    for (name, value), (_, others) in zip(static_part(first)[1], static_part(other)[1], strict=True):
        if value != others:
            raise UserError(
                f"{name} is {value!r} in one and {others!r} in another run of one program; it decides shapes, so runs that "
                f"differ in it need programs of their own"
            )


def _names(cls: type, static: bool) -> tuple[str, ...]:
    fields = cls.__pydantic_fields__
    return tuple(name for name, info in fields.items() if info.json_schema_extra["static"] == static)


def _leaf(settings: Any, name: str) -> Any:
    """A traced hyperparameter as a typed scalar; arrays and tracers as they are."""
    value = getattr(settings, name)
    if isinstance(value, str):
        value = list(type(settings).__pydantic_fields__[name].json_schema_extra["choices"]).index(value)
    return _TYPES[type(value)](value) if type(value) in _TYPES else value


def _check_choices(settings: Any) -> None:
    for name, info in type(settings).__pydantic_fields__.items():
        choices, value = info.json_schema_extra["choices"], getattr(settings, name)
        if choices and value not in choices:
            raise UserError(f"unknown {name.replace('_', ' ')} {value!r}; the nearest are {nearest(value, choices)}")


def _check_single_precision(settings: Any) -> None:
    """Raises ValueError where a number is none, or 0, as a float32, which is how programs have it."""
    for name in type(settings).__pydantic_fields__:
        value = getattr(settings, name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not (number == 0 or _TINIEST <= abs(number) <= _GREATEST):
                raise UserError(f"{name} is {value}; single precision has 0 and {_TINIEST:.2g} to {_GREATEST:.2g}")


def _check_defaults(cls: type) -> None:
    """Raises ValueError where a field's default is not of its own type and range."""
    for name, info in cls.__pydantic_fields__.items():
        try:
            pydantic.TypeAdapter(Annotated[info.annotation, None, *info.metadata], config=_STRICT).validate_python(
                info.default
            )
        except pydantic.ValidationError as error:
            rule = validation.in_one_line(error).partition("; ")[2]
            raise UserError(f"the default of {name} is {info.default!r}; {rule}") from None


def _in_one_line(error: pydantic.ValidationError, cls: type) -> str:
    first = error.errors()[0]
    if first["type"] == "unexpected_keyword_argument":
        name = str(first["loc"][0])
        return f"{cls.__name__} has no setting {name!r}; the nearest are {nearest(name, names(cls))}"
    return validation.in_one_line(error)


def replace(settings: Any, **changes: Any) -> Any:
    """The settings with some changed, checked anew."""
    return dataclasses.replace(settings, **changes)
