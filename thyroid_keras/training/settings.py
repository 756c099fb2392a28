"""The fields of a recipe as a person sets them: read, checked, described, compared."""

import dataclasses
import inspect
import math
import re
import types
import typing

from thyroid_keras.spelling import suggestion

_COMMA = re.compile(r",(?![^(\[]*[)\]])")  # outside of brackets


class SettingError(ValueError):
    """A recipe was asked for a field it lacks, or given a value of the wrong kind."""


def refuse(problems):
    """Raises SettingError with all problems, a list of str, if there are any."""
    if problems:
        raise SettingError("\n".join(dict.fromkeys(problems)))


def seed_problems(seed):
    """Returns what is wrong with a seed, as a list of str: NumPy takes those in [0, 2**32)."""
    if 0 <= seed < 2**32:
        return []
    return [f"--seed must be from 0 to {2**32 - 1}. Received: seed={seed}"]


def later_seed(seed, number):
    """Returns the seed of the `number`-th training after the one that has `seed`."""
    return (seed + number) % 2**32


def unmet(recipe, conditions):
    """Returns a sentence for each field of a recipe whose condition does not hold."""
    return [
        f"--set {name}: out of range. {describe(type(recipe)).get(name, '')} "
        f"Received: {_plain(getattr(recipe, name))}"
        for name, holds in conditions.items()
        if not holds
    ]


def describe(kind):
    """Returns what each field of a recipe class means, from the docstrings.

    Args:
        kind: `Recipe` or a subclass.

    Returns:
        dict from field name to one line of text.
    """
    found = {}
    for base in reversed(kind.__mro__[:-1]):
        arguments = inspect.getdoc(base).partition("Args:\n")[2]
        for entry in re.split(r"\n    (?=\w+: )", f"\n{arguments}"):
            name, _, text = entry.partition(": ")
            if name:
                found[name.strip()] = " ".join(text.split())
    return found


# which recipe it is, not how it goes
FIXED = ("arch", "procedure", "scale", "paper", "target", "reported")


def differences(recipe, other, *, simulated=True):
    """Returns what differs in the settings, as sentences for a reader.

    Args:
        recipe: `Recipe`; its fields that change nothing are left out.
        other: the `Recipe` it is held against.
        simulated: bool, whether its data is, so that the fields of a phantom matter.
    """
    theirs, idle = other.settings(), _idle(recipe, simulated)
    return [
        f"{name} {_plain(value)} instead of {_plain(theirs[name])}"
        for name, value in _changed(recipe, other)
        if name not in idle
    ]


def in_vain(recipe, other, *, simulated=True):
    """Returns what differs in settings that change nothing, as `differences`, with the reason."""
    idle = _idle(recipe, simulated)
    return [
        f"{name} {_plain(value)} ({idle[name]})"
        for name, value in _changed(recipe, other)
        if name in idle
    ]


def _idle(recipe, simulated):
    phantoms = [name for name in recipe.settings() if name.startswith("phantom_")]
    return recipe.idle() | ({} if simulated else dict.fromkeys(phantoms, "there is data"))


def _changed(recipe, other):
    theirs = other.settings()
    return [
        (name, value)
        for name, value in recipe.settings().items()
        if name in theirs and value != theirs[name] and name not in FIXED
    ]


def _plain(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def override(recipe, assignments, *, check=True):
    """Returns the recipe with fields replaced, as `--set FIELD=VALUE` asks.

    Args:
        recipe: `Recipe`.
        assignments: sequence of str, `"field=value"`; lists are written with commas.
        check: whether values must be in range, and files there.

    Raises:
        SettingError: names every unknown field, every value of the wrong type or out of
            range.
    """
    hints = typing.get_type_hints(type(recipe))
    fields = [f.name for f in dataclasses.fields(recipe) if f.name not in FIXED]
    values, problems = {}, []
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals:
            problems.append(f"--set takes FIELD=VALUE. Received: {assignment!r}")
        elif name not in fields:
            problems.append(
                f"--set {name}: no such field of {recipe.arch}.{suggestion(name, fields)} "
                f"Fields: {', '.join(fields)}"
            )
        else:
            try:
                values[name] = _parse(text.strip(), hints[name])
            except ValueError as error:
                problems.append(f"--set {name}: {error}. Received: {text.strip()!r}")
    recipe = dataclasses.replace(recipe, **values)
    refuse(problems + (recipe.problems() if check else []))
    return recipe


def _unwrapped(text):
    """The same without brackets around all of it."""
    return text[1:-1] if (text[:1], text[-1:]) in (("(", ")"), ("[", "]")) else text


def _parse(text, kind):
    """Reads `text` as a value of the annotated type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in arguments:
            return None
        return _parse(text, next(a for a in arguments if a is not type(None)))
    if origin is typing.Literal:
        if text not in arguments:
            raise ValueError(f"must be one of {', '.join(arguments)}")
        return text
    if origin is tuple:
        parts = [part.strip() for part in _COMMA.split(_unwrapped(text)) if part.strip()]
        if arguments[-1] is not Ellipsis and len(parts) != len(arguments):
            raise ValueError(f"takes {len(arguments)} values, separated by commas")
        return tuple(_parse(part, arguments[0]) for part in parts)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return text.lower() == "true"
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"must be of type {kind.__name__}") from None
    if kind is float and not math.isfinite(value):
        raise ValueError("must be finite")
    return value
