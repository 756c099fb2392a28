"""What a recipe is: everything that it takes to reproduce one row of one paper's table."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable

import keras


class SettingError(ValueError):
    """A recipe was asked for a field it lacks, or given a value of the wrong kind."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """Epochs during which nothing about the training changes.

    Args:
        name: of the folder of its checkpoints; unique within a run.
        title: what the progress bar shows.
        epochs: int >= 1, at the most.
        optimizer: function from the number of training steps to a fresh optimizer.
        losses: as for `keras.Model.compile`, by output name.
        loss_weights: by output name; 1 where not named.
        frozen: prefixes of the names of layers that stay as they are.
        patience: epochs without a better `monitor` after which to stop; `None`: never.
        monitor: what the best epoch has the least of, e.g. `"val_loss"`.
    """

    name: str
    title: str
    epochs: int
    optimizer: Callable[[int], keras.Optimizer]
    losses: dict
    loss_weights: dict | None = None
    frozen: tuple[str, ...] = ()
    patience: int | None = None
    monitor: str = "val_loss"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings and procedure of one training; a paper's recipe adds fields of its own.

    Args:
        arch: name of the architecture, as in `list_archs()`.
        procedure: function `(recipe, splits, training) -> keras.Model`.
        scale: `"paper"` for the paper's settings, `"quick"` for minutes on two cores.
        paper: the publication.
        image_size: side of the square input, or its height and width, px.
        channels: 1 (grey) or 3.
        batch_size: images per step, at least 1.
        flip_horizontal: probability of mirroring left and right while training.
        flip_vertical: probability of mirroring top and bottom while training.
        rotation_deg: rotation while training, uniform in +- this, degrees.
        shift: translation while training, uniform in +- this share of the side.
        zoom: least and most magnification while training, above 0.
        gain: brightness factor while training, uniform in 1 +- this.
        jit_compile: whether XLA compiles the training step; TensorFlow's fixed order of
            sums is then off, and two runs may differ in the last bits.
        cache: where decoded pixels are kept: auto, memory, disk or none.
        phantom_patients: patients of the phantom, used where no data is given.
        phantom_views: images of each of them.
        target: which labels, where the data has several and none is asked for.
        reported: function `(recipe) -> dict` of the figures that the paper reports for
            these settings.
    """

    arch: str
    procedure: Callable
    scale: str = "paper"
    paper: str = ""
    image_size: int
    channels: int = 1
    batch_size: int
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0
    rotation_deg: float = 0.0
    shift: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    gain: float = 0.0
    jit_compile: bool = False
    cache: typing.Literal["auto", "memory", "disk", "none"] = "auto"
    phantom_patients: int = 600
    phantom_views: int = 2
    target: str = "calcification"
    reported: Callable | None = None

    @property
    def size(self):
        """`(H, W)` of the input, px."""
        side = self.image_size
        return side if isinstance(side, tuple) else (side, side)

    def problems(self):
        """Returns what is out of range, as a list of str; a paper's recipe adds its own."""
        return unmet(
            self,
            {
                "image_size": min(self.size) >= 1,
                "channels": self.channels in (1, 3),
                "batch_size": self.batch_size >= 1,
                "flip_horizontal": 0 <= self.flip_horizontal <= 1,
                "flip_vertical": 0 <= self.flip_vertical <= 1,
                "rotation_deg": self.rotation_deg >= 0,
                "shift": self.shift >= 0,
                "zoom": 0 < self.zoom[0] <= self.zoom[1],
                "gain": self.gain >= 0,
                "phantom_patients": self.phantom_patients >= 1,
                "phantom_views": self.phantom_views >= 1,
            },
        )

    def settings(self):
        """Returns the fields that say how, as JSON can hold them."""
        return {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in ("procedure", "reported")
        }


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
            found[name.strip()] = " ".join(text.split())
    return found


# which recipe it is, not how it goes
FIXED = ("arch", "procedure", "scale", "paper", "target", "reported")


def differences(recipe, other):
    """Returns what differs in the settings, as sentences for a reader.

    Args:
        recipe: `Recipe`.
        other: the `Recipe` it is held against.
    """
    theirs = other.settings()
    return [
        f"{name} {_plain(value)} instead of {_plain(theirs[name])}"
        for name, value in recipe.settings().items()
        if name in theirs and value != theirs[name] and name not in FIXED
    ]


def _plain(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def override(recipe, assignments):
    """Returns the recipe with fields replaced, as `--set FIELD=VALUE` asks.

    Args:
        recipe: `Recipe`.
        assignments: sequence of str, `"field=value"`; lists are written with commas.

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
                f"--set {name}: no such field of {recipe.arch}. Fields: {', '.join(fields)}"
            )
        else:
            try:
                values[name] = _parse(text.strip(), hints[name])
            except ValueError as error:
                problems.append(f"--set {name}: {error}. Received: {text.strip()!r}")
    if problems:
        raise SettingError("\n".join(problems))
    recipe = dataclasses.replace(recipe, **values)
    if problems := recipe.problems():
        raise SettingError("\n".join(problems))
    return recipe


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
        parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
        if arguments[-1] is not Ellipsis and len(parts) != len(arguments):
            raise ValueError(f"takes {len(arguments)} values, separated by commas")
        return tuple(_parse(part, arguments[0]) for part in parts)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"must be of type {kind.__name__}") from None
