"""Whether a network's answer rests on what its map names: deletion and insertion."""

import cv2
import numpy as np

from thyroid_keras.answers import class_probabilities

STEPS = 10
BLUR_SHARE = 1 / 16  # SD over the image's smaller side


def blur_sigma(size):
    """SD in pixels of the blur that stands for "not shown" in images of `(H, W)`."""
    return BLUR_SHARE * min(size)


def perturbation_curves(model, images, maps, class_indices, *, steps=STEPS):
    """Follows a class's probability as the image is blurred, and as it is shown, bit by bit.

    The pixels with the highest values in the map go first: deletion starts from the image
    and ends with the blurred image, insertion the other way round. A map that names what
    the answer rests on lets the one fall and the other rise early.

    Args:
        model: `keras.Model`.
        images: float32 `(B, H, W, C)`, as the model takes them.
        maps: `(B, H, W)`, any scale.
        class_indices: `(B,)` ints, the classes whose probability is followed.
        steps: int >= 1, parts of equal size.

    Returns:
        `(deletion, insertion)`: float64 `(B, steps + 1)` in [0, 1].

    Reference: Petsiuk et al. 2018, arXiv:1806.07421, Sec. 4.1.
    Deviation: blurred where the paper sets pixels to 0 for deletion, for black is what fluid
        looks like in ultrasound; the Gaussian blur is wider (see `blur_sigma`), since a
        nodule is larger than an edge.
    """
    deletion, insertion = np.empty((2, len(images), steps + 1))
    sigma_px = blur_sigma(images.shape[1:3])
    for i, image in enumerate(images):
        blurred = cv2.GaussianBlur(image, (0, 0), sigma_px).reshape(image.shape)
        order = np.argsort(-maps[i], axis=None, kind="stable")
        rank = np.empty(order.size)
        rank[order] = np.arange(order.size) / order.size
        rank = rank.reshape(*image.shape[:2], 1)
        gone = rank < np.arange(1, steps).reshape(-1, 1, 1, 1) / steps
        shown = [image[None], np.where(gone, blurred, image)]
        shown += [blurred[None], np.where(gone, image, blurred)]
        answers = class_probabilities(model.predict_on_batch(np.concatenate(shown)))
        falling, rising = np.split(answers[:, class_indices[i]], 2)
        deletion[i], insertion[i] = [*falling, rising[0]], [*rising, falling[0]]
    return deletion, insertion
