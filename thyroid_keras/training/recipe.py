"""What a recipe is: everything that it takes to reproduce one row of one paper's table."""

import dataclasses
import math
import typing
from collections.abc import Callable

import keras

from thyroid_keras.training.settings import unmet


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
        frozen: prefixes of the names of layers that stay as they are; one that ends in `/` is
            a whole name.
        patience: epochs without a better `monitor` after which to stop; `None`: never.
        monitor: what the best epoch has the least of, e.g. `"val_loss"`.
        after_epoch: function called after each epoch, before its state is kept; what it
            changes in the weights belongs to that state. `None`: nothing.
        metrics: as for `keras.Model.compile`, by output name, for the history alone.
        leaves: whether the phase leaves the weights of its `best` epoch or of its `last`.
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
    after_epoch: Callable[[], None] | None = None
    metrics: dict | None = None
    leaves: typing.Literal["best", "last"] = "best"


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
        phantom_typicality: how much more typical than in life its benign and malignant
            nodules are (`target` malignancy alone), at least 0.
        phantom_text_leak: share of its pictures, framed by a border, into which words are
            burned that give the class away (`target` malignancy or calcification), in [0, 1].
        target: which labels, where the data has several and none is asked for.
        borders: how borders, text and calipers are taken out of every picture before
            anything else: `none`, `classical`, or the run folder or .keras file of a
            border_unet.
        views: pictures of two views side by side: `keep`, or `split` into two.
        reported: function `(recipe) -> dict` of the figures that the paper reports for
            these settings.
    """

    # whether the procedure fits the validation images, too: a run then leaves none to choose by
    learns_from_validation: typing.ClassVar[bool] = False

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
    phantom_typicality: float = 0.0
    phantom_text_leak: float = 0.0
    target: str = "calcification"
    borders: str = "none"
    views: typing.Literal["keep", "split"] = "keep"
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
                "phantom_text_leak": 0 <= self.phantom_text_leak <= 1,
                "phantom_typicality": 0 <= self.phantom_typicality < math.inf,
            },
        )

    def data_problems(self, splits):
        """Returns what such data lacks for this training, as a list of str."""
        return []

    def idle(self):
        """Returns which fields change nothing beside the others; a paper's recipe adds its own.

        Returns:
            dict from a field's name to why, as a clause.
        """
        return {}

    def settings(self):
        """Returns the fields that say how, as JSON can hold them."""
        return {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in ("procedure", "reported")
        }
