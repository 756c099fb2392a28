"""Pictures before and after their borders were removed."""

from pathlib import Path

import numpy as np

from thyroid_keras.borders.remover import border_remover
from thyroid_keras.data.borders import find_views, remove
from thyroid_keras.data.borders.views import SIDES
from thyroid_keras.data.decode import crop, decode
from thyroid_keras.data.dicom import split_frame
from thyroid_keras.data.frames import open_paths
from thyroid_keras.data.picture_files import find_pictures
from thyroid_keras.data.pictures import ImageError, check_screen
from thyroid_keras.data.progress import track
from thyroid_keras.data.samples import DataError
from thyroid_keras.report.style import SKY, VERMILION, new_figure, plain
from thyroid_keras.runs import require_writable, write_png

GAP_PX = 8


def remove_borders(images, *, out, method="classical", views="keep", say=print):
    """Writes pictures without their borders, and each beside what it was before.

    Args:
        images: paths of pictures, or of folders of pictures.
        out: folder for `<image>.png`, of a frame of a DICOM file `<image>_frame<k>.png`, of two
            views split `<image>_left.png` and `<image>_right.png`, and for
            `<image>_before_after.png`.
        method: `"classical"`, or the run folder or `.keras` file of a `border_unet`.
        views: `"keep"` or `"split"`.
        say: function of one line of text.

    Returns:
        List of the paths of the pictures written, without those of before and after.

    Raises:
        ModelError: if `method` names no such network.
        DataError: with every file that is not a picture; nothing is written then.
        RunError: if `out` cannot be written.
    """
    require_writable(Path(out) / "picture.png")
    clean = border_remover(method)
    samples, problems = open_paths(find_pictures(images))
    paths = [sample.image for sample in samples]
    for path in track(paths, "Checking pictures"):  # all, before one is written
        try:
            check_screen(decode(path, channels=None), path)
        except ImageError as error:
            problems.append(str(error))
    if problems:
        raise DataError(problems)
    written = []
    for number, path in enumerate(track(paths, "Removing borders"), 1):
        before = decode(path, channels=None)
        after = clean(before)
        stem = f"{Path(out) / f'{number:04d}_{_stem(path)}'}"  # no two pictures share it
        write_png(f"{stem}_before_after.png", side_by_side(before, after))
        parts = {"": after}
        if views == "split" and len(found := find_views(before)) == 2:
            parts = {f"_{side}": crop(after, view) for side, view in zip(SIDES, found, strict=True)}
        for side, part in parts.items():
            written.append(f"{stem}{side}.png")
            write_png(written[-1], part)
    say(f"{len(paths)} pictures without borders, and each before and after: {out}")
    return written


def _stem(path):
    file, frame = split_frame(path)
    return Path(file).stem + (f"_frame{frame}" if frame else "")


def side_by_side(before, after):
    """Returns two pictures of one shape in one, with a white strip between them."""
    strip = np.full((len(before), GAP_PX, *before.shape[2:]), 255, np.uint8)
    return np.concatenate([before, strip, after], axis=1)


def draw_screens(examples):
    """Draws screens, what is found in them, and what is left.

    Args:
        examples: sequence of `(name, image, sector, text)`: str, uint8 `(H, W)` and two
            bool `(H, W)`; at least one.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, axes = new_figure(10.5, 2.5 * len(examples), len(examples), 3)
    for row, (name, image, sector, text) in zip(axes, examples, strict=True):
        after = remove(image, sector, text)
        for ax, picture in zip(row, (image, image, after), strict=True):
            ax.set(xticks=[], yticks=[])
            ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        row[0].set_title(plain(f"before: views of {name}"), fontsize=9.5, loc="left")
        row[1].set_title("found: sector (blue), text (red)", fontsize=9.5, loc="left")
        row[2].set_title("after", fontsize=9.5, loc="left")
        for mask, colour in ((sector, SKY), (text, VERMILION)):
            if mask.any() and not mask.all():
                row[1].contour(mask, [0.5], colors=colour, linewidths=0.8)
    return figure
