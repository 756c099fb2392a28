"""Small sample tables for tests, and pictures as bytes."""

import io

import numpy as np
from PIL import Image

from thyroid_keras.data.samples import Sample, SampleTable


def encode(image, format="PNG", **options):
    """The bytes of a picture, given as pixels or as Pillow's."""
    stream = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(stream, format, **options)
    return stream.getvalue()


def blobs(count=24, size=32, *, seed=0, masks=True, views=2):
    """Dark noise; a positive image has a bright square, which its mask shows."""
    samples = []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        image = rng.integers(0, 90, (size, size), dtype=np.uint8)
        mask = np.zeros((size, size), np.uint8)
        label = (i // views) % 2
        if label:
            top, left = rng.integers(2, size - 10, 2)
            mask[top : top + 8, left : left + 8] = 255
            image[mask > 0] = 220
        samples.append(
            Sample(
                name=f"blob{i:03d}",
                image=image,
                label=label,
                group=f"p{i // views}",
                mask=mask if masks else None,
            )
        )
    return SampleTable(
        name="blobs",
        samples=tuple(samples),
        class_names=("no calcification", "calcification"),
        mask_source="simulated truth" if masks else None,
        target="calcification",
    )


def write_folder(table, root):
    """Writes a table as a class-per-folder data set with masks."""
    for sample in table.samples:
        folder = root / table.class_names[sample.label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.image).save(folder / f"{sample.name}.png")
        if sample.mask is not None:
            Image.fromarray(sample.mask).save(folder / f"{sample.name}_mask.png")
    return root
