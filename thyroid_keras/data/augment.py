"""Augmentation: one affine map per image, image and mask in a single interpolation.

Shape key: B batch, H W pixels, C channels.
"""

import dataclasses

import cv2
import numpy as np

FILLS = {
    "nearest": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT,
}

# in float32, so that prediction and a serving graph can repeat it to the last bit
GREY_LEVEL = np.float32(1 / 255)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much an image may be moved and relit. The default changes nothing.

    Args:
        flip_horizontal: probability of mirroring left and right, in [0, 1].
        flip_vertical: probability of mirroring top and bottom, in [0, 1].
        rotation_deg: rotation about the centre, uniform in +- this, degrees.
        shift: translation along each axis, uniform in +- this share of the side.
        shift_px: the same in pixels, instead.
        zoom: `(least, most)` magnification, uniform; above 1 enlarges.
        anisotropic_zoom: bool, whether the two axes are magnified independently.
        inverse_zoom: bool, whether `zoom` multiplies coordinates of the output and so
            shrinks above 1; the shift is then magnified with the picture.
        gain: brightness factor, uniform in 1 +- this.
        noise: standard deviation of added Gaussian noise, in [0, 1] grey levels; the same in
            every channel of a pixel, so that grey stays grey.
        fill: what lies outside the picture: `"nearest"` pixel, `"constant"` black,
            or `"reflect"`.

    Raises:
        ValueError: if a value is out of range.
    """

    flip_horizontal: float = 0.0
    flip_vertical: float = 0.0
    rotation_deg: float = 0.0
    shift: float = 0.0
    shift_px: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    anisotropic_zoom: bool = False
    inverse_zoom: bool = False
    gain: float = 0.0
    noise: float = 0.0
    fill: str = "nearest"

    def __post_init__(self):
        for name in ("flip_horizontal", "flip_vertical"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"`{name}` is a probability in [0, 1]. Received: {name}={getattr(self, name)}"
                )
        for name in ("rotation_deg", "shift", "shift_px", "gain", "noise"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"`{name}` must be at least 0. Received: {name}={getattr(self, name)}"
                )
        if self.shift and self.shift_px:
            raise ValueError(
                "Give `shift` as a share or `shift_px` in pixels, not both. "
                f"Received: shift={self.shift}, shift_px={self.shift_px}"
            )
        if len(self.zoom) != 2 or not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(
                f"`zoom` must be (least, most) with 0 < least <= most. Received: zoom={self.zoom}"
            )
        if self.fill not in FILLS:
            raise ValueError(f"`fill` must be one of {tuple(FILLS)}. Received: fill={self.fill!r}")


# what the code of AG-SonoNet does in effect: it looks for other names than its settings have
AG_SONONET_AUTHORS = Augmentation(
    flip_horizontal=0.5,
    rotation_deg=15,
    shift=0.1,
    zoom=(0.7, 1.3),
    anisotropic_zoom=True,
    inverse_zoom=True,
)
# Sai Sundar and Sai flip, rotate and add noise, and do not say how much
TRANSFER = Augmentation(flip_horizontal=0.5, rotation_deg=15, noise=0.02)


def affine_matrices(augmentation, count, size, rng):
    """Draws affine maps from input to output pixel coordinates (x right, y down).

        output = Z R F (input - c) + c + t,    c = ((W - 1) / 2, (H - 1) / 2)

    With `inverse_zoom` that is input = F R^-1 (Z^-1 (output - c) - t') + c, where Z^-1 and t'
    are drawn.

    Args:
        augmentation: `Augmentation`.
        count: int, B.
        size: `(H, W)` in pixels.
        rng: `numpy.random.Generator`.

    Returns:
        float64 `(B, 2, 3)`.
    """
    a, (height, width) = augmentation, size
    angle = np.deg2rad(rng.uniform(-a.rotation_deg, a.rotation_deg, count))
    zoom_B2 = rng.uniform(*a.zoom, (count, 2))
    if not a.anisotropic_zoom:
        zoom_B2[:, 1] = zoom_B2[:, 0]
    flip_B2 = rng.random((count, 2)) < (a.flip_horizontal, a.flip_vertical)
    if a.shift_px:
        shift_B2 = rng.uniform(-a.shift_px, a.shift_px, (count, 2))
    else:
        shift_B2 = rng.uniform(-a.shift, a.shift, (count, 2)) * (width, height)
    if a.inverse_zoom:
        zoom_B2 = 1 / zoom_B2
        shift_B2 *= zoom_B2

    rotation_B22 = np.stack(
        [np.stack([np.cos(angle), np.sin(angle)], 1), np.stack([-np.sin(angle), np.cos(angle)], 1)],
        axis=1,
    )
    linear_B22 = zoom_B2[:, :, None] * rotation_B22 * np.where(flip_B2, -1.0, 1.0)[:, None, :]
    centre_2 = np.array([(width - 1) / 2, (height - 1) / 2])
    offset_B2 = centre_2 + shift_B2 - linear_B22 @ centre_2
    return np.concatenate([linear_B22, offset_B2[:, :, None]], axis=2)


def warp(planes, matrices, fill="nearest"):
    """Moves each image by its affine map, bilinearly.

    Args:
        planes: uint8 or float32 `(B, H, W, C)`, C at most 4.
        matrices: `(B, 2, 3)`, see `affine_matrices`.
        fill: what lies outside the picture, see `Augmentation`.

    Returns:
        float32 `(B, H, W, C)`.
    """
    moved = np.empty(planes.shape, np.float32)
    for i, matrix in enumerate(matrices):
        _warp_one(planes[i], matrix, fill, moved[i])
    return moved


def _warp_one(plane, matrix, fill, out):
    size = plane.shape[1::-1]
    source = plane.astype(np.float32)
    cv2.warpAffine(source, matrix, size, dst=out, flags=cv2.INTER_LINEAR, borderMode=FILLS[fill])


def augment(images, masks, augmentation, rng, *, soft=False):
    """Augments a batch; every image takes its own map, and its mask the same one.

    Args:
        images: uint8 `(B, H, W, C)`.
        masks: uint8 `(B, H, W, 1)`, 0 or 255 (anything between if `soft`), or `None`.
        augmentation: `Augmentation`, or `None` for the plain conversion.
        rng: `numpy.random.Generator`; equal generators give equal batches. Not used, and
            may be `None`, for the plain conversion.
        soft: bool, whether masks stay probabilities.

    Returns:
        images float32 `(B, H, W, C)` in [0, 1], and masks float32 `(B, H, W, 1)` or
        `None`: 0 and 1, set where at least half of the pixel is; in [0, 1] if `soft`.
    """
    a = augmentation or Augmentation()
    matrices, gain = [None] * len(images), np.ones(len(images), np.float32)
    if augmentation is not None:
        matrices = affine_matrices(a, len(images), images.shape[1:3], rng)
        gain = rng.uniform(1 - a.gain, 1 + a.gain, len(images)).astype(np.float32)
    pixels = np.empty(images.shape, np.float32)
    truth = None if masks is None else np.empty(masks.shape, np.float32)
    # One image after the other, from a buffer that stays in the processor's cache: twice
    # as fast as step by step over the batch.
    moved = np.empty(images.shape[1:], np.float32)
    moved_mask = np.empty(images.shape[1:3], np.float32)
    for i, matrix in enumerate(matrices):
        source, mask = images[i], None if masks is None else masks[i, ..., 0]
        if augmentation is not None:
            _warp_one(source, matrix, a.fill, moved)
            source = moved
            if mask is not None:
                _warp_one(mask, matrix, a.fill, moved_mask)
                mask = moved_mask
        np.multiply(source, gain[i] * GREY_LEVEL if a.gain else GREY_LEVEL, out=pixels[i])
        if mask is None:
            continue
        if soft:
            np.multiply(mask, GREY_LEVEL, out=truth[i, ..., 0])
        else:
            np.greater_equal(mask, 127.5, out=truth[i, ..., 0], casting="unsafe")
    if a.noise:
        noise = rng.standard_normal((*pixels.shape[:-1], 1), dtype=np.float32)
        pixels += np.multiply(noise, a.noise, out=noise)
    if a.gain or a.noise:
        np.clip(pixels, 0.0, 1.0, out=pixels)
    return pixels, truth
